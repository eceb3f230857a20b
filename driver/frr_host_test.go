package driver

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

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
// directory by --vty_socket, -z and -i, which has to belong to frr. In FRR 10
// zebra is configured through mgmtd, which has no -f.
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
		frrMissing(t, "FRR is not installed: "+err.Error())
	}
	if os.Geteuid() != 0 {
		frrMissing(t, "needs root for a network namespace")
	}
	frrEnterSpace(t)
	dir, err := os.MkdirTemp(root+"/tmp", "kc-frr-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	r := &realFRR{t: t, root: root, dir: dir, procs: map[string]*exec.Cmd{}}
	frrUID(t, root, dir)
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

// frrUID gives a directory to the user frr of this system or of the chroot.
func frrUID(t *testing.T, root, dir string) {
	t.Helper()
	u, err := user.Lookup("frr")
	uid, gid := 0, 0
	if err == nil {
		uid, _ = strconv.Atoi(u.Uid)
		gid, _ = strconv.Atoi(u.Gid)
	}
	if root != "" {
		info, err := os.Stat(root + "/etc/frr/daemons")
		if err != nil {
			t.Fatal(err)
		}
		st := info.Sys().(*syscall.Stat_t)
		uid, gid = int(st.Uid), int(st.Gid)
	}
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
}

// start runs a daemon until the end of the test, and returns once it answers.
func (r *realFRR) start(name string) {
	r.t.Helper()
	inside := strings.TrimPrefix(r.dir, r.root)
	args := []string{"-u", "frr", "-g", "frr", "--vty_socket", inside, "-z", inside + "/zserv.api", "-i", inside + "/" + name + ".pid", "-A", "127.0.0.1", "-P", "0"}
	if name != "mgmtd" {
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
}

// load gives a daemon the operator's configuration, as vtysh -b does after a start.
func (r *realFRR) load(name string) {
	r.t.Helper()
	commands := []string{"configure terminal"}
	for line := range strings.Lines(frrConfs[name]) {
		commands = append(commands, strings.TrimSpace(line))
	}
	if name != "mgmtd" {
		r.ask(name, append(commands, "end")...)
	}
}

// stop kills a daemon, as a crash does.
func (r *realFRR) stop(name string) {
	if cmd := r.procs[name]; cmd != nil {
		cmd.Process.Kill()
		cmd.Wait()
		delete(r.procs, name)
	}
}

// tell says commands to a daemon on a connection of its own; it returns the last answer.
func (r *realFRR) tell(name string, commands ...string) (string, error) {
	v := vty{daemon: name, path: filepath.Join(r.dir, name+".vty"), timeout: 10 * time.Second}
	defer v.close()
	if _, err := v.open(r.t.Context()); err != nil {
		return "", err
	}
	answers, err := v.run(r.t.Context(), commands...)
	if err != nil {
		return "", err
	}
	return answers[len(answers)-1].text, refusals(name, answers)
}

// ask is tell for what has to work.
func (r *realFRR) ask(name string, commands ...string) string {
	r.t.Helper()
	text, err := r.tell(name, commands...)
	if err != nil {
		r.t.Fatal(err)
	}
	return text
}

// operators returns a running configuration without what is keepcast's.
func (r *realFRR) operators(name string) string {
	r.t.Helper()
	var out []string
	frrLines(r.ask(name, "show running-config"), func(blocks []string, line string) {
		if !strings.Contains(strings.Join(append(blocks, line), " "), frrMark) || strings.HasPrefix(line, "redistribute") {
			out = append(out, strings.Join(append(slices.Clone(blocks), line), " / "))
		}
	})
	slices.Sort(out) // a line that isisd is told again moves behind its like
	return strings.Join(out, "\n")
}

// addr adds or deletes an address on anycast0.
func (r *realFRR) addr(verb, prefix string) {
	r.t.Helper()
	frrRun(r.t, "ip addr "+verb+" "+prefix+" dev anycast0")
}

// frrRun runs a command in the namespace of the test.
func frrRun(t *testing.T, words string) {
	t.Helper()
	w := strings.Fields(words)
	if out, err := exec.Command(w[0], w[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", words, err, out)
	}
}

// frrUntil waits for a condition, 60 s at most.
func frrUntil(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(10 * time.Second); !cond(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("%s: not within a minute", what)
		}
	}
}

// frrSees waits until exactly these are observed; a degraded one is written "P!".
func frrSees(t *testing.T, f *FRR, want ...string) {
	t.Helper()
	last := ""
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("observed last: %s", last)
		}
	})
	defer func() {
		if t.Failed() {
			for _, d := range f.all() {
				h, err := d.held(t.Context(), managed(f.asked))
				t.Logf("%s holds %v (%v)", d.vty.daemon, h, err)
			}
		}
	}()
	frrUntil(t, "observing "+strings.Join(want, " "), func() bool {
		s, err := f.Observe(t.Context())
		var got []string
		for _, r := range s.Routes {
			p := r.Prefix.String()
			if r.Degraded {
				p += "!"
			}
			got = append(got, p)
		}
		last = fmt.Sprint(got, err)
		return err == nil && slices.Equal(got, want)
	})
}

// frrProxy stands between a driver and the daemons and notes the commands that
// are no questions.
type frrProxy struct {
	dir string
	mu  sync.Mutex
	cmd []string
}

func newFRRProxy(t *testing.T, to string, daemons ...string) *frrProxy {
	t.Helper()
	p := &frrProxy{dir: t.TempDir()}
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	for _, name := range daemons {
		l, err := net.Listen("unix", filepath.Join(p.dir, name+".vty"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		wg.Go(func() {
			for {
				front, err := l.Accept()
				if err != nil {
					return
				}
				back, err := net.Dial("unix", filepath.Join(to, name+".vty"))
				if err != nil {
					front.Close()
					continue
				}
				wg.Go(func() { io.Copy(front, back); front.Close() })
				wg.Go(func() { p.pass(front, back) })
			}
		})
	}
	return p
}

func (p *frrProxy) pass(front, back net.Conn) {
	defer back.Close()
	for r := bufio.NewReader(front); ; {
		c, err := r.ReadString(0)
		if err != nil {
			return
		}
		c = strings.TrimSuffix(c, "\x00")
		if !strings.HasPrefix(c, "show ") && c != "enable" && c != "end" {
			p.mu.Lock()
			p.cmd = append(p.cmd, c)
			p.mu.Unlock()
		}
		if _, err := io.WriteString(back, c+"\x00"); err != nil {
			return
		}
	}
}

// taken returns the commands noted since the last call.
func (p *frrProxy) taken() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := p.cmd
	p.cmd = nil
	return out
}

// frrApply applies routes and fails the test if that fails.
func frrApply(t *testing.T, f *FRR, routes ...Route) {
	t.Helper()
	if err := f.Apply(t.Context(), frrState(routes...)); err != nil {
		t.Fatal(err)
	}
}

// frrNetworks returns the network lines in bgpd for these prefixes.
func (r *realFRR) networks(prefixes ...string) string {
	r.t.Helper()
	c := frrRunning(r.ask("bgpd", "show running-config"))
	var out []string
	for _, p := range prefixes {
		if rest, ok := c.networks[netip.MustParsePrefix(p)]; ok {
			out = append(out, p+" "+rest)
		}
	}
	return strings.Join(out, ", ")
}
