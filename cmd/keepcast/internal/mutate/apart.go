package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// startApart starts a command in a network namespace of its own, where it has a loopback
// and nothing else: a mutant may change addresses and routes that its original would not.
// Its directory for temporary files is in memory, where tests need not wait for a disk;
// no other process sees it, and it ends with the last process that does. Without root
// nothing can be changed, and there is none of this.
//
// Its processes are in a namespace of their own, too, and end with it: a mutant that starts
// itself again and again would outlive its time, and fill the machine. The shell there reaps
// what the tests leave behind, as init does elsewhere.
func startApart(cmd *exec.Cmd, temp string) error {
	if os.Geteuid() != 0 {
		return cmd.Start()
	}
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		return fmt.Errorf("namespaces: %w", err)
	}
	cmd.Args = slices.Concat([]string{unshare, "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", `"$@"; exit $?`, "sh", cmd.Path}, cmd.Args[1:])
	cmd.Path = unshare
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		if err := enterNamespaces(temp); err != nil {
			started <- fmt.Errorf("namespaces: %w", err)
			return
		}
		started <- cmd.Start()
	}()
	return <-started
}

// enterNamespaces moves this thread into new namespaces.
func enterNamespaces(temp string) error {
	if err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWNS); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", temp, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=1777"); err != nil {
		return err
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(lo)
}
