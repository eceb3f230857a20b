package engine

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/driver"
)

// shows checks the state that is shown of a service.
func (b *harness) shows(name string, want api.State) {
	b.t.Helper()
	s, err := b.engine.Status()
	if err != nil {
		b.t.Fatal(err)
	}
	for _, svc := range s.Services {
		if svc.Name == name && svc.State != want {
			b.t.Errorf("%s is shown as %s, want %s: %+v", name, svc.State, want, svc.Addresses)
		}
	}
}

// api.Announced means that a neighbor was told, not that somebody was asked to.
func TestShownState(t *testing.T) {
	up := driver.Neighbor{Name: "r1", IPv4: true, Up: true}
	down := driver.Neighbor{Name: "r2", IPv4: true}
	other := driver.Neighbor{Name: "r6", IPv6: true, Up: true}
	for name, tc := range map[string]struct {
		neighbors []driver.Neighbor
		filtered  bool
		deaf      bool
		want      api.State
	}{
		"told a neighbor":        {neighbors: []driver.Neighbor{up, down}, want: api.Announced},
		"does not tell":          {want: api.Announced},
		"all are down":           {neighbors: []driver.Neighbor{down}, want: api.Announcing},
		"filtered":               {neighbors: []driver.Neighbor{up}, filtered: true, want: api.Announcing},
		"none":                   {neighbors: []driver.Neighbor{}, want: api.Announcing},
		"of another family only": {neighbors: []driver.Neighbor{other}, want: api.Announcing},
		"not in the daemon":      {deaf: true, want: api.Announcing},
	} {
		t.Run(name, func(t *testing.T) {
			b := newHarness(t)
			c := &fakeCheck{}
			b.service("dns", address, c)
			b.driver.neighbors, b.driver.filtered, b.driver.deaf = tc.neighbors, tc.filtered, tc.deaf
			synctest.Test(t, func(*testing.T) {
				b.start()
				later(2 * time.Second)
				b.want("dns", api.Announced, "all checks up")
				b.shows("dns", tc.want)
				c.set(errDead)
				later(5 * time.Second)
				b.shows("dns", api.Withdrawn)
				b.end()
			})
		})
	}
}

// A daemon that still has a withdrawn prefix keeps its service from being shown
// as withdrawn.
func TestShownWithdrawing(t *testing.T) {
	b := newHarness(t)
	c := &fakeCheck{}
	b.service("dns", address, c)
	synctest.Test(t, func(*testing.T) {
		b.start()
		later(2 * time.Second)
		b.driver.set(func() { b.driver.fail = errDead })
		c.set(errDead)
		later(5 * time.Second)
		b.want("dns", api.Withdrawn, "check checka: connection refused")
		b.shows("dns", api.Withdrawing)
		b.driver.set(func() { b.driver.fail = nil })
		later(time.Minute)
		b.shows("dns", api.Withdrawn)
		b.end()
	})
}

// What a daemon has that can't be asked is unknown: nothing of it is announced for
// sure, nor withdrawn. One that does not run has nothing.
func TestShownUnknown(t *testing.T) {
	silent := errors.New("asking bird: no answer within 5s")
	gone := fmt.Errorf("bird %w", driver.ErrNotRunning)
	for name, tc := range map[string]struct {
		mute     error
		check    error
		want     api.State
		observed int // how many of kernel and bird a metric tells of
	}{
		"silent, announced": {silent, nil, api.Announcing, 1},
		"silent, withdrawn": {silent, errDead, api.Withdrawing, 1},
		"gone, announced":   {gone, nil, api.Announcing, 2},
		"gone, withdrawn":   {gone, errDead, api.Withdrawn, 2},
	} {
		t.Run(name, func(t *testing.T) {
			b := newHarness(t)
			c := &fakeCheck{}
			b.service("dns", address, c)
			synctest.Test(t, func(t *testing.T) {
				registry := prometheus.NewRegistry()
				b.registry = registry
				b.start()
				registry.MustRegister(Collector{b.engine})
				later(2 * time.Second)
				b.shows("dns", api.Announced)
				b.driver.set(func() { b.driver.mute = tc.mute })
				c.set(tc.check)
				later(time.Minute)
				b.shows("dns", tc.want)
				s, err := b.engine.Status()
				if err != nil {
					t.Fatal(err)
				}
				if got := s.Services[0].Addresses[0].Observed["bird"]; got.Present || got.Unknown != errors.Is(tc.mute, silent) {
					t.Errorf("observed in bird: %+v", got)
				}
				if d := s.Drivers[1]; d.InSync || d.Error != "can't be asked what it announces: "+tc.mute.Error() {
					t.Errorf("driver %+v", d)
				}
				if n, err := testutil.GatherAndCount(registry, routeObserved.Name); n != tc.observed || err != nil {
					t.Errorf("%d series of %s, %v", n, routeObserved.Name, err)
				}
				b.driver.set(func() { b.driver.mute = nil })
				later(time.Minute)
				b.shows("dns", map[bool]api.State{true: api.Announced, false: api.Withdrawn}[tc.check == nil])
				b.end()
				if n := strings.Count(b.log.String(), "can't be asked"); n != 1 {
					t.Errorf("logged %d times:\n%s", n, b.log.String())
				}
			})
		})
	}
}

// A neighbor that comes up later or goes is noticed without anything else happening.
func TestNeighborComesUp(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address, &fakeCheck{})
	b.driver.neighbors = []driver.Neighbor{{Name: "r1", IPv4: true}}
	synctest.Test(t, func(*testing.T) {
		b.start()
		later(2 * time.Second)
		b.shows("dns", api.Announcing)
		b.driver.set(func() { b.driver.neighbors = []driver.Neighbor{{Name: "r1", IPv4: true, Up: true}} })
		later(5 * time.Second)
		b.shows("dns", api.Announced)
		later(time.Minute)
		b.driver.set(func() { b.driver.neighbors = []driver.Neighbor{{Name: "r1", IPv4: true}} })
		later(5 * time.Second)
		b.shows("dns", api.Announcing)
		b.end()
	})
}

// A finding is logged when it comes and when it goes, not at every look.
func TestFindingsAreLoggedOnce(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address, &fakeCheck{})
	b.driver.findings = []driver.Finding{{Name: "session-down", Level: driver.LevelWarning, Subject: "r2", Text: "is down", Fix: "look at r2"}}
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(5 * time.Minute)
		b.driver.set(func() { b.driver.findings = nil })
		later(time.Minute)
		b.end()
		for text, want := range map[string]int{
			`msg=finding driver=bird finding=session-down level=warning subject=r2 text="is down" fix="look at r2"`: 1,
			`msg="finding is over" driver=bird finding=session-down subject=r2`:                                     1,
		} {
			if got := strings.Count(b.log.String(), text); got != want {
				t.Errorf("%d times %s in\n%s", got, text, b.log.String())
			}
		}
	})
}

// Two drivers: each has the services that name it, and lets go of a service that
// does not name it any more.
func TestServiceNamesDriver(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address, &fakeCheck{})
	b.service("ldap", "192.0.2.54/32", &fakeCheck{})
	second := &fakeDriver{journal: b.kernel.journal, name: "second"}
	b.addDriver("second", second)
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2 * time.Second)
		if len(b.driver.have.Announced()) != 2 || len(second.have.Announced()) != 2 {
			t.Error("not both have both")
		}
		changed := copied(b.cfg)
		changed.Services[0].Drivers = []string{"second"}
		if err := b.engine.Reload(changed); err != nil {
			t.Fatal(err)
		}
		later(5 * time.Second)
		if got := b.driver.have.Announced(); len(got) != 1 || got[0].Service != "ldap" {
			t.Errorf("bird has %v", got)
		}
		if len(second.have.Announced()) != 2 {
			t.Error("second does not have both")
		}
		b.wantKernel(address, driver.Announced)
		b.shows("dns", api.Announced)
		b.end()
	})
}
