package engine

import (
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// A restart takes over what the host has and what the last run left of it.
func TestAdopt(t *testing.T) {
	const second = "2001:db8::53/128"
	old := time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
	left := func(state api.State) []savedService {
		return []savedService{{Name: "dns", State: state, Since: old, LingerUntil: old.Add(time.Minute), Failures: 3, LastFailure: old.Add(time.Second)}}
	}
	type taken struct {
		State    api.State
		Old      bool // since when the last run says
		Reason   string
		Failures int
	}
	const fresh, adopted = "no check has been up yet", "adopted: the host had it"
	for name, tc := range map[string]struct {
		host  []string // announced
		saved []savedService
		want  taken
	}{
		"announced":                {[]string{address, second}, left(api.Announced), taken{api.Announced, true, adopted, 3}},
		"degraded":                 {[]string{address, second}, left(api.Degraded), taken{api.Degraded, true, adopted, 3}},
		"nothing saved":            {[]string{address, second}, nil, taken{api.Announced, false, adopted, 0}},
		"not on the host":          {nil, left(api.Announced), taken{api.Withdrawn, false, fresh, 3}},
		"half of it on the host":   {[]string{address}, left(api.Announced), taken{api.Announced, true, adopted, 3}},
		"half of it, nothing left": {[]string{second}, nil, taken{api.Announced, false, adopted, 0}},
		"withdrawn":                {nil, left(api.Withdrawn), taken{api.Withdrawn, false, fresh, 3}},
		"withdrawn, but there":     {[]string{address, second}, left(api.Withdrawn), taken{api.Withdrawn, false, fresh, 3}},
		"draining":                 {nil, left(api.Draining), taken{api.Draining, true, fresh, 3}},
		"draining, but there":      {[]string{address, second}, left(api.Draining), taken{api.Draining, true, fresh, 3}},
		"nothing":                  {nil, nil, taken{api.Withdrawn, false, fresh, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newHarness(t)
			dns := b.service("dns", address)
			dns.Addresses = append(dns.Addresses, config.Address{Prefix: netip.MustParsePrefix(second)})
			for _, p := range tc.host {
				b.kernel.have[netip.MustParsePrefix(p)] = driver.Announced
			}
			b.saves(saved{Services: tc.saved})
			b.create()
			if err := b.engine.start(t.Context()); err != nil {
				t.Fatal(err)
			}
			s := b.engine.services[0]
			if diff := cmp.Diff(tc.want, taken{s.state, s.since.Equal(old), s.reason, s.hold.failures}); diff != "" {
				t.Error(diff)
			}
			if known := tc.saved != nil; known != s.lingerUntil.Equal(old.Add(time.Minute)) || known != s.hold.last.Equal(old.Add(time.Second)) {
				t.Errorf("linger until %s, failed at %s", s.lingerUntil, s.hold.last)
			}
			b.wantLog(map[bool]int{true: 1}[tc.want.Reason == adopted], "level=INFO msg=adopted service=dns state="+string(tc.want.State))
		})
	}
}

// What the last run had and no service has any more leaves: what was announced after
// linger, the rest at once. What is configured again stays.
func TestAdoptWhatLeaves(t *testing.T) {
	prefix := netip.MustParsePrefix
	now := time.Now().Truncate(time.Second)
	b := newHarness(t)
	b.cfg.Linger = 10 * time.Second
	b.service("dns", address).Prefixes = []config.Prefix{{Prefix: prefix("203.0.113.0/24")}}
	left := leaving{Service: "web", Prefix: prefix("192.0.2.55/32"), Until: now.Add(time.Hour)}
	last := saved{
		Services: []savedService{
			{Name: "dns", State: api.Announced, Addresses: []netip.Prefix{prefix("192.0.2.53/24")}, Prefixes: []netip.Prefix{prefix("203.0.113.0/24"), prefix("203.0.112.0/24")}},
			{Name: "ldap", State: api.Degraded, Addresses: []netip.Prefix{prefix("192.0.2.54/32")}, Interface: "old0"},
			{Name: "ntp", State: api.Withdrawn, Addresses: []netip.Prefix{prefix("192.0.2.123/32")}},
		},
		Leaving: []leaving{
			left,
			{Service: "back", Prefix: prefix(address), Until: now.Add(time.Hour)},
			{Service: "back", Prefix: prefix("203.0.113.0/24"), PrefixOnly: true, Until: now.Add(time.Hour)},
		},
	}
	want := []leaving{
		left,
		{Service: "dns", Prefix: prefix("203.0.112.0/24"), PrefixOnly: true, Until: now.Add(10 * time.Second)},
		{Service: "ldap", Prefix: prefix("192.0.2.54/32"), Interface: "old0", Until: now.Add(10 * time.Second)},
		{Service: "ntp", Prefix: prefix("192.0.2.123/32"), Until: now},
	}
	b.create()
	if err := b.engine.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.engine.adopt(driver.State{}, last, now)
	if diff := cmp.Diff(want, b.engine.leaving, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

// Linger ends now at the earliest: what leaves is forgotten by the time since then, and
// not before it is off the host.
func TestLeave(t *testing.T) {
	now := time.Now()
	for name, tc := range map[string]struct{ until, want time.Time }{
		"still lingers":  {now.Add(time.Second), now.Add(time.Second)},
		"linger is over": {now.Add(-time.Hour), now},
		"never lingered": {time.Time{}, now},
	} {
		b := newHarness(t)
		b.create()
		b.engine.leave(savedService{Addresses: []netip.Prefix{netip.MustParsePrefix(address)}}, tc.until, now)
		if l := b.engine.leaving; len(l) != 1 || l[0].Until != tc.want {
			t.Errorf("%s: leaving %v", name, l)
		}
	}
}

// What leaves is delivered until linger is over, but for one of the prefixes, which has
// no address.
func TestDesiredOfWhatLeaves(t *testing.T) {
	prefix := netip.MustParsePrefix
	now := time.Now()
	b := newHarness(t)
	b.create()
	b.engine.leaving = []leaving{
		{Service: "dns", Prefix: prefix(address), Interface: "dns0", Until: now.Add(1)},
		{Service: "dns", Prefix: prefix("203.0.113.0/24"), PrefixOnly: true, Until: now.Add(1)},
		{Service: "web", Prefix: prefix("192.0.2.55/32"), Until: now},
	}
	want := []driver.Route{
		{Service: "dns", Prefix: prefix(address), Interface: "dns0", Presence: driver.Delivered},
		{Service: "dns", Prefix: prefix("203.0.113.0/24"), PrefixOnly: true},
		{Service: "web", Prefix: prefix("192.0.2.55/32")},
	}
	if diff := cmp.Diff(want, b.engine.desired(now).Routes, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	b.engine.finished = true
	for _, r := range b.engine.desired(now).Routes {
		if r.Presence != driver.Absent {
			t.Errorf("in the end: %+v", r)
		}
	}
}

// All that is saved of a service is there again after a restart.
func TestSavedState(t *testing.T) {
	prefix := netip.MustParsePrefix
	at := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	dir := t.TempDir()
	s := &service{
		cfg:   &config.Service{Name: "dns", Interface: "dns0", Addresses: []config.Address{{Prefix: prefix(address)}}, Prefixes: []config.Prefix{{Prefix: prefix("203.0.113.0/24")}}},
		state: api.Draining, since: at, lingerUntil: at.Add(time.Second), hold: hold{failures: 2, last: at.Add(time.Minute)},
	}
	want := saved{
		Services: []savedService{{
			Name: "dns", State: api.Draining, Since: at, LingerUntil: at.Add(time.Second), Failures: 2, LastFailure: at.Add(time.Minute),
			Addresses: []netip.Prefix{prefix(address)}, Interface: "dns0", Prefixes: []netip.Prefix{prefix("203.0.113.0/24")},
		}},
		Leaving: []leaving{{Service: "web", Prefix: prefix("192.0.2.0/24"), PrefixOnly: true, Until: at}},
	}
	if err := stateDocument(dir).Save(saved{Services: []savedService{savedOf(s)}, Leaving: want.Leaving}); err != nil {
		t.Fatal(err)
	}
	got, err := loadSaved(dir)
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
}

// The configuration in force is kept as one file, from the start and from each reload.
func TestInForce(t *testing.T) {
	b := newHarness(t)
	b.keep = true
	path, lastGood := InForceFile(b.cfg.RuntimeDir), config.LastGoodFile(b.cfg.StateDir)
	want := []byte("linger: 5s\n")
	b.cfg.Text = func() ([]byte, error) { return want, nil }
	synctest.Test(t, func(t *testing.T) {
		kept := func(when string) {
			t.Helper()
			for _, path := range []string{path, lastGood} {
				if text, err := os.ReadFile(path); err != nil || string(text) != string(want) {
					t.Errorf("after %s: %s: %q, %v", when, path, text, err)
				}
			}
		}
		b.start()
		later(time.Second)
		kept("the start")
		for _, path := range []string{path, lastGood} {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
		b.reload(func(*config.Config) {})
		kept("the reload")
		const text = `level=ERROR msg="configuration in force not saved: keepcast withdraw-all has to go by the files of the operator" err=`
		b.wantLog(0, text)
		if err := os.RemoveAll(b.cfg.RuntimeDir); err != nil {
			t.Fatal(err)
		}
		b.reload(func(*config.Config) {})
		b.wantLog(1, text)
		b.end()
	})
}

// Draining goes on over a restart until its linger is over.
func TestDrainingSurvivesRestart(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address).WhileWithdrawn = "absent"
	b.keep = true
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(time.Second)
		if err := b.engine.Drain(nil, time.Time{}, "CHG-1", ""); err != nil {
			t.Fatal(err)
		}
		later(5 * time.Second)
		b.end()
		b.start()
		later(5*time.Second - 1)
		b.want("dns", api.Draining, "drained: CHG-1")
		b.wantKernel(address, driver.Delivered)
		later(1)
		b.want("dns", api.Withdrawn, "drained: CHG-1")
		b.wantKernel(address, driver.Absent)
		b.end()
	})
}

// So does hold-down, and what the failures before add to it.
func TestHoldDownSurvivesRestart(t *testing.T) {
	b := newHarness(t)
	c := &fakeCheck{}
	b.service("dns", address, c).HoldDown = 20 * time.Second
	b.keep = true
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2 * time.Second)
		c.set(errDead)
		later(2 * time.Second)
		c.set(nil)
		b.end()
		b.start()
		later(15 * time.Second)
		if s, reason := b.state("dns"); s != api.Withdrawn || !strings.HasSuffix(reason, "(1 failures in a row)") {
			t.Errorf("got %s (%s)", s, reason)
		}
		later(5 * time.Second)
		b.want("dns", api.Announced, "all checks up")
		b.end()
	})
}

// A damaged state is told of, and its copy counts.
func TestDamagedStateIsTold(t *testing.T) {
	b := newHarness(t)
	b.create()
	want := saved{Services: []savedService{{Name: "dns", State: api.Announced}}}
	if err := b.engine.disk.savedState.Save(want); err != nil {
		t.Fatal(err)
	}
	drivertest.WriteFile(t, b.engine.disk.savedState.Path, "{")
	if got := b.engine.loadState(time.Now()); len(got.Services) != 1 {
		t.Errorf("loaded %+v", got)
	}
	b.wantLog(1, `level=WARN msg="saved state damaged"`)
}

// Another interface was configured for all, and keepcast restarted: the address was withdrawn for
// as long as its checks took, and stayed on the old interface for ever.
func TestAdoptFromFormerInterface(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address)
	synctest.Test(t, func(*testing.T) {
		b.start()
		later(time.Second)
		if s, err := loadSaved(b.cfg.RuntimeDir); err != nil || s.Interface != b.cfg.Interface {
			t.Errorf("saved: %+v, %v", s, err)
		}
		b.end()
	})
	b.create()
	saved := saved{Interface: "old0", Services: []savedService{{Name: "dns"}, {Name: "own", Interface: "own0"}}, Leaving: []leaving{{}, {Interface: "own0"}}}
	for was, want := range map[string]string{"old0": "old0", b.cfg.Interface: "", "": ""} {
		saved.Interface = was
		b.saves(saved)
		got := b.engine.loadState(time.Now())
		on := []string{got.Services[0].Interface, got.Services[1].Interface, got.Leaving[0].Interface, got.Leaving[1].Interface}
		if diff := cmp.Diff([]string{want, "own0", want, "own0"}, on); diff != "" {
			t.Errorf("%q: %s", was, diff)
		}
	}
}
