package engine

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver"
)

// anywhere is the default route.
var anywhere = netip.PrefixFrom(netip.IPv4Unspecified(), 0)

// A service could not have prefixes alone. The host does not tell whether one was announced,
// having no address: after a reboot its prefix would have been let out before any check.
func TestAdoptWithoutAddress(t *testing.T) {
	for name, tt := range map[string]struct {
		saved []savedService
		want  api.State
	}{
		"after a reboot":   {nil, api.Withdrawn},
		"it was announced": {[]savedService{{Name: "transit", State: api.Announced}}, api.Announced},
		"it was degraded":  {[]savedService{{Name: "transit", State: api.Degraded}}, api.Degraded},
		"it was withdrawn": {[]savedService{{Name: "transit", State: api.Withdrawn}}, api.Withdrawn},
		"another was":      {[]savedService{{Name: "web", State: api.Announced}}, api.Withdrawn},
	} {
		b := newHarness(t)
		s := b.service("transit", address)
		s.Addresses, s.Prefixes = nil, []config.Prefix{{Prefix: anywhere}}
		b.create()
		if err := b.engine.start(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.engine.adopt(driver.State{}, saved{Services: tt.saved}, time.Now())
		if got := b.engine.services[0].state; got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}

// A service without an address is announced and withdrawn like any other, by the daemons.
func TestWithoutAddress(t *testing.T) {
	b := newHarness(t)
	check := &fakeCheck{}
	s := b.service("transit", address, check)
	s.Addresses, s.Prefixes = nil, []config.Prefix{{Prefix: anywhere}}
	desired := func() driver.Route {
		t.Helper()
		routes := b.engine.desired(time.Now()).Routes
		if len(routes) != 1 {
			t.Fatalf("desired: %v", routes)
		}
		return routes[0]
	}
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(3 * time.Second)
		b.want("transit", api.Announced, "all checks up")
		if r := desired(); r.Presence != driver.Announced || !r.PrefixOnly || r.Prefix != anywhere {
			t.Errorf("desired: %+v", r)
		}
		check.set(errDead)
		later(3 * time.Second)
		b.want("transit", api.Withdrawn, "check checka: connection refused")
		if r := desired(); r.Presence != driver.Absent {
			t.Errorf("desired: %+v", r)
		}
		b.end()
	})
}
