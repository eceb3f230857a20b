package engine

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keepcast/keepcast/checks"
	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
)

// topLevel adds a check of the top level, and returns what uses it.
func (b *harness) topLevel(name string, c checks.Checker) func(s *config.Service, onFailure string) {
	one := config.Check{
		Name: name, Kind: "fake", OnFailure: "withdraw", Checker: c, Raw: map[string]any{"name": name, "top": true},
		Schedule: health.Schedule{Interval: 10 * time.Second, FastInterval: time.Second, Timeout: 500 * time.Millisecond, Rise: 3, Fall: 2},
	}
	b.cfg.Checks = append(b.cfg.Checks, one)
	return func(s *config.Service, onFailure string) {
		use := one
		use.Use, use.OnFailure, use.Raw = name, onFailure, map[string]any{"name": name, "top": true, "use": name, "on_failure": onFailure}
		s.Checks = append(s.Checks, use)
	}
}

// A check of the top level runs once for all services that use it, and means to each what that
// says. All of them have it prove itself anew when they have gone.
func TestUse(t *testing.T) {
	b := newHarness(t)
	upstream, own := &fakeCheck{}, &fakeCheck{}
	use := b.topLevel("upstream", upstream)
	use(b.service("dns", address, &fakeCheck{}), "withdraw")
	use(b.service("ldap", ldapAddress), "degrade")
	b.cfg.Services[1].Checks = append(b.cfg.Services[1].Checks, b.cfg.Services[0].Checks[0])
	b.cfg.Services[1].Checks[1].Checker = own
	b.topLevel("unused", own)
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(1500 * time.Millisecond)
		b.want("dns", api.Withdrawn, "check upstream has not succeeded 3 times in a row yet")
		b.want("ldap", api.Announced, "1 of 2 checks up, the rest not decided yet")
		later(time.Second)
		b.want("dns", api.Announced, "all checks up")
		if n := upstream.ran(); n != 3 {
			t.Errorf("ran %d times, want 3 for both services", n)
		}
		if n := own.ran(); n > 12 {
			t.Errorf("a check that nobody uses has run: %d runs", n)
		}
		upstream.set(errDead)
		later(20 * time.Second)
		b.want("dns", api.Withdrawn, "check upstream: connection refused")
		b.want("ldap", api.Degraded, "check upstream: connection refused")
		upstream.set(nil)
		b.wantLog(2, `msg="check down"`)
		b.wantLog(1, `msg="check down" service=dns check=upstream`)
		later(20 * time.Second)
		b.want("dns", api.Announced, "all checks up")
		b.want("ldap", api.Announced, "all checks up")
		b.end()
	})
}

// A service that went has the check of the top level prove itself, as any other.
func TestUseHurries(t *testing.T) {
	b := newHarness(t)
	upstream, dns := &fakeCheck{}, &fakeCheck{}
	b.topLevel("upstream", upstream)(b.service("dns", address, dns), "withdraw")
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(5 * time.Second)
		dns.set(errDead)
		later(2 * time.Second)
		b.want("dns", api.Withdrawn, "check checka: connection refused")
		dns.set(nil)
		later(3 * time.Second)
		b.want("dns", api.Announced, "all checks up")
		b.end()
	})
}

// Over a reload a check of the top level runs on, under another name, too. Who comes to it is
// told at once.
func TestUseReload(t *testing.T) {
	b := newHarness(t)
	upstream := &fakeCheck{}
	b.topLevel("upstream", upstream)(b.service("dns", address), "withdraw")
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(5 * time.Second)
		b.want("dns", api.Announced, "all checks up")
		b.kernel.take()
		upstream.ran()

		rename := func(c *config.Config) {
			renamed := &c.Services[0].Checks[0]
			renamed.Use, renamed.Name, renamed.Raw = "uplink", "uplink", map[string]any{"name": "uplink", "top": true, "use": "uplink"}
			one := c.Checks[0]
			one.Name, one.Raw = "uplink", map[string]any{"name": "uplink", "top": true}
			c.Checks = []config.Check{one}
		}
		b.reload(rename)
		b.wantUnmoved()
		if n := upstream.ran(); n != 0 {
			t.Errorf("the reload had it run %d times", n)
		}

		// A second service uses it.
		cfg := copied(b.cfg)
		rename(cfg)
		b.cfg = cfg
		second := b.service("ldap", ldapAddress)
		second.Checks = append(second.Checks, cfg.Services[0].Checks[0])
		if err := b.engine.Reload(cfg); err != nil {
			t.Fatal(err)
		}
		later(time.Second)
		b.want("ldap", api.Announced, "all checks up")
		if n := upstream.ran(); n != 1 {
			t.Errorf("%d runs for the one that came", n)
		}

		users := 0
		if err := b.engine.call(func() { users = len(b.engine.common.checks[0].users) }); err != nil || users != 2 {
			t.Errorf("%d are told, want 2: %v", users, err)
		}

		// What is asked changes: what was found so far stays until there is something else.
		fresh := &fakeCheck{err: errors.New("no session")}
		b.reload(func(c *config.Config) {
			c.Checks = []config.Check{c.Checks[0]}
			c.Checks[0].Checker, c.Checks[0].Raw = fresh, map[string]any{"name": "uplink", "top": false}
			for i := range c.Services {
				used := &c.Services[i].Checks[0]
				used.Checker, used.Raw = fresh, map[string]any{"name": "uplink", "top": false, "use": "uplink"}
			}
		})
		b.want("ldap", api.Announced, "all checks up")
		upstream.ran()
		later(5 * time.Second)
		b.want("dns", api.Withdrawn, "check uplink: no session")
		b.want("ldap", api.Withdrawn, "check uplink: no session")
		if n := upstream.ran(); n != 0 {
			t.Errorf("the one from before ran on, %d times", n)
		}
		b.end()
	})
}

// Two checks of the top level that ask the same are one to those who come from the other, and
// one of a service is never that of the top level, though it asks the same.
func TestUseChangesOver(t *testing.T) {
	b := newHarness(t)
	one, two := &fakeCheck{}, &fakeCheck{}
	b.topLevel("one", one)(b.service("dns", address), "withdraw")
	b.topLevel("two", two)(b.service("ldap", ldapAddress), "withdraw")
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(5 * time.Second)
		b.reload(func(c *config.Config) { c.Services[0].Checks[0] = c.Services[1].Checks[0] })
		one.ran()
		two.ran()
		later(30 * time.Second)
		if o, w := one.ran(), two.ran(); o+w != 3 {
			t.Errorf("ran %d and %d times, want 3 times one of them", o, w)
		}
		one.set(errDead)
		two.set(errDead)
		later(20 * time.Second)
		b.want("dns", api.Withdrawn, "check two: connection refused")
		b.want("ldap", api.Withdrawn, "check two: connection refused")

		own := &fakeCheck{}
		b.reload(func(c *config.Config) {
			c.Services[0].Checks[0] = config.Check{
				Name: "two", Kind: "fake", OnFailure: "withdraw", Checker: own, Raw: map[string]any{"name": "two", "top": true}, Schedule: c.Checks[1].Schedule,
			}
		})
		later(20 * time.Second)
		b.want("dns", api.Announced, "all checks up")
		b.want("ldap", api.Withdrawn, "check two: connection refused")
		b.reload(func(c *config.Config) { c.Services[0].Checks[0] = c.Services[1].Checks[0] })
		own.ran()
		later(20 * time.Second)
		b.want("dns", api.Withdrawn, "check two: connection refused")
		if n := own.ran(); n != 0 {
			t.Errorf("the one that the service had ran on, %d times", n)
		}
		b.end()
	})
}

// Who has the check of a service run now has that of the top level run.
func TestUseCheckNow(t *testing.T) {
	b := newHarness(t)
	upstream := &fakeCheck{}
	use := b.topLevel("upstream", upstream)
	use(b.service("dns", address), "withdraw")
	use(b.service("ldap", ldapAddress), "withdraw")
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(5 * time.Second)
		upstream.ran()
		answers, err := b.engine.CheckNow(t.Context(), nil)
		if err != nil || len(answers) != 2 {
			t.Fatalf("%v, %v", answers, err)
		}
		for _, a := range answers {
			if !a.LastRun.Equal(time.Now()) || a.Pending {
				t.Errorf("%s: %+v", a.Service, a)
			}
		}
		synctest.Wait() // for a run that would be one too many
		if n := upstream.ran(); n != 1 {
			t.Errorf("%d runs", n)
		}
		b.end()
	})
}

// A report for one service is one for all that use the check.
func TestUseReport(t *testing.T) {
	b := newHarness(t)
	synctest.Test(t, func(t *testing.T) {
		use := b.topLevel("batch", hourly(t))
		use(b.service("dns", address), "withdraw")
		use(b.service("ldap", ldapAddress), "withdraw")
		b.start()
		later(time.Second)
		if err := b.engine.Report(api.ReportRequest{Check: "ldap/batch", Up: true}, "alice"); err != nil {
			t.Fatal(err)
		}
		later(10 * time.Second)
		b.want("dns", api.Announced, "all checks up")
		b.want("ldap", api.Announced, "all checks up")
		b.end()
	})
}

// hourly is a check of kind push whose reports hold for an hour.
func hourly(t *testing.T) *checks.Push {
	p := push(t)
	p.TTL = time.Hour
	return p
}

// reports hands a report to a check.
func (b *harness) reports(check string, up bool) {
	b.t.Helper()
	if err := b.engine.Report(api.ReportRequest{Check: check, Up: up}, "alice"); err != nil {
		b.t.Fatal(err)
	}
	later(5 * time.Second)
}

// What a check of kind push was told is for its name, whatever comes before it in the list: a
// service that was reported down was announced.
func TestReportKeepsItsName(t *testing.T) {
	b := newHarness(t)
	synctest.Test(t, func(t *testing.T) {
		for _, name := range []string{"p1", "p2"} {
			use := b.topLevel(name, hourly(t))
			b.cfg.Checks[len(b.cfg.Checks)-1].Kind = "push"
			s := b.service("of-"+name, map[string]string{"p1": address, "p2": ldapAddress}[name])
			use(s, "withdraw")
			s.Checks[0].Kind = "push"
		}
		b.start()
		b.reports("of-p1/p1", false)
		b.reports("of-p2/p2", true)
		b.want("of-p1", api.Withdrawn, "check p1: reported down by alice")
		b.want("of-p2", api.Announced, "all checks up")
		fresh := func(c *config.Config) { // as a load makes them
			for i := range c.Checks {
				c.Checks[i].Checker = hourly(t)
				for j := range c.Services {
					if used := &c.Services[j].Checks[0]; used.Use == c.Checks[i].Name {
						used.Checker = c.Checks[i].Checker
					}
				}
			}
		}
		b.reload(func(c *config.Config) {
			c.Checks = []config.Check{c.Checks[1], c.Checks[0]}
			fresh(c)
		})
		later(10 * time.Second)
		b.want("of-p1", api.Withdrawn, "check p1: reported down by alice")
		b.want("of-p2", api.Announced, "all checks up")
		b.reload(func(c *config.Config) {
			c.Checks = []config.Check{c.Checks[1]}
			c.Services = c.Services[1:]
			fresh(c)
		})
		later(10 * time.Second)
		b.want("of-p2", api.Announced, "all checks up")
		b.reload(func(c *config.Config) { // another name has been told nothing
			c.Checks = []config.Check{c.Checks[1]}
			c.Checks[0].Name = "p3"
			c.Services = c.Services[1:]
			c.Services[0].Checks[0].Use, c.Services[0].Checks[0].Name = "p3", "p3"
			fresh(c)
		})
		later(10 * time.Second)
		if s, _ := b.engine.Status(); s.Services[0].Checks[0].Error != "nobody has reported yet" {
			t.Errorf("p3: %+v", s.Services[0].Checks[0])
		}
		b.end()
	})
}

// A check that moves from a service to the top level, with the settings that it had, goes on
// undisturbed, with what it was told.
func TestUseOfItsOwn(t *testing.T) {
	b := newHarness(t)
	other := &fakeCheck{}
	synctest.Test(t, func(t *testing.T) {
		s := b.service("dns", address, other)
		own := s.Checks[0]
		own.Name, own.Kind, own.OnFailure, own.Checker, own.Raw = "p", "push", "degrade", hourly(t), map[string]any{"name": "p", "top": true}
		s.Checks = append(s.Checks, own)
		b.start()
		later(time.Second)
		b.reports("dns/p", false)
		b.want("dns", api.Degraded, "check p: reported down by alice")
		b.kernel.take()
		b.reload(func(c *config.Config) {
			one := c.Services[0].Checks[1]
			one.Checker = hourly(t)
			c.Checks = []config.Check{one}
			used := &c.Services[0].Checks[1]
			used.Use, used.Checker, used.Raw = "p", one.Checker, map[string]any{"name": "p", "top": true, "use": "p"}
		})
		b.want("dns", api.Degraded, "check p: reported down by alice")
		later(10 * time.Second)
		b.want("dns", api.Degraded, "check p: reported down by alice")
		b.wantUnmoved()
		b.reports("dns/p", true)
		b.want("dns", api.Announced, "all checks up")
		b.end()
	})
}

// A check whose settings change while its service is withdrawn has to prove itself anew, and
// does so at once: one that runs once an hour kept the service withdrawn for that long.
func TestChangedProvesItself(t *testing.T) {
	b := newHarness(t)
	f, cert := &fakeCheck{}, &fakeCheck{}
	b.service("web", address, f, cert).Checks[1].Interval = time.Hour
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(3 * time.Second)
		f.set(errDead)
		later(3 * time.Second)
		b.want("web", api.Withdrawn, "check checka: connection refused")
		changed := &fakeCheck{}
		b.reload(func(c *config.Config) {
			c.Services[0].Checks[1].Checker, c.Services[0].Checks[1].Raw = changed, map[string]any{"i": 9}
		})
		later(3 * time.Second)
		f.set(nil)
		later(3 * time.Second)
		b.want("web", api.Announced, "all checks up")
		changed.ran()
		b.reload(func(c *config.Config) { // what is announced needs no proof
			c.Services[0].Checks[1].Checker, c.Services[0].Checks[1].Raw = changed, map[string]any{"i": 10}
		})
		later(3 * time.Second)
		if n := changed.ran(); n != 1 {
			t.Errorf("%d runs, want 1", n)
		}
		b.end()
	})
}
