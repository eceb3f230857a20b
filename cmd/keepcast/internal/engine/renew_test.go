package engine

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver"
)

// With another address of the same name, a reload announced what had never been probed.
func TestOtherAddressStartsAnew(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address, &fakeCheck{})
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2 * time.Second)
		const other = "192.0.2.99/32"
		b.reload(func(c *config.Config) {
			c.Services[0].Addresses = []config.Address{{Prefix: netip.MustParsePrefix(other)}}
		})
		b.want("dns", api.Withdrawn, "check checka has not succeeded 3 times in a row yet")
		b.wantKernel(other, driver.Delivered)
		b.wantKernel(address, driver.Delivered)
		b.wantLog(1, `msg="service announces other addresses, and starts anew" service=dns`)
		later(20 * time.Second)
		b.want("dns", api.Announced, "all checks up")
		b.wantKernel(other, driver.Announced)
		b.wantKernel(address, driver.Absent)
		b.end()
	})
}

// A rename moved all routes of the service if a check changed, or an address came, with it.
func TestRenameWithMore(t *testing.T) {
	b := newHarness(t)
	dead := &fakeCheck{}
	b.service("dns", address, &fakeCheck{})
	b.service("ldap", "192.0.2.54/32", dead)
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2 * time.Second)
		dead.set(errDead)
		later(2 * time.Second)
		b.kernel.take()
		b.reload(func(c *config.Config) {
			called("ldap", "dns")(c)
			for i := range c.Services {
				c.Services[i].Checks[0].Raw = map[string]any{"path": "/new"}
			}
			more := config.Address{Prefix: netip.MustParsePrefix("192.0.2.63/32")}
			c.Services[0].Addresses = append([]config.Address{more}, c.Services[0].Addresses...)
		})
		b.want("ldap", api.Announced, "all checks up")
		b.want("dns", api.Withdrawn, "check checka: connection refused")
		later(time.Minute)
		b.want("ldap", api.Announced, "all checks up")
		b.wantKernel(address, driver.Announced)
		b.wantKernel("192.0.2.63/32", driver.Announced)
		b.want("dns", api.Withdrawn, "check checka: connection refused")
		b.wantKernel("192.0.2.54/32", driver.Delivered)
		b.end()
	})
}

// A check that got another target while its service was drained announced the service at the
// end of the drain for what the old target had answered.
func TestChangedCheckProvesItself(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address, &fakeCheck{})
	synctest.Test(t, func(t *testing.T) {
		b.startDrained("dns")
		wrong := &fakeCheck{err: errDead}
		change := func(c *config.Config) {
			c.Services[0].Checks[0].Checker, c.Services[0].Checks[0].Raw = wrong, map[string]any{"address": "192.0.2.1:53"}
			c.Services[0].Checks[0].Fall = 100
		}
		b.reload(change)
		if err := b.engine.Resume(nil); err != nil {
			t.Fatal(err)
		}
		later(5 * time.Second)
		b.want("dns", api.Withdrawn, "check checka: connection refused")
		wrong.set(nil)
		later(5 * time.Second)
		b.want("dns", api.Announced, "all checks up")

		// One that finds what it looks for shows so soon.
		if err := b.engine.Drain(nil, time.Time{}, "CHG-2", ""); err != nil {
			t.Fatal(err)
		}
		later(time.Minute)
		b.reload(func(c *config.Config) {
			change(c)
			c.Services[0].Checks[0].Raw = map[string]any{"address": "192.0.2.2:53"}
		})
		if err := b.engine.Resume(nil); err != nil {
			t.Fatal(err)
		}
		b.want("dns", api.Withdrawn, "check checka has not succeeded 3 times in a row since its settings changed")
		later(time.Second)
		b.want("dns", api.Announced, "all checks up")
		b.end()
	})
}

// An announced service that was split lost all routes but one until its checks had succeeded
// anew, and a part of one that was held down was announced at once.
func TestSplit(t *testing.T) {
	const second = "192.0.2.99/32"
	for name, dead := range map[string]bool{"announced": false, "held down": true} {
		t.Run(name, func(t *testing.T) {
			b := newHarness(t)
			c := &fakeCheck{}
			s := b.service("dns", address, c)
			s.Addresses = append(s.Addresses, config.Address{Prefix: netip.MustParsePrefix(second)})
			s.HoldDown = 20 * time.Second
			synctest.Test(t, func(t *testing.T) {
				b.start()
				later(2 * time.Second)
				want := api.Announced
				if dead {
					want = api.Withdrawn
					c.set(errDead)
					later(2 * time.Second)
					c.set(nil)
					later(2 * time.Second)
				}
				b.kernel.take()
				b.reload(func(c *config.Config) {
					one, other := c.Services[0], c.Services[0]
					one.Addresses, other.Addresses = one.Addresses[:1], one.Addresses[1:]
					other.Name = "other"
					c.Services = []config.Service{other, one}
				})
				later(5 * time.Second)
				b.wantLog(0, "service renamed")
				for _, name := range []string{"dns", "other"} {
					if is, why := b.state(name); is != want {
						t.Errorf("%s is %s (%s)", name, is, why)
					}
				}
				b.wantUnmoved()
				b.end()
			})
		})
	}
}

// What was decided before a reload, and is reached after it, was never logged.
func TestReachedAfterReload(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address, &fakeCheck{})
	b.driver.fail = errors.New("refused")
	synctest.Test(t, func(*testing.T) {
		b.start()
		later(2 * time.Second)
		b.wantLog(0, `msg="service state reached" service=dns state=announced`)
		b.reload(func(*config.Config) {})
		b.driver.set(func() { b.driver.fail = nil })
		later(time.Minute)
		b.wantLog(1, `msg="service state reached" service=dns state=announced`)
		b.end()
	})
}

// What leaves with a reload is saved at once: after a crash nobody took it off the host.
func TestLeavingIsSaved(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address)
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2 * time.Second)
		b.reload(func(c *config.Config) { c.Services = nil })
		later(time.Second)
		if s, err := loadSaved(b.cfg.RuntimeDir); err != nil || len(s.Leaving) != 1 {
			t.Errorf("saved: %+v, %v", s, err)
		}
		b.end()
	})
}

// Reloads that only rename services and checks, one after the other, hid for as long as they
// went on that a service was dead: each started its checks anew.
func TestRenamesStartNoCheck(t *testing.T) {
	b := newHarness(t)
	c := &fakeCheck{}
	b.service("dns", address, c).Checks[0].Fall = 5
	synctest.Test(t, func(*testing.T) {
		b.start()
		later(2 * time.Second)
		c.set(errDead)
		c.ran()
		for i := range 20 {
			b.reload(func(cfg *config.Config) {
				cfg.Services[0].Name = []string{"dns", "resolver"}[i%2]
				cfg.Services[0].Checks[0].Name = []string{"a", "b"}[i%2]
				cfg.Services[0].Checks[0].Raw = map[string]any{"i": 0, "name": cfg.Services[0].Checks[0].Name, "on_failure": i}
			})
			later(100 * time.Millisecond)
		}
		b.want("resolver", api.Withdrawn, "check b: connection refused")
		b.wantLog(1, `msg="check down" service=`)
		if n := c.ran(); n > 8 {
			b.t.Errorf("the check ran %d times in two seconds", n)
		}
		c.set(nil)
		later(5 * time.Second)
		b.wantLog(1, `msg="check up" service=resolver check=b`)
		b.end()
	})
}

// What was counted for a check went when one of another service got the same names in the same
// reload.
func TestCountsOfRenamedChecks(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address, &fakeCheck{})
	b.service("ldap", "192.0.2.54/32", &fakeCheck{})
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		b.registry = registry
		b.start()
		later(2 * time.Second)
		b.reload(func(c *config.Config) {
			called("ldap", "dns")(c)
			c.Services[1].Checks[0].Name = "other"
		})
		later(2 * time.Second)
		of := map[string]bool{}
		for key := range measured(t, registry) {
			if strings.HasPrefix(key, "keepcast_check_results_total ") {
				of[key] = true
			}
		}
		if len(of) != 6 {
			t.Errorf("counted are %v", of)
		}
		b.end()
	})
}
