package engine

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver"
)

// startHalfDead starts with dns and ldap, and kills one of them. Their checks ask each for
// something else.
func (b *harness) startHalfDead(dead string) {
	b.t.Helper()
	b.start()
	later(2 * time.Second)
	for _, s := range b.cfg.Services {
		if s.Name == dead {
			s.Checks[0].Checker.(*fakeCheck).set(errDead)
		}
	}
	later(2 * time.Second)
}

// dnsAndLDAP adds the services that are joined.
func (b *harness) dnsAndLDAP() {
	b.service("dns", address, &fakeCheck{})
	c := &b.service("ldap", "192.0.2.54/32", &fakeCheck{}).Checks[0]
	c.Name, c.Raw = "checkb", map[string]any{"path": "/ldap"}
}

// Two services became one: what the check of the dead one had found was forgotten, and its
// address announced until the check had failed anew; also where the check got other settings
// with it.
func TestMerge(t *testing.T) {
	for name, tc := range map[string]struct {
		called string
		change func(*config.Check)
	}{
		"the same checks": {"dns", func(*config.Check) {}},
		"a changed one":   {"all", func(c *config.Check) { c.Fall, c.Raw = 20, map[string]any{"path": "/ldap", "fall": 20} }},
	} {
		t.Run(name, func(t *testing.T) {
			b := newHarness(t)
			b.dnsAndLDAP()
			synctest.Test(t, func(*testing.T) {
				b.startHalfDead("ldap")
				b.reload(func(c *config.Config) {
					one, check := c.Services[0], c.Services[1].Checks[0]
					tc.change(&check)
					one.Name = tc.called
					one.Addresses = slices.Concat(one.Addresses, c.Services[1].Addresses)
					one.Checks = []config.Check{one.Checks[0], check}
					c.Services = []config.Service{one}
				})
				b.want(tc.called, api.Withdrawn, "check checkb: connection refused")
				b.wantKernel("192.0.2.54/32", driver.Delivered)
				b.end()
			})
		})
	}
}

// Two services became one, which announces more of the one that was up: all was withdrawn.
func TestMergeGoesOnAsMostOfIt(t *testing.T) {
	b := newHarness(t)
	b.dnsAndLDAP()
	ldap := &b.cfg.Services[1]
	ldap.Addresses = append(ldap.Addresses, config.Address{Prefix: netip.MustParsePrefix("192.0.2.55/32")})
	synctest.Test(t, func(*testing.T) {
		b.startHalfDead("dns")
		b.reload(func(c *config.Config) {
			one := c.Services[1]
			one.Name = "all"
			one.Addresses = slices.Concat(c.Services[0].Addresses, one.Addresses)
			c.Services = []config.Service{one}
		})
		b.want("all", api.Announced, "all checks up")
		b.end()
	})
}

// joined has dns take the addresses and the check of ldap over.
func joined(c *config.Config) {
	one, other := c.Services[0], c.Services[1]
	one.Addresses = slices.Concat(one.Addresses, other.Addresses)
	one.Checks = slices.Concat(one.Checks, other.Checks)
	c.Services = []config.Service{one}
}

// A dead service joined an announced one at a restart: it was announced, at one address more,
// until its check had failed anew.
func TestMergeAtRestart(t *testing.T) {
	b := newHarness(t)
	b.keep = true
	b.dnsAndLDAP()
	synctest.Test(t, func(*testing.T) {
		b.startHalfDead("ldap")
		b.end()
		b.cfg = copied(b.cfg)
		joined(b.cfg)
		b.start()
		later(time.Millisecond)
		b.want("dns", api.Withdrawn, "check checka has not succeeded 3 times in a row yet; check checkb: connection refused")
		b.wantKernel("192.0.2.54/32", driver.Delivered)
		b.cfg.Services[0].Checks[1].Checker.(*fakeCheck).set(nil)
		later(10 * time.Second)
		b.want("dns", api.Announced, "all checks up")
		b.end()
	})
}

// A service that had never been fit joined an announced one: it was announced until its check
// had failed often enough.
func TestMergeOfWhatNeverWasFit(t *testing.T) {
	for name, same := range map[string]bool{"the same check": true, "a changed one": false} {
		t.Run(name, func(t *testing.T) {
			b := newHarness(t)
			b.dnsAndLDAP()
			dead := &b.cfg.Services[1].Checks[0]
			dead.Fall = 100
			dead.Checker.(*fakeCheck).set(errDead)
			synctest.Test(t, func(*testing.T) {
				b.start()
				later(2 * time.Second)
				b.reload(func(c *config.Config) {
					joined(c)
					if !same {
						c.Services[0].Checks[1].Raw = map[string]any{"path": "/other"}
					}
				})
				b.want("dns", api.Withdrawn, "check checkb: connection refused")
				b.wantKernel("192.0.2.54/32", driver.Delivered)
				dead.Checker.(*fakeCheck).set(nil)
				later(2 * time.Second)
				b.want("dns", api.Announced, "all checks up")
				dead.Checker.(*fakeCheck).set(errDead) // from now on it counts as any
				later(2 * time.Second)
				b.want("dns", api.Announced, "all checks up")
				b.end()
			})
		})
	}
}
