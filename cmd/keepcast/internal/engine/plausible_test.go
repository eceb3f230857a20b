package engine

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/driver"
)

// A state that this keepcast does not know, of a newer one or edited, moved the routes of
// the service at the start, and nothing was logged. Now the host alone says what it was.
func TestUnknownState(t *testing.T) {
	b := newHarness(t)
	b.cfg.Linger = 10 * time.Second
	b.service("dns", address)
	b.service("ldap", "192.0.2.54/32")
	b.kernel.have[netip.MustParsePrefix(address)] = driver.Announced
	left := netip.MustParsePrefix("192.0.2.55/32")
	b.saves(saved{Services: []savedService{
		{Name: "dns", State: "preferred", Failures: 3, LastFailure: time.Now()},
		{Name: "ldap", State: api.Announcing}, // only shown, never decided
		{Name: "web", State: "preferred", Addresses: []netip.Prefix{left}},
	}})
	b.create()
	if err := b.engine.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]api.State{"dns": api.Announced, "ldap": api.Withdrawn}, b.decided()); diff != "" {
		t.Error(diff)
	}
	if s := b.engine.services[0]; s.reason != "adopted: the host had it" || s.hold.failures != 0 {
		t.Errorf("%s, %d failures", s.reason, s.hold.failures)
	}
	if l := b.engine.leaving; len(l) != 1 || l[0].Prefix != left || !l[0].Until.After(time.Now()) {
		t.Errorf("leaving %v", l)
	}
	for service, state := range map[string]string{"dns": "preferred", "ldap": "announcing", "web": "preferred"} {
		b.wantLog(1, `level=WARN msg="saved state of a service not known: only the host says what it was" service=`+service+` state=`+state)
	}
}

// A clock that was ahead when the state was saved held down a healthy service until the
// next day, and kept a stop from its end. No saved time lies further ahead than it may.
func TestTimesAhead(t *testing.T) {
	const day = 24 * time.Hour
	b := newHarness(t)
	b.cfg.Linger = 30 * time.Second
	dns := b.service("dns", address)
	dns.HoldDown = 20 * time.Second
	b.create()
	now := time.Now()
	prefix := netip.MustParsePrefix("192.0.2.55/32")
	for name, tc := range map[string]struct{ saved, want time.Duration }{"ahead": {day, 0}, "now": {0, 0}, "past": {-day, -day}} {
		at := now.Add(tc.saved)
		got := b.engine.plausible(saved{
			Services: []savedService{{Name: "dns", State: api.Withdrawn, Since: at, LastFailure: at, Failures: 1, LingerUntil: at.Add(10 * time.Second)}},
			Leaving:  []leaving{{Prefix: prefix, Until: at.Add(30 * time.Second)}},
		}, now)
		at = now.Add(tc.want)
		want := saved{
			Services: []savedService{{Name: "dns", State: api.Withdrawn, Since: at, LastFailure: at, Failures: 1, LingerUntil: at.Add(10 * time.Second)}},
			Leaving:  []leaving{{Prefix: prefix, Until: at.Add(30 * time.Second)}},
		}
		if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
	for saved, want := range map[int]int{-1: 0, 0: 0, 1000: 1000, 1 << 62: 1000} {
		if got := b.engine.plausible(savedFailures(saved), now).Services[0].Failures; got != want {
			t.Errorf("%d failures in a row are taken for %d, want %d", saved, got, want)
		}
	}
}

func savedFailures(n int) saved {
	return saved{Services: []savedService{{Name: "dns", State: api.Withdrawn, Failures: n}}}
}

// The whole of it: the clock was a day ahead, and is right again after the restart.
func TestRestartAfterClockWasAhead(t *testing.T) {
	b := newHarness(t)
	c := &fakeCheck{}
	b.service("dns", address, c).HoldDown = 20 * time.Second
	b.service("ldap", "192.0.2.54/32", &fakeCheck{})
	synctest.Test(t, func(t *testing.T) {
		ahead := time.Now().Add(24 * time.Hour)
		b.saves(saved{Services: []savedService{
			{Name: "dns", State: api.Withdrawn, Since: ahead, Failures: 1, LastFailure: ahead},
			{Name: "ldap", State: api.Draining, Since: ahead, LingerUntil: ahead},
		}})
		b.savesDrains(order{Drain: api.Drain{Service: "ldap", Since: ahead, Reason: "CHG-1"}})
		b.start()
		later(5 * time.Second)
		b.want("ldap", api.Draining, "drained: CHG-1")
		s, err := b.engine.Status()
		if err != nil || s.Services[1].Drain.Since.After(time.Now()) {
			t.Errorf("drained since %s, %v", s.Services[1].Drain.Since, err)
		}
		later(16 * time.Second)
		b.want("dns", api.Announced, "all checks up")
		began := time.Now()
		b.end()
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("the stop took %s", took)
		}
	})
}
