package engine

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/reconcile"
	"github.com/keepcast/keepcast/driver"
)

func TestAnnounced(t *testing.T) {
	there, missing, unknown := api.Observation{Present: true}, api.Observation{}, api.Observation{Unknown: true}
	tells := api.Observation{Present: true, Neighbors: new(2), ExportedTo: []string{"r1"}}
	silent := api.Observation{Present: true, Neighbors: new(1)}
	nobody, unasked := api.Observation{Neighbors: new(0)}, api.Observation{Unknown: true, Neighbors: new(0)}
	for name, tc := range map[string]struct {
		observed map[string]api.Observation
		want     bool
	}{
		"no driver at all":               {map[string]api.Observation{}, true},
		"the kernel alone":               {map[string]api.Observation{"kernel": there}, true},
		"not in the kernel":              {map[string]api.Observation{"kernel": missing, "bird": tells}, false},
		"the kernel can't be asked":      {map[string]api.Observation{"kernel": unknown, "bird": tells}, false},
		"a neighbor is told":             {map[string]api.Observation{"kernel": there, "bird": tells}, true},
		"no neighbor is told":            {map[string]api.Observation{"kernel": there, "bird": silent}, false},
		"a daemon that does not tell":    {map[string]api.Observation{"kernel": there, "bird": there}, true},
		"not in the daemon":              {map[string]api.Observation{"kernel": there, "bird": missing}, false},
		"no neighbor at all":             {map[string]api.Observation{"kernel": there, "bird": nobody}, false},
		"no neighbor, but another tells": {map[string]api.Observation{"kernel": there, "bird": nobody, "frr": tells}, true},
		"one of two tells":               {map[string]api.Observation{"bird": silent, "frr": tells}, false},
		"one of two can't be asked":      {map[string]api.Observation{"bird": unasked, "frr": tells}, true},
	} {
		if got := announced(api.AddressStatus{Observed: tc.observed}); got != tc.want {
			t.Errorf("%s: got %t", name, got)
		}
	}
}

// What is shown follows the address that is furthest behind.
func TestShown(t *testing.T) {
	at := func(o api.Observation) api.AddressStatus {
		return api.AddressStatus{Observed: map[string]api.Observation{"other": {}, "bird": o}}
	}
	there, missing, unknown := at(api.Observation{Present: true}), at(api.Observation{}), at(api.Observation{Unknown: true})
	there.Observed = map[string]api.Observation{"bird": {Present: true}}
	held := at(api.Observation{HeldBy: []driver.Held{{Neighbor: "r1"}}})
	for name, tc := range map[string]struct {
		desired   api.State
		addresses []api.AddressStatus
		want      api.State
	}{
		"announced":                   {api.Announced, []api.AddressStatus{there, there}, api.Announced},
		"announced, one is missing":   {api.Announced, []api.AddressStatus{there, missing}, api.Announcing},
		"degraded":                    {api.Degraded, []api.AddressStatus{there}, api.Degraded},
		"degraded, but missing":       {api.Degraded, []api.AddressStatus{missing}, api.Announcing},
		"draining, whatever there is": {api.Draining, []api.AddressStatus{there, missing}, api.Draining},
		"withdrawn":                   {api.Withdrawn, []api.AddressStatus{missing, missing}, api.Withdrawn},
		"withdrawn, one is there":     {api.Withdrawn, []api.AddressStatus{missing, there}, api.Withdrawing},
		"withdrawn, one may be there": {api.Withdrawn, []api.AddressStatus{missing, unknown}, api.Withdrawing},
		// bgpd died with graceful restart: the router sent packets here for 45 s more.
		"withdrawn, a neighbor waits":  {api.Withdrawn, []api.AddressStatus{missing, held}, api.Withdrawing},
		"withdrawn, without addresses": {api.Withdrawn, nil, api.Withdrawn},
	} {
		if got := shown(tc.desired, tc.addresses); got != tc.want {
			t.Errorf("%s: got %s, want %s", name, got, tc.want)
		}
	}
}

func TestObservation(t *testing.T) {
	p := netip.MustParsePrefix(address)
	routes := map[netip.Prefix]driver.Route{p: {ExportedTo: []string{"r1"}}}
	waits := driver.Held{Prefix: p, Neighbor: "r1", Until: time.Now().Add(time.Hour), Reason: "graceful restart"}
	gaveUp := driver.Held{Prefix: p, Neighbor: "r2", Until: time.Now().Add(-time.Second)}
	other := driver.Held{Prefix: netip.MustParsePrefix("192.0.2.99/32"), Neighbor: "r1"}
	for name, tc := range map[string]struct {
		observed reconcile.Observed
		want     api.Observation
	}{
		"there":              {reconcile.Observed{Routes: routes, Whole: true}, api.Observation{Present: true, ExportedTo: []string{"r1"}}},
		"there, as far as":   {reconcile.Observed{Routes: routes}, api.Observation{Present: true, ExportedTo: []string{"r1"}}},
		"missing":            {reconcile.Observed{Whole: true}, api.Observation{}},
		"not asked":          {reconcile.Observed{}, api.Observation{Unknown: true}},
		"without a neighbor": {reconcile.Observed{Whole: true, Neighbors: []driver.Neighbor{}}, api.Observation{Neighbors: new(0)}},
		"held by a neighbor": {reconcile.Observed{Whole: true, Held: []driver.Held{waits, gaveUp, other}}, api.Observation{HeldBy: []driver.Held{waits}}},
		"with neighbors": {
			reconcile.Observed{Whole: true, Neighbors: []driver.Neighbor{{IPv4: true}, {IPv4: true, Up: true}, {IPv6: true}}},
			api.Observation{Neighbors: new(2)},
		},
	} {
		if diff := cmp.Diff(tc.want, observation(tc.observed, p), cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

// What a driver has not reported on, it is not in sync with. A daemon that hung for three
// seconds, and one that hung in a file for seventy, were shown as in sync.
func TestDriverStatus(t *testing.T) {
	at := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	since := func(ago time.Duration) map[string]time.Time { return map[string]time.Time{"bird": at.Add(-ago)} }
	for name, tc := range map[string]struct {
		report reconcile.Report
		behind map[string]time.Time
		want   api.DriverStatus
	}{
		"in sync":              {reconcile.Report{InSync: true, Since: at}, nil, api.DriverStatus{InSync: true, Since: at}},
		"not yet":              {reconcile.Report{}, nil, api.DriverStatus{}},
		"refuses":              {reconcile.Report{Err: errDead, Since: at}, since(time.Hour), api.DriverStatus{Error: "connection refused", Since: at}},
		"can't be asked":       {reconcile.Report{InSync: true, Unobserved: errDead}, nil, api.DriverStatus{Error: "can't be asked what it announces: connection refused"}},
		"neither obeys nor is": {reconcile.Report{Err: errDead, Unobserved: errDead}, nil, api.DriverStatus{Error: "connection refused"}},
		"has a change to do":   {reconcile.Report{InSync: true, Since: at}, since(2 * time.Second), api.DriverStatus{Since: at}},
		"hangs with a change": {
			reconcile.Report{InSync: true, Since: at},
			since(3 * time.Second),
			api.DriverStatus{Error: "no answer to a change since 11:59:57: it hangs, or a file that it needs does", Since: at.Add(-3 * time.Second)},
		},
		"was heard of": {reconcile.Report{InSync: true, Since: at, At: at.Add(-45 * time.Second)}, nil, api.DriverStatus{InSync: true, Since: at}},
		"was not heard of for a while": {
			reconcile.Report{InSync: true, Since: at, At: at.Add(-46 * time.Second)},
			nil,
			api.DriverStatus{Error: "not heard of since 11:59:14: it hangs, or a file that it needs does", Since: at.Add(-46 * time.Second)},
		},
	} {
		p := published{reports: map[string]reconcile.Report{"bird": tc.report}, behind: tc.behind}
		tc.want.Name, tc.want.Kind = "bird", "kind"
		if diff := cmp.Diff(tc.want, p.driverStatus("bird", "kind", at)); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

// TestStatus takes the whole status of two services.
func TestStatus(t *testing.T) {
	b := newHarness(t)
	b.keep = true
	b.cfg.Files = []string{"keepcast.yaml"}
	dns := b.service("dns", "192.0.2.53/24", &fakeCheck{err: errDead}, &fakeCheck{})
	dns.Drivers = []string{"other"}
	dns.Prefixes = []config.Prefix{{Prefix: netip.MustParsePrefix("203.0.113.0/24")}}
	b.service("ldap", "192.0.2.54/32")
	b.addDriver("other", &fakeDriver{journal: b.kernel.journal, name: "other"})
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		b.start()
		later(3 * time.Second)
		if err := b.engine.Drain([]string{"dns"}, time.Time{}, "CHG-1", ""); err != nil {
			t.Fatal(err)
		}
		later(300 * time.Millisecond)
		last := begun.Add(3 * time.Second)
		none, kernel := api.Observation{}, map[string]api.Observation{"kernel": {Present: true}, "bird": {Present: true}, "other": {Present: true}}
		want := api.Status{
			Version: "test", Started: begun, Config: api.ConfigStatus{Files: []string{"keepcast.yaml"}, Loaded: begun},
			Services: []api.ServiceStatus{
				{
					Name: "dns", State: api.Withdrawn, Desired: api.Withdrawn, Reason: "drained: CHG-1", Since: begun,
					Drain: &api.Drain{Service: "dns", Reason: "CHG-1", Since: last},
					Addresses: []api.AddressStatus{
						{Address: "192.0.2.53/24", Prefix: "192.0.2.0/24", Desired: "delivered", Observed: map[string]api.Observation{"kernel": none, "other": none}},
						{Address: "203.0.113.0/24", Prefix: "203.0.113.0/24", PrefixOnly: true, Desired: "absent", Observed: map[string]api.Observation{"other": none}},
					},
					Checks: []api.CheckStatus{
						{Name: "checka", Kind: "fake", OnFailure: "withdraw", Verdict: health.Down, Error: "connection refused", LastRun: last},
						{Name: "checkb", Kind: "fake", OnFailure: "withdraw", Verdict: health.Up, LastRun: last},
					},
				},
				{
					Name: "ldap", State: api.Announced, Desired: api.Announced, Reason: "all checks up", Since: begun,
					Addresses: []api.AddressStatus{{Address: "192.0.2.54/32", Prefix: "192.0.2.54/32", Desired: "announced", Observed: kernel}},
					Checks:    []api.CheckStatus{},
				},
			},
			Drivers: []api.DriverStatus{
				{Name: "kernel", Kind: "kernel", InSync: true, Since: begun},
				{Name: "bird", Kind: "bird", InSync: true, Since: begun},
				{Name: "other", Kind: "other", InSync: true, Since: begun},
			},
		}
		got, err := b.engine.Status()
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v\n%s", err, diff)
		}
		b.end()
	})
}

// The log said announced long before a neighbor had it. Now it says that this is decided, and
// then that it is so.
func TestReachedIsTold(t *testing.T) {
	b := newHarness(t)
	b.keep = true
	c := &fakeCheck{}
	b.service("dns", address, c)
	b.driver.neighbors = []driver.Neighbor{{Name: "r1", Protocol: "bgp", IPv4: true}}
	synctest.Test(t, func(t *testing.T) {
		b.kernel.fail = errDead
		b.driver.neighbors[0].Up = true
		b.start()
		later(10 * time.Second)
		b.wantLog(1, `msg="service state decided" service=dns state=announced`)
		b.wantLog(0, "reached") // the daemon has it, the host has not
		b.driver.set(func() { b.driver.neighbors = []driver.Neighbor{{Name: "r1", Protocol: "bgp", IPv4: true}} })
		later(10 * time.Second)
		b.kernel.set(func() { b.kernel.fail = nil })
		later(time.Minute)
		b.wantKernel(address, driver.Announced)
		b.wantLog(0, "reached")
		b.driver.set(func() { b.driver.neighbors = []driver.Neighbor{{Name: "r1", Protocol: "bgp", IPv4: true, Up: true}} })
		later(30 * time.Second)
		b.wantLog(1, `msg="service state reached" service=dns state=announced after=1m2`)
		b.driver.set(func() { b.driver.fail = errDead }) // its gate stays open
		c.set(errDead)
		later(10 * time.Second)
		b.wantLog(1, `msg="service state decided" service=dns state=withdrawn`)
		b.wantLog(1, "reached")
		b.driver.set(func() { b.driver.fail = nil })
		later(time.Minute)
		b.wantLog(1, `msg="service state reached" service=dns state=withdrawn`)
		b.wantLog(2, "reached")
		b.end()
	})
}

// A driver that hangs with a change is told by when it was given it.
func TestHangsWithAChange(t *testing.T) {
	b := newHarness(t)
	b.keep = true
	c := &fakeCheck{}
	b.service("dns", address, c)
	b.cfg.Drivers[0].FollowsAddress = false // its gate closes at once
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(time.Minute)
		b.driver.set(func() { b.driver.hang = true })
		c.set(errDead)
		later(10 * time.Second)
		s, err := b.engine.Status()
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("no answer to a change since %s: it hangs, or a file that it needs does", s.Services[0].Since.Format(time.TimeOnly))
		if d := s.Drivers[1]; d.InSync || d.Error != want {
			t.Errorf("shown as %+v, want %s", d, want)
		}
		b.end()
	})
}

// Who asks before the host was looked at is told so, and not that there are no services.
func TestStatusWhileStarting(t *testing.T) {
	b := newHarness(t)
	b.create()
	if _, err := b.engine.Status(); !errors.Is(err, errStarting) {
		t.Errorf("got %v", err)
	}
}
