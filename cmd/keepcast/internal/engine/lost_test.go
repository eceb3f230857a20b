package engine

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
)

// A service was withdrawn by on_void: withdraw, while status and metric told the operator
// that its checks were all up.
func TestLostIsShownDown(t *testing.T) {
	b := newHarness(t)
	b.keep = true
	c := &fakeCheck{}
	b.service("dns", address, c).OnVoid = "withdraw"
	b.service("ldap", "192.0.2.54/32", c).OnVoid = "keep"
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		b.registry = registry
		b.start()
		registry.MustRegister(Collector{b.engine})
		shows := func(name string, want health.Verdict) {
			t.Helper()
			s, err := b.engine.Status()
			if err != nil {
				t.Fatal(err)
			}
			for _, svc := range s.Services {
				if svc.Name == name && svc.Checks[0].Verdict != want {
					t.Errorf("the check of %s is shown as %s, want %s", name, svc.Checks[0].Verdict, want)
				}
			}
			if got := measured(t, registry)["keepcast_check_up checka "+name]; got != truth(want == health.Up) {
				t.Errorf("keepcast_check_up of %s is %v", name, got)
			}
		}
		later(2 * time.Second)
		c.set(errNoDescriptor)
		later(20 * time.Second)
		shows("dns", health.Up)
		shows("ldap", health.Up)
		later(20 * time.Second)
		b.want("dns", api.Withdrawn, "check checka can't be run: dial: too many open files")
		shows("dns", health.Down)
		shows("ldap", health.Up) // what is void leaves it as it is
		c.set(nil)
		later(10 * time.Second)
		shows("dns", health.Up)
		b.end()
	})
}

// A reload that changed such a check had it up again, and a degraded service announced as
// if all were well until the next run.
func TestLostOutlivesReload(t *testing.T) {
	b := newHarness(t)
	b.keep = true
	worse := &fakeCheck{}
	dns := b.service("dns", address, &fakeCheck{}, worse)
	dns.OnVoid, dns.Checks[1].OnFailure = "withdraw", "degrade"
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2 * time.Second)
		worse.set(errNoDescriptor)
		later(40 * time.Second)
		b.want("dns", api.Degraded, "check checkb can't be run: dial: too many open files")
		b.reload(func(c *config.Config) {
			c.Services[0].Checks[1].Raw, c.Services[0].Checks[1].Interval = map[string]any{"i": "other"}, 2*time.Second
		})
		later(10 * time.Second)
		b.want("dns", api.Degraded, "check checkb can't be run: dial: too many open files")
		b.wantLog(1, `msg="service state decided" service=dns state=announced`)
		b.end()
	})
}
