package engine

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
)

// The check that has just failed does not run again at once: it would fail once more, and
// take the processor that the withdrawal needs. One that failed long ago does.
func TestFailedCheckIsNotHurried(t *testing.T) {
	b := newHarness(t)
	b.keep = true
	slow, quick := &fakeCheck{err: errDead}, &fakeCheck{}
	s := b.service("dns", address, slow, quick)
	s.Checks[0].Interval = time.Hour
	if err := s.Require.UnmarshalText([]byte("any")); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2500 * time.Millisecond)
		b.want("dns", api.Announced, "1 of 2 checks up, 1 required (check checka: connection refused)")
		slow.ran()
		quick.ran()
		quick.set(errDead)
		later(900 * time.Millisecond) // it runs twice
		b.want("dns", api.Withdrawn, "check checka: connection refused; check checkb: connection refused")
		if failed, looked := quick.ran(), slow.ran(); failed != 2 || looked != 1 {
			t.Errorf("the check that failed ran %d times, the other one %d times", failed, looked)
		}
		later(200 * time.Millisecond)
		if failed := quick.ran(); failed != 1 {
			t.Errorf("after the fast interval it ran %d times", failed)
		}
		b.end()
	})
}

// A service comes back as soon as its checks have proven themselves at the fast interval, also
// where one of them has not been down, or its next regular run is an hour away.
func TestComesBackByTheFastInterval(t *testing.T) {
	certain := health.Certain(errDead)
	for name, tt := range map[string]struct {
		fall        int
		patience    time.Duration
		first, then error // what the slow check says, and the quick one right after it
		dependent   bool
		use         bool // the slow one is of the top level
	}{
		"it failed once, and the other took the service down": {fall: 3, first: errDead, then: errDead},
		"it is of the top level":                              {fall: 3, first: errDead, then: errDead, use: true},
		"it was void":                                         {fall: 3, first: errNoDescriptor, then: errDead},
		"its patience was not over":                           {fall: 3, patience: 5 * time.Second, first: certain, then: certain},
		"it depends on what went":                             {fall: 3, first: errDead, then: errDead, dependent: true},
		"it is what took the service down":                    {fall: 1, first: errDead},
	} {
		t.Run(name, func(t *testing.T) {
			b := newHarness(t)
			b.keep = true
			slow, quick := &fakeCheck{}, &fakeCheck{}
			s := b.service("dns", address, slow, quick)
			s.Checks[0].Interval, s.Checks[0].Fall, s.Checks[0].Patience, s.Checks[1].Fall = time.Hour, tt.fall, tt.patience, 1
			if tt.use {
				b.cfg.Checks = []config.Check{s.Checks[0]}
				s.Checks[0].Use = "checka"
			}
			other := "dns/checkb"
			if tt.dependent {
				base := *b.service("base", "192.0.2.54/32")
				base.Checks = s.Checks[1:]
				b.cfg.Services[0].Checks, b.cfg.Services[0].DependsOn, b.cfg.Services[1] = s.Checks[:1], []string{"base"}, base
				other = "base/checkb"
			}
			synctest.Test(t, func(t *testing.T) {
				b.start()
				later(10500 * time.Millisecond)
				asked := func(c *fakeCheck, name string, err error) {
					c.set(err)
					if _, err := b.engine.CheckNow(t.Context(), []string{name}); err != nil {
						t.Fatal(err)
					}
					later(time.Millisecond)
				}
				asked(slow, "dns/checka", tt.first)
				asked(quick, other, tt.then)
				if state, _ := b.state("dns"); state.Up() {
					t.Fatalf("it is %s", state)
				}
				slow.set(nil)
				quick.set(nil)
				later(1100 * time.Millisecond)
				b.want("dns", api.Announced, "all checks up")
				b.end()
			})
		})
	}
}

// What was wrong for a moment may take down a check that runs once an hour, and none of those
// that run often. It looks again as soon as one of them sees that it is over, or else after half
// a minute.
func TestShortOutageIsOver(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(cfg *config.Config)
		outage time.Duration
		back   time.Duration
		state  api.State
	}{
		"the other one has patience": {
			func(cfg *config.Config) { cfg.Services[0].Checks[1].Patience = 10 * time.Second },
			3 * time.Second, time.Second, api.Withdrawn,
		},
		"it only degrades": {
			func(cfg *config.Config) {
				cfg.Services[0].Checks[0].OnFailure, cfg.Services[0].Checks[1].Patience = "degrade", 10*time.Second
			},
			3 * time.Second, time.Second, api.Degraded,
		},
		"the other one counts to 6": {
			func(cfg *config.Config) { cfg.Services[0].Checks[1].Fall = 6 },
			600 * time.Millisecond, 1500 * time.Millisecond, api.Withdrawn,
		},
		"the other one sees nothing": {
			func(cfg *config.Config) { cfg.Services[0].Checks[1].Checker = &fakeCheck{} },
			10 * time.Second, 31 * time.Second, api.Withdrawn,
		},
		"it is that of another service": {
			func(cfg *config.Config) {
				cfg.Services[1].Checks = cfg.Services[0].Checks[1:]
				cfg.Services[0].Checks, cfg.Services[0].DependsOn = cfg.Services[0].Checks[:1], []string{"base"}
			},
			10 * time.Second, 31 * time.Second, api.Withdrawn,
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newHarness(t)
			b.keep = true
			slow, quick := &fakeCheck{}, &fakeCheck{}
			s := b.service("dns", address, slow, quick)
			s.Checks[0].Interval = time.Hour
			b.service("base", "192.0.2.54/32", &fakeCheck{})
			tt.change(b.cfg)
			synctest.Test(t, func(t *testing.T) {
				b.start()
				later(10500 * time.Millisecond)
				slow.set(health.Certain(errDead))
				quick.set(health.Certain(errDead))
				if s.Checks[1].Patience == 0 {
					quick.set(errDead)
				}
				if _, err := b.engine.CheckNow(t.Context(), []string{"dns/checka"}); err != nil {
					t.Fatal(err)
				}
				later(tt.outage)
				if state, why := b.state("dns"); state != tt.state {
					t.Fatalf("it is %s (%s)", state, why)
				}
				slow.set(nil)
				quick.set(nil)
				later(tt.back)
				b.want("dns", api.Announced, "all checks up")
				b.end()
			})
		})
	}
}

// A check that was fit before has no other one look again.
func TestFitCheckWakesNobody(t *testing.T) {
	b := newHarness(t)
	b.keep = true
	slow, quick := &fakeCheck{err: errDead}, &fakeCheck{}
	s := b.service("dns", address, slow, quick)
	s.Checks[0].Interval, s.Checks[0].OnFailure = time.Hour, "degrade"
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(5 * time.Second)
		b.want("dns", api.Degraded, "check checka: connection refused")
		slow.ran()
		quick.ran()
		later(10 * time.Second)
		if failed, fit := slow.ran(), quick.ran(); failed != 0 || fit < 10 {
			t.Errorf("the one that failed ran %d times, while the other one ran %d times", failed, fit)
		}
		b.end()
	})
}

// A check of many services runs once for all of them that went, and keeps the fast interval.
func TestLooksAnewOnce(t *testing.T) {
	b := newHarness(t)
	b.keep = true
	shared := &fakeCheck{}
	for i := range 50 {
		s := b.service(fmt.Sprintf("s%d", i), fmt.Sprintf("192.0.2.%d/32", i), shared)
		s.Checks[0].Rise, s.Checks[0].Fall = 3, 1
		if i == 0 {
			b.cfg.Checks = []config.Check{s.Checks[0]}
		}
		s.Checks[0].Use = "checka"
	}
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2100 * time.Millisecond)
		b.want("s49", api.Announced, "all checks up")
		shared.set(errDead)
		for state, _ := b.state("s49"); state.Up(); state, _ = b.state("s49") {
			later(10 * time.Millisecond)
		}
		shared.set(nil)
		shared.ran()
		later(700 * time.Millisecond)
		if state, _ := b.state("s49"); state.Up() {
			t.Error("it is back before three fast intervals")
		}
		later(300 * time.Millisecond)
		b.want("s49", api.Announced, "all checks up")
		if n := shared.ran(); n > 4 {
			t.Errorf("it ran %d times", n)
		}
		b.end()
	})
}
