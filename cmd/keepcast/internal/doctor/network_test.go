package doctor

import (
	"errors"
	"net/netip"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/keepcast/keepcast/driver/drivertest"
	"github.com/vishvananda/netns"
)

// The kernel's own words, in a namespace.
func TestReadNetwork(t *testing.T) {
	drivertest.NeedsRoot(t, "for a network namespace")
	type answer struct {
		before, after, unnumbered Network
		err                       error
	}
	done := make(chan answer)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends in its namespace
		var a answer
		ns, err := netns.New()
		if err != nil {
			done <- answer{err: err}
			return
		}
		defer ns.Close()
		a.before, a.err = ReadNetwork()
		for _, words := range []string{
			"link set lo up", "link add any0 type ifb", "link set any0 up", "link add e0 type veth peer name e1", "link set e0 up", "link set e1 up",
			"addr add 192.0.2.53/32 dev any0", "addr add 2001:db8:53::53/128 dev any0 nodad noprefixroute",
			"addr add 10.0.0.11/24 dev e0", "route add default via 10.0.0.1",
		} {
			out, err := exec.Command("ip", strings.Fields(words)...).CombinedOutput()
			if err != nil {
				a.err = errors.Join(a.err, errors.New("ip "+words+": "+string(out)))
			}
		}
		var err2 error
		a.after, err2 = ReadNetwork()
		a.err = errors.Join(a.err, err2)
		for _, words := range []string{"route del default", "addr del 10.0.0.11/24 dev e0", "route add default dev e0"} {
			a.err = errors.Join(a.err, exec.Command("ip", strings.Fields(words)...).Run())
		}
		a.unnumbered, err2 = ReadNetwork()
		a.err = errors.Join(a.err, err2)
		done <- a
	}()
	a := <-done
	if a.err != nil {
		t.Fatal(a.err)
	}
	if a.before.IPv4 || a.before.IPv6 || len(a.before.Links) == 0 {
		t.Errorf("an empty namespace: %+v", a.before)
	}
	if !a.after.IPv4 || a.after.IPv6 {
		t.Errorf("routes: IPv4 %t, IPv6 %t", a.after.IPv4, a.after.IPv6)
	}
	for name, n := range map[string]Network{"10.0.0.11": a.after, "192.0.2.53": a.unnumbered} {
		if len(n.Sources) != 1 || n.Sources[0].String() != name {
			t.Errorf("the host sends from %v, not from %s", n.Sources, name)
		}
	}
	want := map[string]Link{
		"lo":   {Name: "lo", Type: "device", Up: true, Loopback: true, Addresses: addresses("127.0.0.1/8", "::1/128")},
		"any0": {Name: "any0", Type: "ifb", Up: true, Addresses: addresses("192.0.2.53/32", "2001:db8:53::53/128")},
		"e0":   {Name: "e0", Type: "veth", Up: true, ARP: true, Addresses: addresses("10.0.0.11/24")},
	}
	want["any0"].Addresses[1].NoPrefixRoute = true
	linkLocal := cmpopts.IgnoreSliceElements(func(a Address) bool { return a.Addr().IsLinkLocalUnicast() })
	same := cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
	for name, link := range want {
		got, _ := a.after.link(name)
		if d := cmp.Diff(link, got, linkLocal, same); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}
