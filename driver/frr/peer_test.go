package frr

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netns"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// frrRouterConfs is the router's side of frrConfs, with quick timers.
var frrRouterConfs = map[string]string{
	"bgpd": `router bgp 65002
 bgp router-id 10.99.0.2
 no bgp ebgp-requires-policy
 neighbor 10.99.0.1 remote-as 65001
 neighbor fd99::1 remote-as 65001
 address-family ipv4 unicast
  no neighbor fd99::1 activate
 exit-address-family
 address-family ipv6 unicast
  neighbor fd99::1 activate
 exit-address-family
`,
	"ospfd":  "interface nr0\n ip ospf area 0\n ip ospf network point-to-point\n ip ospf hello-interval 1\n ip ospf dead-interval 4\nexit\nrouter ospf\n ospf router-id 10.99.0.2\n",
	"ospf6d": "interface nr0\n ipv6 ospf6 area 0\n ipv6 ospf6 network point-to-point\n ipv6 ospf6 hello-interval 1\n ipv6 ospf6 dead-interval 4\nexit\nrouter ospf6\n ospf6 router-id 10.99.0.2\n",
	"isisd":  "router isis A\n lsp-gen-interval 1\n is-type level-2-only\n net 49.0001.0000.0000.0002.00\nexit\ninterface nr0\n ip router isis A\n ipv6 router isis A\n isis network point-to-point\n isis hello-interval 1\n",
}

// frrQuick are the lines by which the host speaks to the router quickly.
var frrQuick = map[string]string{
	"bgpd":   "router bgp 65001\n neighbor 10.99.0.2 timers connect 1\n neighbor fd99::2 timers connect 1\n address-family ipv4 unicast\n  no neighbor fd99::2 activate\n",
	"ospfd":  "interface nh0\n ip ospf network point-to-point\n ip ospf hello-interval 1\n ip ospf dead-interval 4\n",
	"ospf6d": "interface nh0\n ipv6 ospf6 network point-to-point\n ipv6 ospf6 hello-interval 1\n ipv6 ospf6 dead-interval 4\n",
	"isisd":  "interface nh0\n isis network point-to-point\n isis hello-interval 1\n",
}

// router starts another FRR at the other end of nh0, in a namespace of its own.
func (r *realFRR) router(daemons ...string) *realFRR {
	r.t.Helper()
	name := fmt.Sprintf("kc-frr-%d-%d", os.Getpid(), frrSpaces.Add(1))
	frrRun(r.t, "ip netns add "+name)
	r.t.Cleanup(func() { frrRun(r.t, "ip netns del "+name) })
	dir, err := os.MkdirTemp(r.root+"/tmp", "kc-frr-")
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { os.RemoveAll(dir) })
	frrOwns(r.t, r.root, dir)
	far := &realFRR{t: r.t, root: r.root, dir: dir, procs: map[string]*exec.Cmd{}}
	frrRun(r.t, "ip link set nr0 netns "+name)
	for _, words := range []string{"link set lo up", "link set nr0 up", "addr add 10.99.0.2/30 dev nr0", "addr add fd99::2/64 dev nr0 nodad"} {
		frrRun(r.t, "ip -n "+name+" "+words)
	}
	frrIn(r.t, name, func() {
		if r.procs["mgmtd"] != nil {
			far.start("mgmtd")
		}
		for _, d := range append([]string{"zebra"}, daemons...) {
			far.start(d)
		}
	})
	for _, d := range daemons {
		far.enter(d, frrRouterConfs[d])
	}
	return far
}

// frrIn runs work with the test's thread in a namespace.
func frrIn(t *testing.T, name string, work func()) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	old, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	space, err := netns.GetFromName(name)
	if err != nil {
		t.Fatal(err)
	}
	defer space.Close()
	if err := netns.Set(space); err != nil {
		t.Fatal(err)
	}
	work()
	if err := netns.Set(old); err != nil {
		t.Fatal(err)
	}
}

// frrTells waits until show of what is observed is want.
func frrTells(t *testing.T, f *FRR, show func(driver.State) []string, want ...string) {
	t.Helper()
	diff := ""
	var last driver.State
	defer func() {
		if t.Failed() {
			t.Logf("observed last (-want +got):\n%s\n%+v", diff, last.Neighbors) // these say why they are down
		}
	}()
	frrUntil(t, "observing "+strings.Join(want, ", "), func() bool {
		s, err := f.Observe(t.Context())
		last = s
		got := show(s)
		slices.Sort(got)
		slices.Sort(want)
		diff = cmp.Diff(want, got) + drivertest.ErrText(err)
		return diff == ""
	})
}

func frrExports(s driver.State) []string {
	var out []string
	for _, r := range s.Routes {
		out = append(out, r.Prefix.String()+": "+strings.Join(r.ExportedTo, ", "))
	}
	return out
}

func frrFindings(s driver.State) []string { return frrFound(s.Findings) }

// A real router: to whom each address is sent, and what is found if it is not.
func TestFRRRealNeighbors(t *testing.T) {
	r, f, _, _ := frrLife(t)
	r.router(frrAll...)
	for d, lines := range frrQuick {
		r.enter(d, lines)
	}
	r.enter("bgpd", "router bgp 65001\n neighbor 10.99.0.9 remote-as 65009\n") // nobody is there
	r.addr("add", frr4)
	r.addr("add", frr6+" nodad")
	frrApply(t, f, frrRouteOf(frr4, driver.Announced, false), frrRouteOf(frr6, driver.Announced, false))
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	frrTells(t, f, frrExports,
		frr4+": 10.99.0.2, ospf 10.99.0.2 on nh0, isis "+host+" on nh0",
		frr6+": fd99::2, ospf6 10.99.0.2 on nh0, isis "+host+" on nh0")
	frrTells(t, f, func(s driver.State) []string {
		var out []string
		for _, n := range s.Neighbors {
			out = append(out, fmt.Sprintln(n.Protocol, n.Name, n.IPv4, n.IPv6, n.Up))
		}
		return out
	}, "bgp 10.99.0.2 true false true\n", "bgp 10.99.0.9 true false false\n", "bgp fd99::2 false true true\n",
		"isis isis "+host+" on nh0 true true true\n", "ospf ospf 10.99.0.2 on nh0 true false true\n", "ospf ospf6 10.99.0.2 on nh0 false true true\n")
	frrTells(t, f, frrFindings, "warning session-down bgpd neighbor 10.99.0.9")

	frrDoctor(t, r, f) // no subtest: its goroutine would be in another namespace

	// Without an outgoing policy nothing is sent.
	r.ask("bgpd", "configure terminal", "router bgp 65001", "bgp ebgp-requires-policy", "end", "clear bgp *")
	frrTells(t, f, frrFindings, "error not-exported bgpd "+frr4, "error not-exported bgpd "+frr6, "warning session-down bgpd neighbor 10.99.0.9")
	r.ask("bgpd", "configure terminal", "router bgp 65001", "no bgp ebgp-requires-policy", "end", "clear bgp *")
	frrTells(t, f, frrFindings, "warning session-down bgpd neighbor 10.99.0.9")

	// The link goes down: the sessions of BGP stay known, the adjacencies are gone.
	frrRun(t, "ip link set nh0 down")
	frrTells(t, f, frrFindings,
		"error session-down bgpd neighbor 10.99.0.2", "error session-down bgpd neighbor 10.99.0.9", "error session-down bgpd neighbor fd99::2",
		"error no-neighbor ospfd", "error no-neighbor ospf6d", "error no-neighbor isisd")
	frrTells(t, f, frrExports, frr4+": ", frr6+": ")
}

// frrExamines waits until exactly these are found: a session may go once more after it came
// up first.
func frrExamines(t *testing.T, f *FRR, state driver.State, want ...string) {
	t.Helper()
	var found []driver.Finding
	defer func() {
		if t.Failed() {
			t.Logf("found last: %v", found)
		}
	}()
	frrUntil(t, "finding "+strings.Join(want, ", "), func() bool {
		found = f.Examine(t.Context(), state)
		got := frrFound(found)
		slices.Sort(got)
		return slices.Equal(got, want)
	})
}

// frrDoctor examines the daemons of frrLife.
func frrDoctor(t *testing.T, r *realFRR, f *FRR) {
	direct := testFRR(r.dir, frrAll...) // the proxy has no zebra
	defer direct.Close()
	want := f.asked
	frrExamines(t, direct, want,
		"warning no-bfd bgpd neighbor 10.99.0.2", "warning no-bfd bgpd neighbor 10.99.0.9",
		"warning no-bfd bgpd neighbor fd99::2", "warning no-bfd isisd nh0", "warning ospf-throttle ospf6d", "warning ospf-throttle ospfd",
		"warning session-down bgpd neighbor 10.99.0.9")

	// What each fix says makes the finding go.
	r.enter("ospfd", "router ospf\n timers throttle lsa all 0\n timers throttle spf 0 50 500\n timers lsa min-arrival 0\n")
	r.enter("ospf6d", "router ospf6\n timers throttle spf 0 50 500\n timers lsa min-arrival 0\n")
	r.enter("bgpd", "router bgp 65001\n no neighbor 10.99.0.9\n neighbor 10.99.0.2 timers 3 9\n neighbor fd99::2 timers 3 9\n")
	r.ask("bgpd", "clear bgp *")
	r.enter("isisd", "interface nh0\n isis bfd\n")
	defer r.enter("isisd", "interface nh0\n no isis bfd\n")
	defer r.enter("bgpd", "router bgp 65001\n neighbor 10.99.0.9 remote-as 65009\n")
	frrExamines(t, direct, want)

	r.stop("ospfd")
	frrExamines(t, direct, want, "error daemon-down ospfd")
	r.start("ospfd")
	r.load("ospfd")
	r.enter("ospfd", frrQuick["ospfd"])
	frrApply(t, f, want.Routes...)
}

// A network line for what zebra does not have has no effect, and that is said.
func TestFRRRealImportCheck(t *testing.T) {
	r := newRealFRR(t, "bgpd")
	f := testFRR(r.dir, "bgpd")
	defer f.Close()
	network := frrRouteOf("203.0.113.0/24", driver.Announced, false)
	network.PrefixOnly = true
	frrApply(t, f, network, frrRouteOf(frr4, driver.Announced, false))
	shut := []string{"error session-down bgpd neighbor 10.99.0.2", "error session-down bgpd neighbor fd99::2"}
	// Nothing is said of the address, which is not on the host.
	frrTells(t, f, frrFindings, append(slices.Clone(shut), "error import-check bgpd 203.0.113.0/24")...)
	frrRun(t, "ip route add blackhole 203.0.113.0/24")
	frrTells(t, f, frrFindings, shut...)
	frrTells(t, f, frrExports, "203.0.113.0/24: ")
}

// Daemons that mgmtd configures are looked over like the others.
func TestFRRRealExamineManaged(t *testing.T) {
	daemons := []string{"ripd", "ripngd", "babeld"}
	r := newRealFRR(t, daemons...)
	f := testFRR(r.dir, daemons...)
	defer f.Close()
	to := "ripd"
	if r.procs["mgmtd"] != nil {
		to = "mgmtd"
	}
	r.enter(to, "router rip\n redistribute kernel\n")
	got := frrFound(f.Examine(t.Context(), frrState(frrRouteOf(frr4, driver.Announced, false))))
	if !slices.Contains(got, "warning redistribute-unfiltered ripd redistribute kernel") {
		t.Errorf("found %q", got)
	}
	for _, line := range got {
		if strings.Contains(line, "unreachable") || strings.Contains(line, "ripngd redistribute") {
			t.Errorf("found %q", line)
		}
	}
}
