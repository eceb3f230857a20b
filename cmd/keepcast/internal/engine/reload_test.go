package engine

import (
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver"
)

// copied returns a configuration as a new load would bring it.
func copied(old *config.Config) *config.Config {
	c := *old
	c.Services = append([]config.Service(nil), old.Services...)
	for i := range c.Services {
		c.Services[i].Checks = append([]config.Check(nil), c.Services[i].Checks...)
	}
	c.Drivers = append([]config.Driver(nil), old.Drivers...)
	return &c
}

func TestReload(t *testing.T) {
	b := newHarness(t)
	kept := &fakeCheck{}
	b.service("dns", address, kept)
	b.service("ldap", "192.0.2.54/32", &fakeCheck{})
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2 * time.Second)
		b.kernel.take()

		same := copied(b.cfg)
		if err := b.engine.Reload(same); err != nil {
			t.Fatal(err)
		}
		kept.ran()
		later(time.Minute)
		if moves := b.kernel.take(); len(moves) != 0 {
			t.Errorf("a reload without a change moved %v", moves)
		}
		if n := kept.ran(); n < 59 || n > 61 {
			t.Errorf("an unchanged check ran %d times in a minute", n)
		}

		// A check is added, and fails: nothing moves until it has failed twice.
		more := copied(same)
		added := more.Services[0].Checks[0]
		added.Name, added.Checker, added.Raw = "new", &fakeCheck{err: errDead}, map[string]any{"i": 9}
		more.Services[0].Checks = append(more.Services[0].Checks, added)
		if err := b.engine.Reload(more); err != nil {
			t.Fatal(err)
		}
		later(0)
		b.want("dns", api.Announced, "as before: 1 of 2 checks not decided yet")
		later(250 * time.Millisecond)
		b.want("dns", api.Withdrawn, "check new: connection refused")
		gone := added.Checker.(*fakeCheck)

		// A service is taken away: its address is drained, then gone.
		fewer := copied(same)
		fewer.Services = fewer.Services[:1]
		if err := b.engine.Reload(fewer); err != nil {
			t.Fatal(err)
		}
		later(0)
		// It comes back once the check that is left has succeeded anew since it went.
		b.want("dns", api.Withdrawn, "check checka has not succeeded 3 times in a row since the service went")
		b.wantKernel("192.0.2.54/32", driver.Delivered)
		later(time.Second)
		b.want("dns", api.Announced, "all checks up")
		later(9 * time.Second)
		b.wantKernel("192.0.2.54/32", driver.Absent)
		gone.ran()
		later(time.Minute)
		if n := gone.ran(); n > 0 {
			t.Errorf("a check that was taken away ran %d times", n)
		}
		b.end()
	})
}

// A service that leaves takes everything off the host, however long ago it was
// withdrawn, and however long the kernel refuses.
func TestReloadWithout(t *testing.T) {
	for name, tc := range map[string]struct {
		err    error         // of the check
		refuse time.Duration // how long the kernel refuses after the reload
	}{
		"announced":                         {nil, 0},
		"announced, and the kernel refuses": {nil, 5 * time.Minute},
		"withdrawn":                         {errDead, 0},
		"withdrawn, and the kernel refuses": {errDead, 5 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			b := newHarness(t)
			b.service("ldap", "192.0.2.54/32", &fakeCheck{})
			b.service("dns", address, &fakeCheck{err: tc.err})
			synctest.Test(t, func(t *testing.T) {
				b.start()
				later(5 * time.Minute)
				if tc.refuse > 0 {
					b.kernel.set(func() { b.kernel.fail = errors.New("no buffer space available") })
				}
				fewer := copied(b.cfg)
				fewer.Services = fewer.Services[:1]
				if err := b.engine.Reload(fewer); err != nil {
					t.Fatal(err)
				}
				later(tc.refuse)
				b.kernel.set(func() { b.kernel.fail = nil })
				later(time.Minute)
				b.wantKernel(address, driver.Absent)
				later(time.Minute)
				b.end()
				if len(b.engine.leaving) != 0 {
					t.Errorf("it is not forgotten: %v", b.engine.leaving)
				}
			})
		})
	}
}

func TestReloadRefused(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address, &fakeCheck{})
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2 * time.Second)
		other := copied(b.cfg)
		other.Interface = "lo1"
		err := b.engine.Reload(other)
		if want := "interface: changed from anycast0 to lo1, which takes a restart of keepcast"; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		if s, _ := b.engine.Status(); s.Config.Error != err.Error() {
			t.Errorf("status says %q", s.Config.Error)
		}
		b.want("dns", api.Announced, "all checks up")
		b.end()
	})
}

func TestReloadDrivers(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address, &fakeCheck{})
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2 * time.Second)
		frr := &fakeDriver{journal: b.kernel.journal, name: "frr"}
		other := copied(b.cfg)
		other.Drivers = []config.Driver{{Name: "frr", Kind: "frr", Driver: frr, Raw: map[string]any{"kind": "frr"}}}
		if err := b.engine.Reload(other); err != nil {
			t.Fatal(err)
		}
		later(time.Second)
		if len(frr.have.Announced()) != 1 {
			t.Error("the new driver was not told")
		}
		if len(b.driver.have.Announced()) != 0 {
			t.Error("the gate of the removed driver stays open")
		}
		b.wantKernel(address, driver.Announced)
		status, err := b.engine.Status()
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]api.Observation{"kernel": {Present: true}, "frr": {Present: true}}
		if diff := cmp.Diff(want, status.Services[0].Addresses[0].Observed, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("observed by:\n%s", diff)
		}
		b.end()
	})
}

// A driver that left and comes back has yet to say what it is at.
func TestReloadForgetsDriver(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address, &fakeCheck{})
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2 * time.Second)
		without := copied(b.cfg)
		without.Drivers = nil
		with := copied(b.cfg)
		for _, cfg := range []*config.Config{without, with} {
			if err := b.engine.Reload(cfg); err != nil {
				t.Fatal(err)
			}
			later(time.Second)
			b.driver.set(func() { b.driver.hang = true })
		}
		status, err := b.engine.Status()
		if err != nil {
			t.Fatal(err)
		}
		if d := status.Drivers[1]; d.InSync {
			t.Errorf("it hangs, and is %+v", d)
		}
		if o := status.Services[0].Addresses[0].Observed["bird"]; o.Present || !o.Unknown {
			t.Errorf("what it announces is %+v, want unknown", o)
		}
		b.driver.set(func() { b.driver.hang = false })
		b.endLeaving("bird may still have 192.0.2.53/32: it has not answered")
	})
}

// TestReloadLength gives an address another length: it does not leave.
func TestReloadLength(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address, &fakeCheck{})
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2 * time.Second)
		wider := copied(b.cfg)
		wider.Services[0].Addresses = []config.Address{{Prefix: netip.MustParsePrefix("192.0.2.53/24")}}
		if err := b.engine.Reload(wider); err != nil {
			t.Fatal(err)
		}
		later(0)
		b.want("dns", api.Announced, "all checks up")
		b.wantKernel("192.0.2.53/24", driver.Announced)
		b.end()
		if len(b.engine.leaving) != 0 {
			t.Errorf("it leaves: %v", b.engine.leaving)
		}
	})
}

// What a check finds after a reload counts for the service as it is now: without the
// check that a reload took away, another one decides.
func TestReloadedServiceIsDecided(t *testing.T) {
	b := newHarness(t)
	taken, left := &fakeCheck{err: errDead}, &fakeCheck{}
	b.service("dns", address, taken, left).Checks[1].OnFailure = "degrade"
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2 * time.Second)
		b.want("dns", api.Withdrawn, "check checka: connection refused")
		fewer := copied(b.cfg)
		fewer.Services[0].Checks = fewer.Services[0].Checks[1:]
		if err := b.engine.Reload(fewer); err != nil {
			t.Fatal(err)
		}
		b.want("dns", api.Announced, "all checks up")
		left.set(errDead)
		later(2 * time.Second)
		b.want("dns", api.Degraded, "check checkb: connection refused")
		b.end()
	})
}

// The address of a removed service is the operator's once it is off the host, also while a
// daemon is down. It was taken off again, for as long as BIRD was stopped.
func TestRemovedAddressMayBeUsed(t *testing.T) {
	b := newHarness(t)
	b.keep = true
	b.service("dns", address, &fakeCheck{})
	b.service("ldap", "192.0.2.54/32", &fakeCheck{})
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2 * time.Second)
		b.driver.set(func() { b.driver.fail = errDead })
		b.reload(func(c *config.Config) { c.Services = c.Services[:1] })
		later(2 * time.Minute)
		b.wantKernel("192.0.2.54/32", driver.Absent)
		if len(b.engine.leaving) != 1 {
			t.Errorf("leaving: %v, want it as long as the daemon may have it", b.engine.leaving)
		}
		b.kernel.set(func() { b.kernel.have[netip.MustParsePrefix("192.0.2.54/32")] = driver.Announced })
		b.kernel.changed()
		later(2 * time.Minute)
		b.wantKernel("192.0.2.54/32", driver.Announced)
		b.driver.set(func() { b.driver.fail = nil })
		later(2 * time.Minute)
		b.wantKernel("192.0.2.54/32", driver.Announced)
		if got := prefixesOf(b.driver); got != address+" " {
			t.Errorf("the daemon announces %s", got)
		}
		b.end()
	})
}
