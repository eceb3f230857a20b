package engine

import (
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver/drivertest"
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
	var log drivertest.Buffer
	for name, tc := range map[string]struct {
		drains, before, now services // drains: as what they have when they are saved
		want                []string // services that are drained, as they are called now, and what else is kept
	}{
		"nothing changed":                          {one, one, one, []string{"dns"}},
		"renamed":                                  {one, one, services{serving("resolver", 53, 54)}, []string{"resolver"}},
		"renamed, and in another order":            {one, one, services{serving("resolver", 54, 53)}, []string{"resolver"}},
		"renamed, and has one more":                {one, one, services{serving("resolver", 53, 54, 55)}, []string{"resolver"}},
		"renamed, and has one less":                {one, one, services{serving("resolver", 54)}, []string{"resolver"}},
		"renamed over a reboot":                    {one, nil, services{serving("resolver", 54, 53)}, []string{"resolver"}},
		"renamed, and a crash before it is kept":   {services{serving("resolver", 53, 54)}, one, services{serving("resolver", 53, 54)}, []string{"resolver"}},
		"renamed with an update":                   {services{serving("dns")}, one, services{serving("resolver", 53, 54)}, []string{"resolver"}},
		"an update":                                {services{serving("dns")}, one, one, []string{"dns"}},
		"an update, and it left":                   {services{serving("dns")}, both, both[1:], []string{"dns"}},
		"half of it leaves":                        {one, one, services{serving("dns", 53)}, []string{"dns"}},
		"an update over a reboot":                  {services{serving("dns")}, nil, one, []string{"dns"}},
		"swapped":                                  {both[:1], both, services{serving("ldap", 53), serving("dns", 54)}, []string{"ldap"}},
		"swapped, and each has one more":           {both[:1], both, services{serving("ldap", 53, 63), serving("dns", 54, 64)}, []string{"ldap"}},
		"swapped over a reboot":                    {both[:1], nil, services{serving("ldap", 53), serving("dns", 54)}, []string{"ldap"}},
		"another address":                          {one, one, services{serving("dns", 63)}, []string{"dns"}},
		"another address over a reboot":            {one, nil, services{serving("dns", 63)}, []string{"dns"}},
		"left":                                     {both[:1], both, both[1:], []string{"dns"}},
		"left, and its name is another's":          {both[:1], both, services{serving("dns", 54)}, []string{"dns (left)"}},
		"left, and its address is another's":       {one, append(slices.Clone(one), serving("ldap", 55)), services{serving("ldap", 55, 54)}, []string{"dns"}},
		"left before, comes by another name":       {both[:1], both[1:], services{serving("resolver", 53), serving("ldap", 54)}, []string{"resolver"}},
		"renamed, and a crash before its drain is": {one, services{serving("resolver", 54, 53)}, services{serving("resolver", 54, 53)}, []string{"resolver"}},
		"joined, and most of it was drained":       {one, append(slices.Clone(one), serving("ldap", 55)), services{serving("all", 53, 54, 55)}, []string{"all"}},
		"joined, and most of it was not":           {both[:1], services{both[0], serving("ldap", 54, 55)}, services{serving("all", 53, 54, 55)}, nil},
		"split":                                    {one, one, services{serving("dns", 53), serving("ns2", 54)}, []string{"dns", "ns2"}},
		"split over a reboot":                      {one, nil, services{serving("ns1", 53), serving("ns2", 54)}, []string{"ns1", "ns2"}},
		"half of it left, and comes back":          {services{serving("dns", 53, 54)}, services{serving("dns", 53)}, services{serving("dns", 53), serving("ns2", 54)}, []string{"dns", "ns2"}},
		"merged with one that is not drained":      {both[1:], both, services{serving("all", 53, 54)}, nil},
		"merged with a later one":                  {both[:1], both, services{serving("all", 53, 54)}, []string{"all"}},
		"joined to one that is not drained":        {both[:1], both, services{serving("ldap", 53, 54)}, nil},
		"left before, joined to another":           {both[:1], both[1:], services{serving("ldap", 53, 54)}, nil},
		"left before, another has its name":        {both[:1], both[1:], services{serving("dns", 54)}, []string{"dns (left)"}},
		"left before, joined to one renamed":       {both[:1], both[1:], services{serving("web", 53, 54)}, nil},
		"both drained, one takes the other's":      {both, both, services{serving("ldap", 53)}, []string{"ldap", "ldap (left)"}},
	} {
		e := &Engine{cfg: &config.Config{Services: tc.now}, log: slog.New(slog.NewTextHandler(&log, nil))}
		var list []order
		for _, id := range identities(tc.drains) {
			list = append(list, order{api.Drain{Service: id.name, Reason: "CHG-1"}, id.announces})
		}
		var got []string
		told, of := log.String(), map[netip.Prefix]string{}
		for _, id := range identities(tc.now) {
			for _, p := range id.announces {
				of[p] = id.name
			}
		}
		for name, o := range e.follow(list, identities(tc.before)) {
			got = append(got, name)
			others := func(p netip.Prefix) bool { return of[p] != "" && of[p] != name }
			if o.Service != name || o.Reason != "CHG-1" || len(o.Announces) == 0 || slices.ContainsFunc(o.Announces, others) || !slices.IsSortedFunc(o.Announces, netip.Prefix.Compare) {
				t.Errorf("%s: %s has %+v", name, name, o)
			}
		}
		if over := len(tc.want) == 0; over && !strings.Contains(strings.TrimPrefix(log.String(), told), `msg="drain is over: its service left the configuration, and another one has its addresses"`) {
			t.Errorf("%s: the log has %s", name, strings.TrimPrefix(log.String(), told))
		}
		slices.Sort(got)
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
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

// A drain of a service that had left was shown nowhere, and no command could end it: it lay in
// wait for who had its address next.
func TestWaitingDrains(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address, &fakeCheck{})
	b.service("ldap", "192.0.2.54/32", &fakeCheck{})
	synctest.Test(t, func(t *testing.T) {
		b.startDrained("ldap")
		for _, names := range [][]string{nil, {"ldap"}} {
			b.reload(func(c *config.Config) { c.Services = c.Services[:1] })
			b.wantFindings("info " + b.engine.disk.savedDrains.Path + " (drain-waiting): services that left the configuration drained, and are drained when their addresses come back: ldap")
			if err := b.engine.Drain([]string{"ldap"}, time.Time{}, "", ""); drivertest.ErrText(err) != `no service "ldap" (running: dns)` {
				t.Errorf("drained: %v", err)
			}
			if err := b.engine.Resume(names); err != nil {
				t.Fatal(err)
			}
			b.wantFindings()
			b.reload(func(*config.Config) {})
			later(time.Minute)
			b.want("ldap", api.Announced, "all checks up")
			if err := b.engine.Drain([]string{"ldap"}, time.Time{}, "CHG-1", ""); err != nil {
				t.Fatal(err)
			}
		}
		b.end()
	})
}

// Over a restart under another name the linger of a service was cut off: it is bounded by that
// of the service which it is now.
func TestLingerFollowsRename(t *testing.T) {
	b := newHarness(t)
	b.service("resolver", address).Linger = time.Minute
	b.create()
	now := time.Now()
	until := now.Add(40 * time.Second)
	s := saved{Services: []savedService{{Name: "dns", State: api.Draining, LingerUntil: until, Addresses: announces(b.cfg.Services[0]).Addresses}}}
	if got := b.engine.plausible(s, now).Services[0].LingerUntil; !got.Equal(until) {
		t.Errorf("it lingers until %s, want %s", got, until)
	}
}

// Who copied a file of drain.d with the service's new name, reloaded, and removed the old one,
// had the service drained by command from then on, if the reload came before the notice.
func TestReloadLooksIntoDrainDir(t *testing.T) {
	b := newHarness(t)
	dir := t.TempDir()
	b.service("dns", address, &fakeCheck{})
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2 * time.Second)
		b.cfg.DrainDir = dir // nobody watches it
		b.engine.drainFiles(drainDir{drains: map[string]api.Drain{"dns": {Service: "dns", File: dir + "/dns"}}}, nil)
		later(time.Minute)
		b.want("dns", api.Withdrawn, "drained by "+dir+"/dns")
		drivertest.WriteFile(t, dir+"/dns", "")
		drivertest.WriteFile(t, dir+"/resolver", "CHG-1")
		b.engine.drains.ordered["dns"] = true // what is read late of it does not count
		b.reload(called("resolver"))
		b.want("resolver", api.Withdrawn, "drained by "+dir+"/resolver: CHG-1")
		if len(b.engine.drains.commanded) > 0 || !b.engine.drains.ordered["resolver"] {
			t.Errorf("by command: %v; ordered: %v", b.engine.drains.commanded, b.engine.drains.ordered)
		}
		b.reload(called("ns"))
		b.want("ns", api.Withdrawn, "drained: CHG-1 (by "+dir+"/resolver before it became ns, until keepcast resume)")
		b.end()
	})
}

// A service that was drained by a file, and was renamed while keepcast did not run, came back.
func TestFileDrainFollowsRenameOverRestart(t *testing.T) {
	b := newHarness(t)
	b.cfg.DrainDir = t.TempDir()
	b.service("resolver", address)
	drivertest.WriteFile(t, b.cfg.DrainDir+"/dns", "")
	b.saves(saved{Services: []savedService{{Name: "dns", State: api.Withdrawn, Addresses: announces(b.cfg.Services[0]).Addresses}}})
	b.create()
	if err := b.engine.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	d := b.engine.drains.active("resolver", time.Now())
	if want := "drained: by " + b.cfg.DrainDir + "/dns before it became resolver, until keepcast resume"; d == nil || d.String() != want {
		t.Errorf("got %v, want %s", d, want)
	}
}

// A drain that was over took the place of one that was not.
func TestOldDrainCountsAsNone(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address, &fakeCheck{})
	b.service("ldap", "192.0.2.54/32", &fakeCheck{})
	synctest.Test(t, func(t *testing.T) {
		b.startDrained("ldap")
		if err := b.engine.Drain([]string{"dns"}, time.Now().Add(2*time.Second), "CHG-2", ""); err != nil {
			t.Fatal(err)
		}
		later(time.Minute)
		b.want("dns", api.Announced, "all checks up")
		b.reload(func(c *config.Config) { c.Services = c.Services[1:] })
		b.wantFindings()
		if d := b.engine.drains.commanded; len(d) != 1 || d["ldap"].Reason != "CHG-1" {
			t.Errorf("drained: %v", d)
		}
		b.end()
	})
}
