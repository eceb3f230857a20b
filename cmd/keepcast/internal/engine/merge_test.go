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

// Two services became one: what the check of the dead one had found was forgotten, and its
// address announced until the check had failed anew.
func TestMerge(t *testing.T) {
	b := newHarness(t)
	dead := &fakeCheck{}
	b.service("dns", address, &fakeCheck{})
	b.service("ldap", "192.0.2.54/32", dead).Checks[0].Raw = map[string]any{"name": "checkb"}
	b.cfg.Services[1].Checks[0].Name = "checkb"
	b.cfg.Services[1].Checks[0].Raw = map[string]any{"path": "/ldap"}
	synctest.Test(t, func(*testing.T) {
		b.start()
		later(2 * time.Second)
		dead.set(errDead)
		later(2 * time.Second)
		b.reload(func(c *config.Config) {
			one := c.Services[0]
			one.Addresses = slices.Concat(one.Addresses, c.Services[1].Addresses)
			one.Checks = slices.Concat(one.Checks, c.Services[1].Checks)
			c.Services = []config.Service{one}
		})
		b.want("dns", api.Withdrawn, "check checkb: connection refused")
		b.wantKernel("192.0.2.54/32", driver.Delivered)
		b.end()
	})
}

// The same where the check of the dead one got other settings with it.
func TestMergeWithChangedCheck(t *testing.T) {
	b := newHarness(t)
	dead := &fakeCheck{}
	b.service("dns", address, &fakeCheck{})
	b.service("ldap", "192.0.2.54/32", dead)
	b.cfg.Services[1].Checks[0].Name = "checkb"
	b.cfg.Services[1].Checks[0].Raw = map[string]any{"path": "/ldap"}
	synctest.Test(t, func(*testing.T) {
		b.start()
		later(2 * time.Second)
		dead.set(errDead)
		later(2 * time.Second)
		b.reload(func(c *config.Config) {
			one, check := c.Services[0], c.Services[1].Checks[0]
			check.Fall, check.Raw = 20, map[string]any{"path": "/ldap", "fall": 20}
			one.Name = "all"
			one.Addresses = slices.Concat(one.Addresses, c.Services[1].Addresses)
			one.Checks = []config.Check{one.Checks[0], check}
			c.Services = []config.Service{one}
		})
		b.want("all", api.Withdrawn, "check checkb: connection refused")
		b.wantKernel("192.0.2.54/32", driver.Delivered)
		b.end()
	})
}

// Two services became one, which announces more of the one that was up: all was withdrawn.
func TestMergeGoesOnAsMostOfIt(t *testing.T) {
	b := newHarness(t)
	dead := &fakeCheck{}
	b.service("dns", address, dead)
	s := b.service("ldap", "192.0.2.54/32", &fakeCheck{})
	s.Addresses = append(s.Addresses, config.Address{Prefix: netip.MustParsePrefix("192.0.2.55/32")})
	s.Checks[0].Raw = map[string]any{"path": "/ldap"}
	synctest.Test(t, func(*testing.T) {
		b.start()
		later(2 * time.Second)
		dead.set(errDead)
		later(2 * time.Second)
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
