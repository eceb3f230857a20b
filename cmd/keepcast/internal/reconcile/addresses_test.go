package reconcile

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/driver"
)

const unclaimedSix = `level=WARN msg=finding driver=kernel finding=address-unclaimed level=warning subject=anycast0` +
	` text="has addresses that no service has, and keepcast leaves them alone: ` + six + `"` +
	` fix="what a service had that is gone: ip address del ADDRESS dev anycast0; what is yours: put it on an interface that keepcast does not use;` +
	` what another keepcast of this host announces: give each keepcast an interface of its own (the setting interface)"`

// A service was taken out of the configuration while keepcast was stopped, and /run was
// lost: its address stayed on the host for ever, and nothing said so.
func TestUnclaimed(t *testing.T) {
	other := throughInterface("other0", announced("198.51.100.1/24"))
	observed := state(announced(one), announced(two), throughInterface("lo", announced("10.0.0.11/32")), throughInterface("lo", announced("127.0.0.1/8")),
		announced("fe80::1/64"), delivered("192.0.2.99/32"), other)
	var got []string
	for _, f := range unclaimed(observed, state(gone("192.0.2.53/24"), announced("198.51.100.2/24"))) {
		got = append(got, fmt.Sprintf("%s %s %s", f.Level, f.Name, f))
	}
	fix := func(iface string) string {
		return ": what a service had that is gone: ip address del ADDRESS dev " + iface + "; what is yours: put it on an interface that keepcast does not use;" +
			" what another keepcast of this host announces: give each keepcast an interface of its own (the setting interface)"
	}
	if diff := cmp.Diff([]string{
		"warning address-unclaimed anycast0: has addresses that no service has, and keepcast leaves them alone: 192.0.2.54/32" + fix("anycast0"),
		"info address-unclaimed lo: has addresses that no service has, and keepcast leaves them alone: 10.0.0.11/32" + fix("lo"),
		"warning address-unclaimed other0: has addresses that no service has, and keepcast leaves them alone: 198.51.100.1/24" + fix("other0"),
		"info address-unclaimed delivered: no service has what a route of keepcast delivers on this host: 192.0.2.99/32:" +
			" where another keepcast of this host has it, that is as it should be; else, for each: ip route del local ADDRESS table all proto 250",
	}, got); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
}

// A host of two keepcasts with one interface, and of a thousand addresses, had a thousand
// findings in each status, log and scrape.
func TestUnclaimedIsBounded(t *testing.T) {
	var observed driver.State
	for i := range 1000 {
		prefix := fmt.Sprintf("10.1.%d.%d/32", i/250, i%250+1)
		observed.Routes = append(observed.Routes, announced(prefix), delivered("10.2"+prefix[len("10.1"):]))
	}
	observed.Interface = "anycast0"
	var got []string
	for _, f := range unclaimed(observed, state()) {
		got = append(got, f.Subject+": "+f.Text)
	}
	if diff := cmp.Diff([]string{
		"anycast0: has addresses that no service has, and keepcast leaves them alone: 10.1.0.1/32 10.1.0.2/32 10.1.0.3/32 10.1.0.4/32 10.1.0.5/32 and 995 more",
		"delivered: no service has what a route of keepcast delivers on this host: 10.2.0.1/32 10.2.0.2/32 10.2.0.3/32 10.2.0.4/32 10.2.0.5/32 and 995 more",
	}, got); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
}

// What is found about the kernel has lasted, stays while the kernel can't be asked, and is
// over once the address is gone. An address that the kernel was let go of is claimed still.
func TestUnclaimedLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.put(six, driver.Announced)
		h.put(two, driver.Announced)
		h.start()
		h.gen++
		off := map[netip.Prefix]bool{netip.MustParsePrefix(two): true}
		h.reconciler.Apply(Desired{State: state(announced(one), gone(two)), Gen: h.gen, Off: off})
		h.later(findingLasts - 1)
		h.logged()
		h.later(1)
		h.logged(unclaimedSix)
		h.finds("anycast0")
		h.kernel.fails["observe"] = errNetlink
		h.later(Interval)
		h.logged(`level=ERROR msg="kernel not in sync, retrying" driver=kernel err="no buffer space available"`)
		delete(h.kernel.fails, "observe")
		h.put(six, driver.Absent)
		h.later(2 * Interval)
		h.logged(`level=INFO msg="finding is over" driver=kernel finding=address-unclaimed subject=anycast0`, `level=INFO msg="kernel in sync again" driver=kernel after=1`)
		h.finds()
	})
}

// An address that the kernel has let go of belongs to whoever puts it on the host then:
// keepcast took it off again, of an operator who had moved it out of the configuration. One
// that it has not let go of goes, and one that is to be announced comes.
func TestLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.start()
		h.put(two, driver.Announced)
		h.put(six, driver.Announced)
		h.gen++
		off := map[netip.Prefix]bool{netip.MustParsePrefix(one): true, netip.MustParsePrefix(two): true}
		h.reconciler.Apply(Desired{State: state(announced(one), gone(two), gone(six)), Gen: h.gen, Off: off})
		h.later(2 * Interval)
		h.did("0s kernel has "+six+" absent", "0s kernel has "+one+" announced")
		h.says(KernelName, "gen 1, in sync")
	})
}

// finds compares what is found about the kernel with the subjects of it.
func (h *harness) finds(want ...string) {
	h.t.Helper()
	var got []string
	for _, f := range h.reports[KernelName].Observed.Findings {
		got = append(got, f.Subject)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		h.t.Errorf("findings (-want +got):\n%s", diff)
	}
}

// With manage_addresses: false nobody said that an address is missing, for which the
// service stayed announcing for ever.
func TestAddressMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.kernel = nil
		have, unknown := []driver.Route{throughInterface("eth0", announced("192.0.2.55/24"))}, error(nil)
		h.host = func() ([]driver.Route, error) { return have, unknown }
		h.start()
		network := prefixOnly(announced("203.0.113.0/24"))
		h.desire(announced(one), announced(six), announced("192.0.2.55/32"), network, delivered("192.0.2.56/32"))
		h.later(lookInterval + findingLasts - 1)
		h.logged()
		h.later(1)
		h.logged(`level=WARN msg=finding driver=kernel finding=address-missing level=error subject=dns` +
			` text="is to be announced, but with manage_addresses: false somebody else puts its addresses on this host, and has not: ` + one + " " + six + `"` +
			` fix="add what is missing in the network configuration of this host, or leave it to keepcast (manage_addresses: true)"`)
		h.finds("dns")
		unknown = errors.New("out of sockets")
		have = []driver.Route{throughInterface("lo", announced(one))}
		h.desire(announced(one))
		h.later(lookInterval)
		h.logged() // nothing is known to be over
		unknown = nil
		h.later(lookInterval)
		h.logged(`level=INFO msg="finding is over" driver=kernel finding=address-missing subject=dns`)
		h.finds()
	})
}

// A daemon that looks at one interface only announced nothing of what was on another one, and
// nobody said why. One that looks at all does.
func TestAddressMissingOnInterface(t *testing.T) {
	for name, tc := range map[string]struct {
		host []driver.Route
		only map[string][]string // the drivers of a service
		want string              // what is missing
	}{
		"nothing there":          {nil, nil, "anycast0, from where alone a daemon announces them, and has not: " + one},
		"there":                  {[]driver.Route{throughInterface("anycast0", announced(one))}, nil, ""},
		"on another interface":   {[]driver.Route{throughInterface("lo", announced(one))}, nil, "anycast0, from where alone a daemon announces them, and has not: " + one},
		"with another length":    {[]driver.Route{throughInterface("anycast0", announced("192.0.2.53/24"))}, nil, "anycast0, from where alone a daemon announces them, and has not: " + one},
		"not there for the rest": {nil, map[string][]string{"dns": {"frr"}}, "this host, and has not: " + one},
		"on any for the rest":    {[]driver.Route{throughInterface("lo", announced("192.0.2.53/24"))}, map[string][]string{"dns": {"frr"}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t)
				h.kernel = nil
				h.host = func() ([]driver.Route, error) { return tc.host, nil }
				_, bird := h.bird()
				_, frr := h.frr()
				bird.NeedsInterface = true
				h.start(bird, frr)
				h.reconciler.Apply(Desired{State: state(announced(one)), Drivers: tc.only, Gen: 1})
				h.later(time.Minute)
				got := ""
				for _, f := range h.reports[KernelName].Observed.Findings {
					got += strings.TrimPrefix(f.Text, "is to be announced, but with manage_addresses: false somebody else puts its addresses on ")
				}
				if got != tc.want {
					t.Errorf("missing on %q, want %q", got, tc.want)
				}
			})
		})
	}
}
