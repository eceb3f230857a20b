package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// namespaces is where ip-netns(8) keeps the names of network namespaces, so that
// `ip netns exec NAME` works while a lab runs.
const namespaces = "/run/netns"

// onThread runs f on an operating system thread of its own, which ends with f:
// what f does to the thread's namespaces stays there. It is never the main thread,
// which cannot end, and whose namespaces /proc shows as those of the process.
func onThread(f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			defer runtime.UnlockOSThread()
			result <- onThread(f) // on another thread, as this one is held
			return
		}
		result <- f() // not unlocked, so the runtime ends the thread
	}()
	return <-result
}

// shareNamespaces sets the directory of the names up as ip-netns(8) does when it
// is first used, under the same lock. Left to it, it would mount the directory
// over the names that a lab had made before, which then could not be removed.
func shareNamespaces() error {
	if err := os.MkdirAll(namespaces, 0o755); err != nil {
		return err
	}
	dir, err := os.Open(namespaces)
	if err != nil {
		return err
	}
	defer dir.Close() // and the lock with it
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("locking %s: %w", namespaces, err)
	}
	share := func() error { return unix.Mount("", namespaces, "none", unix.MS_SHARED|unix.MS_REC, "") }
	if err := share(); !errors.Is(err, unix.EINVAL) {
		return wrap(err, "sharing "+namespaces)
	}
	// It is no mount point yet.
	if err := unix.Mount(namespaces, namespaces, "none", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("mounting %s on itself: %w", namespaces, err)
	}
	return wrap(share(), "sharing "+namespaces)
}

// newNetwork makes a named network namespace with its loopback up, which
// forwards packets or not.
func newNetwork(name string, forward bool) (netns.NsHandle, *netlink.Handle, error) {
	ns := netns.None()
	if err := shareNamespaces(); err != nil {
		return ns, nil, fmt.Errorf("network namespace %s: %w", name, err)
	}
	err := onThread(func() (err error) {
		if ns, err = netns.NewNamed(name); err != nil {
			return err
		}
		return sysctls(forward)
	})
	if err != nil {
		return ns, nil, fmt.Errorf("network namespace %s: %w", name, err)
	}
	nl, err := netlink.NewHandleAt(ns)
	if err != nil {
		return ns, nil, fmt.Errorf("netlink in %s: %w", name, err)
	}
	lo, err := nl.LinkByName("lo")
	if err == nil {
		err = nl.LinkSetUp(lo)
	}
	if err != nil {
		return ns, nl, fmt.Errorf("loopback in %s: %w", name, err)
	}
	return ns, nl, nil
}

// sysctls sets the thread's network namespace up as the package and a router
// want it. IPv4 settings are otherwise those of the machine.
func sysctls(forward bool) error {
	forwarding := "0"
	if forward {
		forwarding = "1"
	}
	for _, s := range [][2]string{
		{"ipv4/ip_forward", forwarding},
		{"ipv4/ip_nonlocal_bind", "0"},
		{"ipv4/conf/all/rp_filter", "0"},
		{"ipv4/conf/default/rp_filter", "0"},
		{"ipv4/ping_group_range", "0 2147483647"},
		{"ipv6/conf/all/disable_ipv6", "0"},
		{"ipv6/conf/default/disable_ipv6", "0"},
		{"ipv6/conf/all/forwarding", forwarding},
		{"ipv6/conf/all/accept_dad", "0"}, // link-local addresses at once
		{"ipv6/conf/default/accept_dad", "0"},
		{"ipv6/ip_nonlocal_bind", "1"}, // as keepcast's package does
	} {
		if err := os.WriteFile(filepath.Join("/proc/sys/net", s[0]), []byte(s[1]), 0); err != nil {
			return fmt.Errorf("sysctl %s=%s: %w", s[0], s[1], err)
		}
	}
	return nil
}

func deleteNamespace(name string) error {
	if err := netns.DeleteNamed(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("network namespace %s: %w", name, err)
	}
	return nil
}

// sweep removes the directories and network namespaces of labs whose process is
// gone. Their processes have ended with it.
func sweep() error {
	var errs []error
	for _, dir := range []string{base, namespaces} {
		left, err := filepath.Glob(filepath.Join(dir, prefix+"*"))
		if err != nil {
			return fmt.Errorf("sweeping %s: %w", dir, err)
		}
		for _, path := range left {
			var pid int
			if _, err := fmt.Sscanf(filepath.Base(path), prefix+"%d-", &pid); err != nil {
				continue
			}
			if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); err == nil {
				continue
			}
			if dir == namespaces {
				errs = append(errs, deleteNamespace(filepath.Base(path)))
			} else if err := os.RemoveAll(path); err != nil {
				errs = append(errs, fmt.Errorf("sweeping: %w", err))
			}
		}
	}
	return errors.Join(errs...)
}

// view is what a process of a node sees of the machine besides the network:
// file descriptors of its mount namespace and of that of its host name.
type view struct{ mounts, name int }

var noView = view{-1, -1}

// newView makes a view with that host name in which each of binds (target,
// source) is in place where the target exists.
func newView(hostname string, binds [][2]string) (view, error) {
	v := noView
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS | unix.CLONE_NEWUTS); err != nil {
			return fmt.Errorf("mount namespace: %w", err)
		}
		if err := unix.Sethostname([]byte(hostname)); err != nil {
			return fmt.Errorf("host name %s: %w", hostname, err)
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return fmt.Errorf("mount namespace: making / private: %w", err)
		}
		for _, b := range binds {
			if _, err := os.Stat(b[0]); errors.Is(err, fs.ErrNotExist) {
				continue // a program that is not installed
			}
			if err := unix.Mount(b[1], b[0], "", unix.MS_BIND, ""); err != nil {
				return fmt.Errorf("mounting %s on %s: %w", b[1], b[0], err)
			}
		}
		var errs [2]error
		v.mounts, errs[0] = unix.Open("/proc/thread-self/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		v.name, errs[1] = unix.Open("/proc/thread-self/ns/uts", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		return wrap(errors.Join(errs[:]...), "mount namespace")
	})
	return v, err
}

func (v view) close() error {
	var errs []error
	for _, fd := range []int{v.mounts, v.name} {
		if fd >= 0 {
			errs = append(errs, unix.Close(fd))
		}
	}
	return errors.Join(errs...)
}

// Do runs f inside the node's network namespace: sockets that f opens itself,
// not from another goroutine, belong to the node. Files are the machine's.
func (n *Node) Do(f func() error) error {
	return onThread(func() error {
		if err := netns.Set(n.ns); err != nil {
			return fmt.Errorf("entering network of %s: %w", n.name, err)
		}
		return f()
	})
}

// enter runs f as a process of the node: in its network, with its view of the
// file system, and so that the processes f starts are in the lab's group.
func (n *Node) enter(f func() error) error {
	return onThread(func() error {
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return fmt.Errorf("entering %s: %w", n.name, err)
		}
		for _, ns := range []struct{ fd, kind int }{
			{int(n.ns), unix.CLONE_NEWNET},
			{n.view.mounts, unix.CLONE_NEWNS},
			{n.view.name, unix.CLONE_NEWUTS},
			{n.lab.group.ns, unix.CLONE_NEWPID},
		} {
			if err := unix.Setns(ns.fd, ns.kind); err != nil {
				return fmt.Errorf("entering %s: namespace %#x: %w", n.name, ns.kind, err)
			}
		}
		return f()
	})
}
