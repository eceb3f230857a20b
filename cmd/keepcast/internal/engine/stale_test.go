package engine

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver"
)

// A service that went comes back only by results that began since it went. A check that
// runs every 20 s was taken for up for 13 s after it had failed with the other one, and all
// clients were answered with errors meanwhile.
func TestComesBackOnNewResults(t *testing.T) {
	b := newHarness(t)
	b.keep = true
	slow, quick := &fakeCheck{}, &fakeCheck{}
	s := b.service("dns", address, slow, quick)
	s.Checks[0].Interval = 20 * time.Second
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2500 * time.Millisecond)
		b.want("dns", api.Announced, "all checks up")
		slow.set(errDead)
		quick.set(errDead)
		later(2 * time.Second)
		b.want("dns", api.Withdrawn, "check checka: connection refused; check checkb: connection refused")
		quick.set(nil)
		later(time.Minute)
		b.want("dns", api.Withdrawn, "check checka: connection refused")
		slow.set(nil)
		later(21 * time.Second)
		b.want("dns", api.Announced, "all checks up")
		b.end()
	})
}

// The other checks of a service that went look anew at once: it does not wait for their
// intervals when it comes back.
func TestGoneServiceIsLookedAtAnew(t *testing.T) {
	b := newHarness(t)
	b.keep = true
	slow, quick := &fakeCheck{}, &fakeCheck{}
	s := b.service("dns", address, slow, quick)
	s.Checks[0].Interval = time.Hour
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2500 * time.Millisecond)
		quick.set(errDead)
		later(2 * time.Second)
		b.want("dns", api.Withdrawn, "check checkb: connection refused")
		quick.set(nil)
		later(2 * time.Second)
		b.want("dns", api.Announced, "all checks up")
		b.end()
	})
}

// errNoDescriptor is what a check fails with that keepcast can't run.
var errNoDescriptor = fmt.Errorf("dial: %w", syscall.EMFILE)

// What keepcast can't look at stays as it is, whether announced or not, and is told of. It
// had all healthy services withdrawn.
func TestVoidKeeps(t *testing.T) {
	b := newHarness(t)
	b.keep = true
	up, down := &fakeCheck{}, &fakeCheck{err: errDead}
	b.service("dns", address, up)
	b.service("ldap", "192.0.2.54/32", down)
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2 * time.Second)
		up.set(errNoDescriptor)
		down.set(errNoDescriptor)
		later(20 * time.Second)
		b.found()
		later(time.Hour)
		b.want("dns", api.Announced, "all checks up")
		b.want("ldap", api.Withdrawn, "check checka can't be run: dial: too many open files")
		b.found(
			"dns/checka: keepcast can't run this check since 00:00:03: dial: too many open files; by on_void: what is announced stays, and what is not does not come",
			"ldap/checka: keepcast can't run this check since 00:00:03: dial: too many open files; by on_void: what is announced stays, and what is not does not come")
		b.wantLog(2, `level=WARN msg="check can't be run, which says nothing of the service"`)
		up.set(nil)
		down.set(nil)
		later(10 * time.Second)
		b.found()
		b.want("ldap", api.Announced, "all checks up")
		b.end()
	})
}

// With on_void: withdraw, a check that keepcast can't run for half a minute is down.
func TestVoidWithdraws(t *testing.T) {
	b := newHarness(t)
	b.keep = true
	c, worse := &fakeCheck{}, &fakeCheck{}
	b.service("dns", address, c).OnVoid = "withdraw"
	ldap := b.service("ldap", "192.0.2.54/32", &fakeCheck{}, worse)
	ldap.OnVoid, ldap.Checks[1].OnFailure = "withdraw", "degrade"
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2 * time.Second)
		c.set(errNoDescriptor)
		worse.set(errNoDescriptor)
		later(29 * time.Second)
		b.want("dns", api.Announced, "all checks up")
		later(6 * time.Second)
		b.want("dns", api.Withdrawn, "check checka can't be run: dial: too many open files")
		b.want("ldap", api.Degraded, "check checkb can't be run: dial: too many open files")
		s, err := b.engine.Status()
		if err != nil || len(s.Findings) != 2 || !strings.HasSuffix(s.Findings[0].Text, "by on_void: it counts as down") || !s.Services[0].Checks[0].Void {
			t.Errorf("%v, shown as %+v", err, s)
		}
		c.set(nil)
		worse.set(nil)
		later(10 * time.Second)
		b.want("dns", api.Announced, "all checks up")
		b.want("ldap", api.Announced, "all checks up")
		b.end()
	})
}

// found compares the findings about keepcast itself.
func (b *harness) found(want ...string) {
	b.t.Helper()
	s, err := b.engine.Status()
	if err != nil {
		b.t.Fatal(err)
	}
	var got []string
	for _, f := range s.Findings {
		got = append(got, f.Subject+": "+f.Text)
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		b.t.Errorf("found %q, want %q", got, want)
	}
}

// The first probe of a service may come before its address is delivered. It was a failure,
// and with a long interval the service came a whole interval later.
func TestFirstProbeBeforeTheAddress(t *testing.T) {
	b := newHarness(t)
	b.keep = true
	const loopback = "127.0.0.53/32" // can be connected to wherever the test runs
	local := errors.New("127.0.0.53 is not on this host")
	b.options = func(o *Options) {
		o.Local = func(netip.Addr) error {
			if b.kernel.is(loopback) == driver.Absent {
				return local
			}
			return nil
		}
	}
	s := b.service("dns", loopback, dialing("127.0.0.53:53"))
	s.Checks[0].Interval = 20 * time.Second
	synctest.Test(t, func(*testing.T) {
		b.start()
		later(3 * time.Second)
		b.want("dns", api.Announced, "all checks up")
		b.end()
	})
}

// Renaming a service moves no route, and a drain by command goes with it. Its route went,
// and came back after rise anew.
func TestServiceRenamed(t *testing.T) {
	b := newHarness(t)
	b.keep = true
	c, other := &fakeCheck{}, &fakeCheck{}
	b.service("dns", address, c)
	b.service("ldap", "192.0.2.54/32", other)
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2 * time.Second)
		if err := b.engine.Drain([]string{"ldap"}, time.Time{}, "CHG-1", "alice"); err != nil {
			t.Fatal(err)
		}
		later(time.Minute)
		b.kernel.take()
		c.set(errDead)
		later(10 * time.Millisecond)
		b.reload(func(cfg *config.Config) { cfg.Services[0].Name, cfg.Services[1].Name = "resolver", "directory" })
		c.set(nil)
		later(time.Minute)
		b.want("resolver", api.Announced, "all checks up")
		b.want("directory", api.Withdrawn, "drained by alice: CHG-1")
		for _, line := range b.kernel.take() {
			if line != "bird "+address { // the snippet names the service, the route stays
				t.Errorf("moved: %s", line)
			}
		}
		if err := b.engine.Resume([]string{"directory"}); err != nil {
			t.Fatal(err)
		}
		c.set(errDead)
		later(3 * time.Second)
		b.want("resolver", api.Withdrawn, "check checka: connection refused")
		b.want("directory", api.Announced, "all checks up")
		b.wantLog(1, `msg="service renamed" service=resolver was=dns`)
		b.end()
	})
}

// What has another name and other addresses is another service.
func TestServiceReplaced(t *testing.T) {
	b := newHarness(t)
	b.keep = true
	b.service("dns", address, &fakeCheck{})
	synctest.Test(t, func(*testing.T) {
		b.start()
		later(2 * time.Second)
		b.reload(func(cfg *config.Config) {
			cfg.Services[0].Name = "resolver"
			cfg.Services[0].Addresses = []config.Address{{Prefix: netip.MustParsePrefix("192.0.2.55/32")}}
		})
		b.want("resolver", api.Withdrawn, "check checka has not succeeded 3 times in a row yet")
		b.wantLog(1, `msg="service removed from the configuration" service=dns`)
		b.end()
	})
}

// A check whose settings change goes on from what it has counted: a storm of reloads put a
// withdrawal off by seconds.
func TestChangedCheckGoesOn(t *testing.T) {
	b := newHarness(t)
	b.keep = true
	c := &fakeCheck{}
	s := b.service("dns", address, c)
	s.Checks[0].Fall = 4
	synctest.Test(t, func(*testing.T) {
		b.start()
		later(2500 * time.Millisecond)
		c.set(errDead)
		for i := range 4 {
			later(200 * time.Millisecond)
			b.reload(func(cfg *config.Config) { cfg.Services[0].Checks[0].Raw = map[string]any{"timeout": i} })
		}
		later(0)
		b.want("dns", api.Withdrawn, "check checka: connection refused")
		b.end()
	})
}

// A service on another interface is probed in the VRF of that one.
func TestChangedInterfaceRestartsChecks(t *testing.T) {
	b := newHarness(t)
	b.keep = true
	var mu sync.Mutex
	asked := map[string]int{}
	b.options = func(o *Options) {
		o.VRF = func(iface string) (string, error) {
			mu.Lock()
			defer mu.Unlock()
			asked[iface]++
			return "", nil
		}
	}
	b.service("dns", address, dialing("127.0.0.1:53"))
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2 * time.Second)
		b.reload(func(cfg *config.Config) { cfg.Services[0].Interface = "blue0" })
		later(2 * time.Second)
		mu.Lock()
		clear(asked)
		mu.Unlock()
		later(2 * time.Second)
		mu.Lock()
		if asked["anycast0"] > 0 || asked["blue0"] == 0 {
			t.Errorf("probed on %v, want blue0 alone", asked)
		}
		mu.Unlock()
		b.want("dns", api.Announced, "all checks up")
		b.end()
	})
}

// What lasts half a minute counts from then on.
func TestVoidLasts(t *testing.T) {
	cfg := config.Service{}
	cfg.OnVoid = "withdraw"
	began := time.Now()
	c := newCheck(&config.Check{}, newService(&cfg, began))
	for after, lost := range map[time.Duration]bool{0: false, voidLasts - 1: false, voidLasts: true, voidLasts + 1: true} {
		c.void = began
		if c.learn(health.Result{Void: true, At: began.Add(after)}, began.Add(after)); c.lost != lost {
			t.Errorf("after %s it counts as down: %v", after, c.lost)
		}
		c.service.checks = []*check{c}
		if found := c.service.findings(began.Add(after)); (len(found) == 1) != lost {
			t.Errorf("after %s there is found %v", after, found)
		}
	}
}
