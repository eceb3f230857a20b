// Package lab is a small anycast network on one machine: hosts a and b that
// announce the same addresses, a router r and a client c, each in namespaces of
// its own, with real routing daemons and real services. The tests, the demo and
// the benchmark use it.
//
//	a --- r --- b      a is preferred where both are equal
//	      |
//	      c
//
// Every node has its own network, its own /run, and a /proc that shows only the
// lab, so a daemon finds its sockets where it has them in production, and
// several labs run side by side. Nothing of a lab outlives it: all its processes
// live in one PID namespace, which ends when Close is called, or when the
// process that made the lab dies, however it dies. It needs root.
package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Anycast4 and Anycast6 are the anycast addresses of the standard service, from
// the documentation ranges (RFC 5737, RFC 3849).
var (
	Anycast4 = netip.MustParseAddr("192.0.2.53")
	Anycast6 = netip.MustParseAddr("2001:db8:53::53")
)

// Interface is the interface of the hosts that carries the anycast addresses.
const Interface = "anycast0"

// The daemons and protocols that Options can name.
const (
	BIRD = "bird"
	FRR  = "frr"

	BGP   = "bgp"
	OSPF  = "ospf"  // OSPFv2 for IPv4 and OSPFv3 for IPv6
	ISIS  = "isis"  // FRR only
	RIP   = "rip"   // RIPv2 for IPv4 and RIPng for IPv6
	Babel = "babel" // for both
)

// Options say what a lab is made of.
type Options struct {
	// Daemon is the routing daemon of every node that Daemons does not name:
	// BIRD or FRR.
	Daemon string
	// Daemons are the daemons of single nodes: a, b or r.
	Daemons map[string]string
	// Protocol is what the hosts speak with the router.
	Protocol string
	// IBGP puts hosts and router into one AS, so that the router sees local
	// preferences.
	IBGP bool
	// Second gives host a a second daemon beside the first, as Host.Second has it.
	// It speaks BGP.
	Second bool
	// Sticky makes the router stay with the older of two equal BGP paths, instead
	// of taking host a's.
	Sticky bool
	// Root is the root directory of another Debian, as MakeRoot makes it, whose
	// routing daemons are used; empty: those of this machine.
	Root string
	// Extra is appended to the daemon's configuration of a node: an operator's
	// own routes and filters.
	Extra map[string]string
	// Keepcast is the path of the keepcast binary; needed by AddKeepcast and Keepcast only.
	Keepcast string
}

// Lab is a running network.
type Lab struct {
	options Options
	dir     string // holds everything the lab writes; its base name prefixes the namespaces
	group   *group
	nodes   map[string]*Node
	hosts   map[string]*Host
	router  *Router
	client  *Client
}

// prefix starts the name of every directory and namespace of a lab; the
// process id follows.
const prefix = "keepcast-lab-"

// base is where the directories of labs are. Daemons in another root see it too.
const base = "/tmp"

// New sets up the network and starts the routing daemons; it returns once the
// router has a session or adjacency with both hosts in both families. First it
// removes what labs of dead processes left behind. The caller must Close it.
func New(ctx context.Context, o Options) (*Lab, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	if err := sweep(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(base, fmt.Sprintf("%s%d-", prefix, os.Getpid()))
	if err != nil {
		return nil, fmt.Errorf("lab directory: %w", err)
	}
	l := &Lab{options: o, dir: dir, nodes: map[string]*Node{}, hosts: map[string]*Host{}}
	if err := l.setUp(ctx); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func (o Options) validate() error {
	if o.Keepcast != "" && !filepath.IsAbs(o.Keepcast) {
		return fmt.Errorf("lab: keepcast %s: not an absolute path", o.Keepcast)
	}
	if os.Geteuid() != 0 {
		return errors.New("lab: not root: network namespaces cannot be made")
	}
	if err := o.validateProtocol(); err != nil {
		return err
	}
	if o.Second && o.Protocol != BGP {
		return fmt.Errorf("lab: a second daemon that speaks %s: not %s", o.Protocol, BGP)
	}
	if _, err := os.Stat(filepath.Join("/", o.Root, "etc/passwd")); err != nil {
		return fmt.Errorf("lab: root %s: no Debian there: make it with MakeRoot: %w", o.Root, err)
	}
	return nil
}

// validateProtocol tells whether each daemon is one, and speaks the protocol.
func (o Options) validateProtocol() error {
	for _, node := range []string{"a", "b", "r"} {
		d := o.daemon(node)
		switch {
		case templated(d) && (node == "r" || o.Protocol != BGP):
			return fmt.Errorf("lab: node %s: %s is for hosts that speak BGP", node, d)
		case !templated(d) && d != BIRD && d != FRR:
			return fmt.Errorf("lab: daemon %q of node %s: not %s or %s", d, node, BIRD, FRR)
		}
		if d == BIRD && o.Protocol == ISIS {
			return fmt.Errorf("lab: node %s: bird does not speak IS-IS", node)
		}
	}
	if protocols := []string{BGP, OSPF, ISIS, RIP, Babel}; !slices.Contains(protocols, o.Protocol) {
		return fmt.Errorf("lab: protocol %q: none of %s", o.Protocol, strings.Join(protocols, ", "))
	}
	return nil
}

func (o Options) daemon(node string) string {
	if d, ok := o.Daemons[node]; ok {
		return d
	}
	return o.Daemon
}

func (l *Lab) setUp(ctx context.Context) error {
	if err := os.Chmod(l.dir, 0o755); err != nil { // the daemons are not root
		return fmt.Errorf("lab directory: %w", err)
	}
	var err error
	if l.group, err = newGroup(); err != nil {
		return err
	}
	for _, name := range []string{"a", "b", "r", "c"} {
		if l.nodes[name], err = newNode(ctx, l, name); err != nil {
			return fmt.Errorf("node %s: %w", name, err)
		}
	}
	if err := l.connect(); err != nil {
		return err
	}
	l.router = &Router{Node: l.nodes["r"]}
	l.client = &Client{Node: l.nodes["c"]}
	for _, name := range []string{"a", "b"} {
		l.hosts[name] = &Host{Node: l.nodes[name]}
	}
	return l.startDaemons(ctx)
}

func (l *Lab) startDaemons(ctx context.Context) error {
	for _, name := range []string{"r", "a", "b"} {
		n := l.nodes[name]
		if err := n.configureDaemons(); err != nil {
			return fmt.Errorf("node %s: %w", name, err)
		}
		if err := n.StartDaemons(ctx); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return Until(ctx, "the router's neighbors", func(ctx context.Context) error { return l.router.converged(ctx) })
}

// Close ends every process of the lab and removes its namespaces and files. It
// is safe to call it twice.
func (l *Lab) Close() error {
	var errs []error
	if l.group != nil {
		errs = append(errs, l.group.close())
	}
	for _, n := range l.nodes {
		if n != nil {
			errs = append(errs, n.close())
		}
	}
	l.nodes, l.group = nil, nil
	if err := os.RemoveAll(l.dir); err != nil {
		errs = append(errs, fmt.Errorf("lab directory: %w", err))
	}
	return errors.Join(errs...)
}

// Dir is the directory of the lab: each node has its own in it, with its
// configuration and the log of each of its processes.
func (l *Lab) Dir() string { return l.dir }

// Host returns anycast host a or b.
func (l *Lab) Host(name string) *Host { return l.hosts[name] }

// Router returns the router between the hosts and the client.
func (l *Lab) Router() *Router { return l.router }

// Client returns the client.
func (l *Lab) Client() *Client { return l.client }

// Until asks cond again and again until it returns nil, or until ctx is done;
// then it returns an error with what was waited for and cond's last words.
func Until(ctx context.Context, what string, cond func(ctx context.Context) error) error {
	again := time.NewTimer(0)
	defer again.Stop()
	last := errors.New("not looked at yet")
	for {
		err := cond(ctx)
		if err == nil {
			return nil
		}
		again.Reset(10 * time.Millisecond)
		if ctx.Err() == nil { // else it says no more than that
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w (last: %w)", what, context.Cause(ctx), last)
		case <-again.C:
		}
	}
}
