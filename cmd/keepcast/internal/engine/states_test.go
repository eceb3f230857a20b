package engine

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver"
)

func TestDegrade(t *testing.T) {
	b := newHarness(t)
	slow := &fakeCheck{}
	b.service("dns", address, &fakeCheck{}, slow).Checks[1].OnFailure = "degrade"
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2 * time.Second)
		b.want("dns", api.Announced, "all checks up")
		slow.set(errors.New("30 ms, more than 20 ms"))
		later(2 * time.Second)
		b.want("dns", api.Degraded, "check checkb: 30 ms, more than 20 ms")
		b.wantKernel(address, driver.Announced)
		if !b.driver.have.Announced()[0].Degraded {
			t.Error("the daemon was not told")
		}
		b.keep = true // a restart moves nothing here either
		b.end()
		b.kernel.take()
		b.start()
		later(2 * time.Second)
		b.want("dns", api.Degraded, "check checkb: 30 ms, more than 20 ms")
		if moves := b.kernel.take(); len(moves) > 0 {
			t.Errorf("the restart moved %v", moves)
		}
		slow.set(nil)
		later(2 * time.Second)
		b.want("dns", api.Announced, "all checks up")
		b.end()
	})
}

func TestRequire(t *testing.T) {
	for name, tc := range map[string]struct {
		require string
		dead    int
		fit     bool
	}{
		"all, one dead":   {"all", 1, false},
		"any, two dead":   {"any", 2, true},
		"any, all dead":   {"any", 3, false},
		"two, one dead":   {"2", 1, true},
		"two, two dead":   {"2", 2, false},
		"all, none dead":  {"all", 0, true},
		"three, one dead": {"3", 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			var require config.Require
			if err := require.UnmarshalText([]byte(tc.require)); err != nil {
				t.Fatal(err)
			}
			s := &service{cfg: &config.Service{Require: require}, state: api.Withdrawn}
			for i := range 3 {
				c := &check{cfg: &config.Check{Name: "c", OnFailure: "withdraw"}}
				c.result.Verdict = health.Up
				if i < tc.dead {
					c.result = health.Result{Verdict: health.Down, Err: errDead}
				}
				s.checks = append(s.checks, c)
			}
			if f := s.fitness(); f.fit != tc.fit {
				t.Errorf("fit %v (%s), want %v", f.fit, f.reason, tc.fit)
			}
		})
	}
}

func TestHoldDown(t *testing.T) {
	b := newHarness(t)
	c := &fakeCheck{}
	b.service("dns", address, c).HoldDown = 20 * time.Second
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2 * time.Second)
		fail := func() {
			c.set(errDead)
			later(2 * time.Second)
			c.set(nil)
		}
		fail()
		later(15 * time.Second)
		if s, reason := b.state("dns"); s != api.Withdrawn || !strings.HasPrefix(reason, "fit, but held down until ") {
			t.Errorf("got %s (%s)", s, reason)
		}
		later(5 * time.Second)
		b.want("dns", api.Announced, "all checks up")
		fail() // the second time it takes twice as long
		later(30 * time.Second)
		if s, _ := b.state("dns"); s != api.Withdrawn {
			t.Errorf("got %s after 30 s, want it held down for 40 s", s)
		}
		later(10 * time.Second)
		b.want("dns", api.Announced, "all checks up")
		b.end()
	})
}

func TestHoldForgetsAfterQuiet(t *testing.T) {
	h := hold{first: 10 * time.Second, most: time.Minute}
	start := time.Now()
	for i, want := range []time.Duration{10, 20, 40, 60, 60} {
		h.failed(start.Add(time.Duration(i) * time.Minute))
		if h.length() != want*time.Second {
			t.Errorf("failure %d: %s, want %s", i+1, h.length(), want*time.Second)
		}
	}
	h.failed(start.Add(time.Hour))
	if h.length() != 10*time.Second {
		t.Errorf("after quiet: %s, want 10s", h.length())
	}
}

func TestWhileWithdrawnAbsent(t *testing.T) {
	b := newHarness(t)
	c := &fakeCheck{}
	b.service("dns", address, c).WhileWithdrawn = "absent"
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(0)
		b.wantKernel(address, driver.Absent)
		later(2 * time.Second)
		c.set(errDead)
		later(2 * time.Second)
		b.wantKernel(address, driver.Delivered)
		later(10 * time.Second)
		b.wantKernel(address, driver.Absent)
		b.end()
	})
}

func TestStopWithdraws(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address, &fakeCheck{})
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2 * time.Second)
		b.stop()
		synctest.Wait()
		b.want("dns", api.Draining, "keepcast is stopping")
		b.wantKernel(address, driver.Delivered)
		if err := <-b.done; err != nil {
			t.Error(err)
		}
		b.wantKernel(address, driver.Absent)
		if len(b.driver.have.Announced()) != 0 {
			t.Error("the stop left the gate open")
		}
	})
}

// TestGateThatIsNotFollowed closes at once: the daemon would go on announcing.
func TestGateThatIsNotFollowed(t *testing.T) {
	b := newHarness(t)
	c := &fakeCheck{}
	b.service("dns", address, c)
	b.cfg.Drivers[0].FollowsAddress = false
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2 * time.Second)
		c.set(errDead)
		later(1300 * time.Millisecond)
		if len(b.driver.have.Announced()) != 0 {
			t.Error("the gate is not closed")
		}
		b.end()
	})
}

func TestUnmanagedAddresses(t *testing.T) {
	b := newHarness(t)
	b.cfg.ManageAddresses = false
	c := &fakeCheck{}
	b.service("dns", address, c)
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2 * time.Second)
		if len(b.driver.have.Announced()) != 1 {
			t.Error("the gate is not open")
		}
		c.set(errDead)
		later(1300 * time.Millisecond) // the gate is the only one: it does not wait
		if len(b.driver.have.Announced()) != 0 {
			t.Error("the gate is not closed")
		}
		if moves := b.kernel.take(); len(moves) != 2 || strings.Contains(moves[0], "kernel") {
			t.Errorf("got %v", moves)
		}
		b.end()
	})
}

// The address that somebody else was to put on the host was missing: the service was
// announcing for ever, and no word said why.
func TestUnmanagedAddressMissing(t *testing.T) {
	b := newHarness(t)
	b.cfg.ManageAddresses = false
	b.service("dns", address, &fakeCheck{})
	b.options = func(o *Options) {
		o.Addresses = func() ([]driver.Route, error) { return nil, nil }
	}
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(10 * time.Second)
		s, err := b.engine.Status()
		if err != nil || len(s.Findings) != 1 || s.Findings[0].Name != "address-missing" || s.Findings[0].Subject != "dns" {
			t.Errorf("found %v, %v", s.Findings, err)
		}
		if len(s.Drivers) != 1 || len(s.Services[0].Addresses[0].Observed) != 1 {
			t.Errorf("the kernel is among the drivers: %+v", s)
		}
		b.end()
	})
}
