package engine

import (
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver"
)

// serving is a service that announces those hosts of 192.0.2.0/24.
func serving(name string, hosts ...byte) config.Service {
	cfg := config.Service{Name: name}
	for _, h := range hosts {
		cfg.Addresses = append(cfg.Addresses, config.Address{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, h}), 32)})
	}
	return cfg
}

// A drain was known by the name of its service alone. So who renamed the service and changed
// anything else with it, or renamed it over a reboot or a crash, had the drained service
// announced; or another one that took over its name withdrawn.
func TestDrainsFollow(t *testing.T) {
	type services = []config.Service
	one := services{serving("dns", 53, 54)}
	both := services{serving("dns", 53), serving("ldap", 54)}
	for name, tc := range map[string]struct {
		drains, before, now services // drains: as what they have when they are saved
		want                []string // services that are drained, as they are called now, and what else is kept
	}{
		"nothing changed":                        {one, one, one, []string{"dns"}},
		"renamed":                                {one, one, services{serving("resolver", 53, 54)}, []string{"resolver"}},
		"renamed, and in another order":          {one, one, services{serving("resolver", 54, 53)}, []string{"resolver"}},
		"renamed, and has one more":              {one, one, services{serving("resolver", 53, 54, 55)}, []string{"resolver"}},
		"renamed, and has one less":              {one, one, services{serving("resolver", 54)}, []string{"resolver"}},
		"renamed over a reboot":                  {one, nil, services{serving("resolver", 54, 53)}, []string{"resolver"}},
		"renamed, and a crash before it is kept": {services{serving("resolver", 53, 54)}, one, services{serving("resolver", 53, 54)}, []string{"resolver"}},
		"renamed with an update":                 {services{serving("dns")}, one, services{serving("resolver", 53, 54)}, []string{"resolver"}},
		"an update":                              {services{serving("dns")}, one, one, []string{"dns"}},
		"an update over a reboot":                {services{serving("dns")}, nil, one, []string{"dns"}},
		"swapped":                                {both[:1], both, services{serving("ldap", 53), serving("dns", 54)}, []string{"ldap"}},
		"swapped, and each has one more":         {both[:1], both, services{serving("ldap", 53, 63), serving("dns", 54, 64)}, []string{"ldap"}},
		"swapped over a reboot":                  {both[:1], nil, services{serving("ldap", 53), serving("dns", 54)}, []string{"ldap"}},
		"another address":                        {one, one, services{serving("dns", 63)}, []string{"dns"}},
		"another address over a reboot":          {one, nil, services{serving("dns", 63)}, []string{"dns"}},
		"left":                                   {both[:1], both, both[1:], []string{"dns"}},
		"left, and its name is another's":        {both[:1], both, services{serving("dns", 54)}, nil},
		"left, and its address is another's":     {one, append(slices.Clone(one), serving("ldap", 55)), services{serving("ldap", 55, 54)}, []string{"dns"}},
		"left before, comes by another name":     {both[:1], both[1:], services{serving("resolver", 53), serving("ldap", 54)}, []string{"resolver"}},
		"both drained, one takes the other's":    {both, both, services{serving("ldap", 53)}, []string{"ldap"}},
	} {
		e := &Engine{cfg: &config.Config{Services: tc.now}, log: slog.New(slog.DiscardHandler)}
		var list []order
		for _, id := range identities(tc.drains) {
			list = append(list, order{api.Drain{Service: id.name, Reason: "CHG-1"}, id.announces})
		}
		var got []string
		for name, o := range e.follow(list, identities(tc.before)) {
			got = append(got, name)
			if o.Service != name || o.Reason != "CHG-1" || len(o.Announces) == 0 {
				t.Errorf("%s: %s has %+v", name, name, o)
			}
		}
		slices.Sort(got)
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

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
		b.end()
	})
}

// drains.json that somebody removed came back with the next order only.
func TestDrainsAreWrittenAtStart(t *testing.T) {
	b := newHarness(t)
	b.savesDrains(order{Drain: api.Drain{Service: "dns", Reason: "CHG-1"}})
	b.service("dns", address, &fakeCheck{})
	b.keep = true
	synctest.Test(t, func(*testing.T) {
		b.start()
		later(time.Second)
		b.end()
		saved, _, err := drainsDocument(b.cfg.StateDir).Load(nil)
		if err != nil || len(saved) != 1 || len(saved[0].Announces) != 1 || saved[0].Announces[0].String() != address {
			t.Errorf("saved are %+v, %v", saved, err)
		}
	})
}
