package frr

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/keepcast/keepcast/driver/drivertest"
	"github.com/vishvananda/netns"
)

// frrConfs is what an operator writes once, per daemon. The lines that lead to
// keepcast are marked; the others must never change.
var frrConfs = map[string]string{
	"zebra": "ip router-id 10.99.0.1\n", // else zebra may take an anycast address for it
	"bgpd": `ip prefix-list MINE seq 5 permit 198.51.100.0/24
route-map MINE permit 10
 match ip address prefix-list MINE
exit
router bgp 65001
 bgp router-id 10.99.0.1
 no bgp ebgp-requires-policy
 neighbor 10.99.0.2 remote-as 65002
 neighbor fd99::2 remote-as 65002
 address-family ipv4 unicast
  network 198.51.100.0/24 route-map MINE
  network 198.51.101.0/24
 exit-address-family
 address-family ipv6 unicast
  network 2001:db8:1::/48
  neighbor fd99::2 activate
 exit-address-family
exit
`,
	"ospfd": `interface nh0
 ip ospf area 0
exit
router ospf
 ospf router-id 10.99.0.1
 redistribute connected metric-type 1 route-map KEEPCAST
 redistribute static
exit
`,
	"ospf6d": `interface nh0
 ipv6 ospf6 area 0
exit
router ospf6
 ospf6 router-id 10.99.0.1
 redistribute connected route-map KEEPCAST6
exit
`,
	"ripd": `router rip
 network nh0
 timers basic 5 30 30
 redistribute connected route-map KEEPCAST
exit
`,
	// The second line is for FRR before 10, which would send everything.
	"ripngd": `router ripng
 network nh0
 timers basic 5 30 30
 redistribute connected route-map KEEPCAST6
 ipv6 distribute-list prefix KEEPCAST6 out nh0
exit
`,
	"babeld": `interface nh0
 babel wired
 babel hello-interval 1000
 babel update-interval 1000
exit
router babel
 network nh0
 redistribute ipv4 connected
 redistribute ipv6 connected
 distribute-list prefix KEEPCAST out nh0
 ipv6 distribute-list prefix KEEPCAST6 out nh0
exit
`,
	// The interval first: the LSP that net makes would hold the next one up for
	// the default of 30 s.
	"isisd": `router isis A
 lsp-gen-interval 1
 is-type level-2-only
 net 49.0001.0000.0000.0001.00
 metric-style wide
 redistribute ipv4 connected level-2 metric 20 route-map KEEPCAST
 redistribute ipv6 connected level-2 route-map KEEPCAST6
 redistribute ipv4 static level-2
exit
interface nh0
 ip router isis A
 ipv6 router isis A
exit
`,
}

// realFRR is an FRR in a network namespace of its own, with an interface nh0, and
// anycast0 for the addresses. The test's goroutine is in that namespace too.
//
// The daemons of Debian run in the foreground without -d, each with their own
// directory by --vty_socket, -z and -i, which has to belong to frr. FRR 10
// has a mgmtd, which knows no -f, nor do those that it configures.
type realFRR struct {
	t     *testing.T
	root  string // a chroot with another FRR in it (KEEPCAST_FRR_ROOT), or ""
	dir   string // of the sockets, seen from outside the chroot
	procs map[string]*exec.Cmd
}

var frrSpaces atomic.Int32

func newRealFRR(t *testing.T, daemons ...string) *realFRR {
	t.Helper()
	root := os.Getenv("KEEPCAST_FRR_ROOT")
	if _, err := os.Stat(root + "/usr/lib/frr/bgpd"); err != nil {
		drivertest.Missing(t, "FRR is not installed: "+err.Error())
	}
	drivertest.NeedsRoot(t, "for a network namespace")
	frrEnterSpace(t)
	dir, err := os.MkdirTemp(root+"/tmp", "kc-frr-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	r := &realFRR{t: t, root: root, dir: dir, procs: map[string]*exec.Cmd{}}
	frrOwns(t, root, dir)
	if _, err := os.Stat(root + "/usr/lib/frr/mgmtd"); err == nil {
		r.start("mgmtd")
	}
	for _, name := range append([]string{"zebra"}, daemons...) {
		r.start(name)
		r.load(name)
	}
	return r
}

// frrEnterSpace puts the test's thread into a new namespace; what it executes is
// in there too.
func frrEnterSpace(t *testing.T) {
	t.Helper()
	name := fmt.Sprintf("kc-frr-%d-%d", os.Getpid(), frrSpaces.Add(1))
	frrRun(t, "ip netns add "+name)
	t.Cleanup(func() { frrRun(t, "ip netns del "+name) })
	runtime.LockOSThread()
	old, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	space, err := netns.GetFromName(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := netns.Set(space); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := netns.Set(old); err != nil {
			t.Fatal(err) // the thread stays locked and dies
		}
		runtime.UnlockOSThread()
		old.Close()
		space.Close()
	})
	for _, words := range []string{
		"ip link set lo up",
		"ip link add anycast0 type ifb", "ip link set anycast0 up",
		"ip link add nh0 type veth peer name nr0", "ip link set nh0 up", "ip link set nr0 up",
		"ip addr add 10.99.0.1/30 dev nh0", "ip addr add fd99::1/64 dev nh0 nodad",
	} {
		frrRun(t, words)
	}
}

// frrOwns gives a directory to the user frr, which owns /etc/frr.
func frrOwns(t *testing.T, root, dir string) {
	t.Helper()
	info, err := os.Stat(root + "/etc/frr")
	if err != nil {
		t.Fatal(err)
	}
	owner := info.Sys().(*syscall.Stat_t)
	if err := errors.Join(os.Chown(dir, int(owner.Uid), int(owner.Gid)), os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
}

// start runs a daemon until the end of the test, and returns once it answers.
func (r *realFRR) start(name string) {
	r.t.Helper()
	inside := strings.TrimPrefix(r.dir, r.root)
	args := []string{"-u", "frr", "-g", "frr", "--vty_socket", inside, "-z", inside + "/zserv.api", "-i", inside + "/" + name + ".pid", "-A", "127.0.0.1", "-P", "0"}
	if r.configuredBy(name) != mgmtdName || name == "zebra" {
		if err := os.WriteFile(filepath.Join(r.dir, "empty.conf"), nil, 0o644); err != nil {
			r.t.Fatal(err)
		}
		args = append(args, "-f", inside+"/empty.conf")
	}
	cmd := exec.Command("/usr/lib/frr/"+name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: r.root}
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.procs[name] = cmd
	r.t.Cleanup(func() { r.stop(name) })
	frrUntil(r.t, name+" answers", func() bool {
		_, err := r.tell(name, "show version")
		return err == nil
	})
	// What a daemon is told to redistribute before it is connected, zebra may never hear of.
	client := frrSpec(name).client
	if client == "" || r.procs[zebraName] == nil {
		return
	}
	frrUntil(r.t, name+" is connected to zebra", func() bool {
		text, err := r.tell(zebraName, zebraClients)
		return err == nil && clientsOf(text)[client].connected
	})
}

// load gives a daemon the operator's configuration, as vtysh -b does after a start.
func (r *realFRR) load(name string) {
	r.t.Helper()
	r.enter(r.configuredBy(name), frrConfs[name])
}

// configuredBy returns the daemon that takes the configuration of another.
func (r *realFRR) configuredBy(name string) string {
	if _, err := os.Stat(r.root + "/usr/lib/frr/mgmtd"); err == nil && slices.Contains([]string{"mgmtd", "zebra", "ripd", "ripngd"}, name) {
		return mgmtdName
	}
	return name
}

// enter sends a configuration, line by line.
func (r *realFRR) enter(name, text string) {
	r.t.Helper()
	commands := []string{"configure terminal"}
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '!' {
			commands = append(commands, line)
		}
	}
	r.ask(name, append(commands, "end")...)
}

// stop kills a daemon, as a crash does.
func (r *realFRR) stop(name string) {
	if cmd := r.procs[name]; cmd != nil {
		cmd.Process.Kill()
		cmd.Wait()
		delete(r.procs, name)
	}
}
