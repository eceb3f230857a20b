package engine

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver"
)

// called gives services other names, in their order.
func called(names ...string) func(*config.Config) {
	return func(c *config.Config) {
		for i, name := range names {
			c.Services[i].Name = name
		}
	}
}

// startDrained starts with all services announced, and then one of them drained.
func (b *harness) startDrained(service string) {
	b.t.Helper()
	b.start()
	later(2 * time.Second)
	if err := b.engine.Drain([]string{service}, time.Time{}, "CHG-1", ""); err != nil {
		b.t.Fatal(err)
	}
	later(time.Minute)
}

// Two services swapped names while one was drained: the address of the drained one came, and
// that of the other went.
func TestNamesSwapped(t *testing.T) {
	for name, running := range map[string]bool{"by a reload": true, "by a restart": false} {
		t.Run(name, func(t *testing.T) {
			const other = "192.0.2.54/32"
			b := newHarness(t)
			b.service("dns", address, &fakeCheck{})
			b.service("ldap", other, &fakeCheck{})
			b.keep = true
			synctest.Test(t, func(t *testing.T) {
				b.startDrained("ldap")
				b.kernel.take()
				if running {
					b.reload(called("ldap", "dns"))
					later(time.Minute)
				}
				b.end()
				b.cfg = copied(b.cfg)
				called("ldap", "dns")(b.cfg)
				b.start()
				later(time.Minute)
				b.want("ldap", api.Announced, "all checks up")
				b.want("dns", api.Withdrawn, "drained: CHG-1")
				b.wantLog(1, `msg="drain follows the service to its new name" service=dns was=ldap`)
				b.wantUnmoved()
				b.end()
			})
		})
	}
}

// One service took the name of another, which went: neither goes on as the other was, and
// what is counted for the name is that of the new one.
func TestNameTaken(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address, &fakeCheck{})
	b.service("ldap", "192.0.2.54/32", &fakeCheck{})
	b.keep = true
	synctest.Test(t, func(t *testing.T) {
		b.startDrained("ldap")
		b.kernel.take()
		b.reload(func(c *config.Config) {
			called("ldap", "old")(c)
			c.Services = c.Services[:1]
		})
		b.want("ldap", api.Announced, "all checks up")
		if b.wantKernel(address, driver.Announced); b.engine.drains.active("ldap", time.Now()) != nil {
			t.Error("ldap took over the drain of another service")
		}
		b.wantLog(1, `msg="service renamed" service=ldap was=dns`)
		b.wantLog(1, `msg="service removed from the configuration" service=ldap`)
		b.end()
	})
}

// A service that a file in drain.d drained was announced as soon as it was called otherwise.
func TestFileDrainFollowsRename(t *testing.T) {
	since := time.Now().Add(-time.Hour)
	file := func(service string) api.Drain {
		return api.Drain{Service: service, File: "/d/" + service, Reason: "CHG-1", Since: since}
	}
	unread := api.Drain{Service: "dns", File: "/d", Reason: "it can't be read", Since: since}
	for name, tc := range map[string]struct {
		files map[string]api.Drain
		want  string
		finds string
		told  int
	}{
		"its file has the former name": {map[string]api.Drain{"dns": file("dns")}, "drained: CHG-1 (by /d/dns before it became resolver, until keepcast resume)", "/d/dns", 1},
		"its file is renamed, too":     {map[string]api.Drain{"resolver": file("resolver")}, "drained by /d/resolver: CHG-1", "", 0},
		"there are both":               {map[string]api.Drain{"dns": file("dns"), "resolver": file("resolver")}, "drained by /d/resolver: CHG-1", "/d/dns", 0},
		"drain.d can't be read":        {map[string]api.Drain{"dns": unread}, "drained by /d: it can't be read", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			b := newHarness(t)
			b.service("resolver", address)
			b.create()
			e := b.engine
			e.cfg.DrainDir = "/d"
			e.services = []*service{newService(&b.cfg.Services[0], time.Now())}
			e.drains.files = tc.files
			e.followFiles(map[string]string{"resolver": "dns"})
			d := e.drains.active("resolver", time.Now())
			if d == nil {
				t.Fatal("not drained any more")
			}
			var finds string
			e.find()
			for _, f := range e.found {
				finds += f.Subject
			}
			if d.Service != "resolver" || !d.Since.Equal(since) || len(e.drains.commanded) != tc.told {
				t.Errorf("drain %+v, commanded are %v", d, e.drains.commanded)
			}
			b.wantLog(tc.told, `msg="service was drained by a file with its former name, and stays drained until keepcast resume" service=resolver was=dns file=/d/dns`)
			if diff := cmp.Diff([]string{tc.want, tc.finds}, []string{d.String(), finds}); diff != "" {
				t.Errorf("drain and finding (-want +got):\n%s", diff)
			}
		})
	}
}

// A service that was renamed leaves nothing under its former name to a new service of that
// name: not its state, not its drain.
func TestFormerNameIsFree(t *testing.T) {
	b := newHarness(t)
	b.keep = true
	b.service("dns", address, &fakeCheck{})
	synctest.Test(t, func(t *testing.T) {
		b.startDrained("dns")
		added := *b.service("dns", "192.0.2.55/32", &fakeCheck{})
		b.cfg.Services = b.cfg.Services[:1]
		b.reload(func(c *config.Config) {
			called("resolver")(c)
			c.Services = append(c.Services, added)
		})
		b.want("resolver", api.Withdrawn, "drained: CHG-1")
		b.want("dns", api.Withdrawn, "check checka has not succeeded 3 times in a row yet")
		later(time.Minute)
		b.want("dns", api.Announced, "all checks up")
		e := b.engine
		last := saved{Services: []savedService{{Name: "dns", Addresses: savedOf(e.services[0]).Addresses, Failures: 7}}}
		if got := e.former(last); len(got) != 1 || got["resolver"].Failures != 7 {
			t.Errorf("the last run had %+v", got)
		}
		if len(e.drains.commanded) != 1 {
			t.Errorf("drained are %v", e.drains.commanded)
		}
		b.end()
	})
}
