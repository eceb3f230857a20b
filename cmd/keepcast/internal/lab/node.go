package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// Node is one machine of the lab.
type Node struct {
	name      string
	dir       string
	lab       *Lab
	ns        netns.NsHandle
	nl        *netlink.Handle
	view      view
	links     []link
	processes map[string]*Process
	daemons   []*Process // those of them that route, in the order they start
}

// link is one end of a cable.
type link struct {
	Name             string // of the interface
	Peer             string // the node at the far end
	Local4, Remote4  netip.Addr
	Local6, Remote6  netip.Addr
	Cost             int  // for the link-state protocols
	Hops             int  // for RIP
	ToHost, ToRouter bool // what the far end is
}

func newNode(ctx context.Context, l *Lab, name string) (*Node, error) {
	n := &Node{name: name, dir: filepath.Join(l.dir, name), lab: l, ns: netns.None(), view: noView, processes: map[string]*Process{}}
	if err := n.makeDirs(); err != nil {
		return n, err
	}
	var err error
	if n.ns, n.nl, err = newNetwork(n.Namespace(), name == "r"); err != nil {
		return n, err
	}
	if n.view, err = newView(name, n.binds()); err != nil {
		return n, err
	}
	for _, root := range n.roots() {
		if _, err := n.Output(ctx, "mount", "-t", "proc", "proc", filepath.Join(root, "proc")); err != nil {
			return n, err
		}
	}
	return n, nil
}

// roots are the root directories that the node's processes use.
func (n *Node) roots() []string {
	if n.lab.options.Root == "" {
		return []string{"/"}
	}
	return []string{"/", n.lab.options.Root}
}

// private are the directories that are the node's own, by their place in its
// directory. Those in /etc keep a confined daemon (AppArmor) happy.
var private = map[string]string{"run": "/run", "lib": "/var/lib", "frr": "/etc/frr", "unbound": "/etc/unbound"}

func (n *Node) binds() [][2]string {
	var all [][2]string
	for _, root := range n.roots() {
		for own, target := range private {
			all = append(all, [2]string{filepath.Join(root, target), filepath.Join(n.dir, own)})
		}
		if root != "/" {
			all = append(all, [2]string{filepath.Join(root, base), base}, [2]string{filepath.Join(root, "dev"), "/dev"})
		}
	}
	// FRR keeps crash logs there, by process id.
	return append(all, [2]string{filepath.Join("/", n.lab.options.Root, "/var/tmp"), filepath.Join(n.dir, "tmp")})
}

func (n *Node) makeDirs() error {
	dirs := []string{"run/keepcast", "run/bird", "run/frr", "lib/keepcast", "lib/frr", "frr", "unbound", "tmp"}
	for _, dir := range dirs {
		if err := os.MkdirAll(filepath.Join(n.dir, dir), 0o755); err != nil {
			return fmt.Errorf("node directory: %w", err)
		}
	}
	return wrap(os.Chmod(filepath.Join(n.dir, "tmp"), 0o777|os.ModeSticky), "node directory")
}

// Name is the node's name: a, b, r or c.
func (n *Node) Name() string { return n.name }

// Dir is the node's own directory, at the same place inside and outside. Its
// run is the node's /run.
func (n *Node) Dir() string { return n.dir }

// Namespace is the name of the node's network namespace for ip-netns(8).
func (n *Node) Namespace() string { return filepath.Base(n.lab.dir) + "-" + n.name }

// Addr4 is the node's own IPv4 address, on its first link.
func (n *Node) Addr4() netip.Addr { return n.links[0].Local4 }

// Addr6 is the node's own IPv6 address, on its first link.
func (n *Node) Addr6() netip.Addr { return n.links[0].Local6 }

// Output runs a command of this machine on the node and returns what it wrote to
// its standard output; an error carries what it wrote to standard error.
func (n *Node) Output(ctx context.Context, argv ...string) (string, error) {
	return n.output(ctx, "", argv)
}

// output is Output with a command of the lab's root if root is not empty.
func (n *Node) output(ctx context.Context, root string, argv []string) (string, error) {
	cmd, err := command(ctx, root, argv)
	if err != nil {
		return "", err
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := n.enter(cmd.Start); err != nil {
		return "", fmt.Errorf("%s on %s: %w", argv[0], n.name, err)
	}
	if err := cmd.Wait(); err != nil {
		said := strings.TrimSpace(errs.String() + out.String())
		return out.String(), fmt.Errorf("%s on %s: %w: %s", strings.Join(argv, " "), n.name, err, said)
	}
	return out.String(), nil
}

// command prepares a command in its own process group, so that Ctrl-C at the
// terminal reaches only the process that owns the lab.
func command(ctx context.Context, root string, argv []string) (*exec.Cmd, error) {
	path, err := program(root, argv[0])
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, path, argv[1:]...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Chroot: root}
	return cmd, nil
}

func (n *Node) close() error {
	for _, p := range n.processes {
		p.wait()
	}
	if n.nl != nil {
		n.nl.Close()
	}
	var errs []error
	errs = append(errs, n.view.close())
	if n.ns.IsOpen() {
		errs = append(errs, n.ns.Close(), deleteNamespace(n.Namespace()))
	}
	return errors.Join(errs...)
}

// owner makes a daemon's user of the lab's root the owner of files.
func (n *Node) owner(user string, paths ...string) error {
	file := filepath.Join("/", n.lab.options.Root, "etc/passwd")
	users, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("looking up user %s: %w", user, err)
	}
	for line := range strings.Lines(string(users)) {
		f := strings.Split(line, ":")
		if len(f) < 4 || f[0] != user {
			continue
		}
		uid, uerr := strconv.Atoi(f[2])
		gid, gerr := strconv.Atoi(f[3])
		errs := []error{uerr, gerr}
		for _, path := range paths {
			errs = append(errs, os.Chown(path, uid, gid))
		}
		return errors.Join(errs...)
	}
	return fmt.Errorf("%s: no user %s: is the daemon installed?", file, user)
}
