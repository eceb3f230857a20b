package engine

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver"
)

// A service that carries on over a reload keeps all that was decided of it.
func TestReloadKeepsState(t *testing.T) {
	for name, tc := range map[string]struct {
		err    error // of the check
		check  string
		drain  bool
		want   api.State
		reason string
	}{
		"announced": {nil, "withdraw", false, api.Announced, "all checks up"},
		"degraded":  {errDead, "degrade", false, api.Degraded, "check checkb: connection refused"},
		"withdrawn": {errDead, "withdraw", false, api.Withdrawn, "check checkb: connection refused"},
		"draining":  {nil, "withdraw", true, api.Draining, "drained: CHG-1"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newHarness(t)
			c := &fakeCheck{}
			b.service("dns", address, &fakeCheck{}, c).Checks[1].OnFailure = tc.check
			synctest.Test(t, func(t *testing.T) {
				b.start()
				later(2 * time.Second)
				c.set(tc.err)
				if tc.drain {
					if err := b.engine.Drain(nil, time.Time{}, "CHG-1", ""); err != nil {
						t.Fatal(err)
					}
				}
				later(5 * time.Second)
				b.want("dns", tc.want, tc.reason)
				before, err := b.engine.Status()
				if err != nil {
					t.Fatal(err)
				}
				b.kernel.take()
				b.reload(func(*config.Config) {})
				after, err := b.engine.Status()
				if diff := cmp.Diff(before.Services, after.Services); diff != "" || err != nil {
					t.Errorf("%v\n%s", err, diff)
				}
				later(4 * time.Second)
				b.want("dns", tc.want, tc.reason)
				if moves := b.kernel.take(); len(moves) > 0 {
					t.Errorf("the reload moved %v", moves)
				}
				b.end()
			})
		})
	}
}

// Hold-down goes on over a reload, by the times of the new configuration, and so does
// the count of the failures.
func TestHoldDownSurvivesReload(t *testing.T) {
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
			later(2 * time.Second)
		}
		held := func(d time.Duration, failures string) {
			t.Helper()
			later(d)
			if s, reason := b.state("dns"); s != api.Withdrawn || !strings.HasSuffix(reason, failures) {
				t.Errorf("got %s (%s)", s, reason)
			}
		}
		fail()
		b.reload(func(*config.Config) {})
		held(15*time.Second, "(1 failures in a row)")
		later(5 * time.Second)
		b.want("dns", api.Announced, "all checks up")
		fail()
		b.reload(func(c *config.Config) { c.Services[0].HoldDown = 30 * time.Second })
		held(50*time.Second, "(2 failures in a row)") // 60 s, as the second one
		later(10 * time.Second)
		b.want("dns", api.Announced, "all checks up")
		b.end()
	})
}

// A service that leaves is logged, its checks end, its metrics go, and its addresses are
// taken off. It may come back.
func TestReloadRemovesService(t *testing.T) {
	b := newHarness(t)
	c := &fakeCheck{}
	b.service("dns", address)
	b.service("ldap", "192.0.2.54/32", c)
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		b.registry = registry
		b.start()
		later(2 * time.Second)
		series := func(service string) (n int) {
			for key := range measured(t, registry) {
				if slices.Contains(strings.Fields(key), service) {
					n++
				}
			}
			return n
		}
		if series("ldap") == 0 {
			t.Error("nothing is counted")
		}
		b.reload(func(c *config.Config) { c.Services = c.Services[:1] })
		b.wantLog(1, `msg="service removed from the configuration" service=ldap`)
		c.ran()
		later(time.Minute)
		if n := c.ran(); n > 0 {
			t.Errorf("its check ran %d times", n)
		}
		if n := series("ldap"); n > 0 || series("dns") == 0 {
			t.Errorf("%d series are left", n)
		}
		b.wantKernel("192.0.2.54/32", driver.Absent)
		b.reload(func(*config.Config) {})
		later(2 * time.Second)
		b.wantKernel("192.0.2.54/32", driver.Announced)
		later(2 * time.Minute)
		b.wantKernel("192.0.2.54/32", driver.Announced)
		b.end()
		if len(b.engine.leaving) > 0 {
			t.Errorf("it leaves: %v", b.engine.leaving)
		}
	})
}

// left returns what leaves of an engine that runs.
func (b *harness) left() (left []leaving) {
	b.t.Helper()
	if err := b.engine.call(func() { left = slices.Clone(b.engine.leaving) }); err != nil {
		b.t.Fatal(err)
	}
	return left
}

// A service that comes back while it leaves does not leave any more.
func TestReloadBringsServiceBack(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address)
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2 * time.Second)
		b.reload(func(c *config.Config) { c.Services = nil })
		if l := b.left(); len(l) != 1 || l[0].Prefix.String() != address {
			t.Errorf("leaving %v", l)
		}
		later(5 * time.Second)
		b.wantKernel(address, driver.Delivered)
		b.reload(func(*config.Config) {})
		if l := b.left(); len(l) > 0 {
			t.Errorf("leaving %v", l)
		}
		later(time.Minute)
		b.wantKernel(address, driver.Announced)
		b.end()
	})
}

// One of the prefixes that leaves is closed, and forgotten once all follow.
func TestReloadRemovesPrefix(t *testing.T) {
	prefix := config.Prefix{Prefix: netip.MustParsePrefix("203.0.113.0/24")}
	b := newHarness(t)
	b.service("dns", address).Prefixes = []config.Prefix{prefix}
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2 * time.Second)
		announced := func(want ...string) {
			t.Helper()
			var got []string
			for _, r := range b.driver.have.Announced() {
				got = append(got, r.Prefix.String())
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		}
		announced(address, prefix.String())
		b.reload(func(c *config.Config) { c.Services[0].Prefixes = nil })
		later(2 * time.Second)
		announced(address)
		if l := b.left(); len(l) != 1 || !l[0].PrefixOnly || l[0].Prefix != prefix.Prefix {
			t.Errorf("leaving %v", l)
		}
		later(2 * time.Minute)
		if l := b.left(); len(l) > 0 {
			t.Errorf("not forgotten: %v", l)
		}
		b.end()
	})
}
