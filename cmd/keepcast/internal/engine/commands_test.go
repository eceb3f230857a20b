package engine

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/checks"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// A resumed service is announced again, and no file keeps its drain.
func TestResume(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address)
	b.service("ldap", "192.0.2.54/32")
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(time.Second)
		if err := b.engine.Drain(nil, time.Time{}, "CHG-1", ""); err != nil {
			t.Fatal(err)
		}
		later(time.Minute)
		b.want("dns", api.Withdrawn, "drained: CHG-1")
		for range 2 { // what is not drained can be resumed, too
			if err := b.engine.Resume([]string{"dns"}); err != nil {
				t.Error(err)
			}
		}
		b.want("dns", api.Announced, "all checks up")
		b.want("ldap", api.Withdrawn, "drained: CHG-1")
		kept, err := loadDrains(b.cfg.StateDir)
		if _, dns := kept["dns"]; len(kept) != 1 || dns || err != nil {
			t.Errorf("saved are %v, %v", kept, err)
		}
		b.wantLog(1, `msg="drain ordered" service=dns reason=CHG-1`) // without the year 1 as its end
		b.wantLog(1, `msg="drain ended by command" service=dns`)
		b.end()
	})
}

// An order that names a service that there is not changes nothing.
func TestUnknownService(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address)
	b.service("ldap", "192.0.2.54/32")
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(time.Second)
		const want = `no service "web" (running: dns, ldap)`
		if err := b.engine.Drain([]string{"dns", "web"}, time.Time{}, "", ""); drivertest.ErrText(err) != want {
			t.Errorf("drain: got %v", err)
		}
		if err := b.engine.Resume([]string{"web"}); drivertest.ErrText(err) != want {
			t.Errorf("resume: got %v", err)
		}
		b.want("dns", api.Announced, "all checks up")
		b.end()
	})
}

// An engine that has ended says so.
func TestStopped(t *testing.T) {
	b := newHarness(t)
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(time.Second)
		b.end()
		for name, ask := range map[string]func() error{
			"status":        func() error { _, err := b.engine.Status(); return err },
			"resume":        func() error { return b.engine.Resume(nil) },
			"reload":        func() error { return b.engine.Reload(b.cfg) },
			"reload failed": func() error { return b.engine.ReloadFailed(errDead) },
		} {
			if err := ask(); !errors.Is(err, api.ErrStopped) {
				t.Errorf("%s: got %v", name, err)
			}
		}
	})
}

// While drain.d can't be read its drains stay as they were. Each new fault is logged.
func TestDrainFilesWithFaults(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address)
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(time.Second)
		drained := map[string]api.Drain{"dns": {Service: "dns", File: "drain.d/dns"}}
		for _, told := range []struct {
			files map[string]api.Drain
			err   error
		}{
			{drained, nil},
			{nil, errors.New("not a directory")},
			{nil, errors.New("not a directory")},
			{nil, errors.New("permission denied")},
			{drained, nil},
			{nil, errors.New("permission denied")},
		} {
			b.engine.drainFiles(drainDir{drains: told.files}, told.err)
			later(time.Minute)
			b.want("dns", api.Withdrawn, "drained by drain.d/dns")
		}
		const text = `level=ERROR msg="drain directory not readable: its drains stay as they were" err=`
		b.wantLog(1, text+`"not a directory"`)
		b.wantLog(2, text+`"permission denied"`)
		b.wantLog(3, text)
		b.engine.drainFiles(drainDir{}, nil)
		later(0)
		b.want("dns", api.Announced, "all checks up")
		b.end()
	})
}

// dialing is a check that connects to an address.
type dialing string

func (d dialing) Check(ctx context.Context) error {
	conn, err := checks.Dialer().DialContext(ctx, "udp", string(d))
	if err != nil {
		return errors.Unwrap(err)
	}
	return conn.Close()
}

// A managed address is probed only where the kernel delivers it on this host, also one
// that a reload brought.
func TestGuard(t *testing.T) {
	b := newHarness(t)
	b.keep = true
	b.service("dns", address, dialing("192.0.2.53:53"))
	b.service("web", "192.0.2.55/32", dialing("127.0.0.1:80"))
	b.options = func(o *Options) {
		o.Local = func(a netip.Addr) error { return errors.New(a.String() + " is not on this host") }
	}
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(3 * time.Second)
		b.want("dns", api.Withdrawn, "check checka can't be run: not probed, since only an answer of this host counts: 192.0.2.53 is not on this host")
		b.want("web", api.Announced, "all checks up")
		b.reload(func(c *config.Config) {
			ldap := c.Services[0]
			ldap.Name, ldap.Addresses = "ldap", []config.Address{{Prefix: netip.MustParsePrefix("192.0.2.54/32")}}
			ldap.Checks = []config.Check{ldap.Checks[0]}
			ldap.Checks[0].Checker = dialing("192.0.2.54:389")
			c.Services = append(c.Services, ldap)
		})
		later(3 * time.Second)
		b.want("ldap", api.Withdrawn, "check checka can't be run: not probed, since only an answer of this host counts: 192.0.2.54 is not on this host")
		b.end()
	})
}

// Each start and each stop warned of a check that can't be run: its first run came before the
// address, its last one after it. What lasts is told once, also after a reload.
func TestVoidIsTold(t *testing.T) {
	const told = `level=WARN msg="check can't be run, which says nothing of the service"`
	b := newHarness(t)
	c := &fakeCheck{err: errNoDescriptor}
	b.service("dns", address, c)
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(10 * time.Millisecond)
		b.wantLog(0, told)
		later(5 * time.Second)
		b.wantLog(1, told)
		b.reload(func(cfg *config.Config) { cfg.Services[0].Checks[0].Raw = map[string]any{"fall": 3} })
		later(5 * time.Second)
		b.wantLog(1, told)
		c.set(nil)
		later(10 * time.Second)
		b.want("dns", api.Announced, "all checks up")
		c.set(errNoDescriptor)
		later(5 * time.Second)
		b.wantLog(2, told)
		c.set(nil)
		later(10 * time.Second)
		b.stop()
		c.set(errNoDescriptor)
		b.end()
		b.wantLog(2, told)
	})
}

// The checks of a service probe in the VRF of its interface.
func TestChecksProbeInVRF(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address, dialing("127.0.0.1:53"))
	b.service("ldap", "192.0.2.54/32", dialing("127.0.0.1:389")).Interface = "blue0"
	b.options = func(o *Options) {
		o.VRF = func(iface string) (string, error) { return "", errors.New("no VRF of " + iface) }
	}
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(3 * time.Second)
		b.want("dns", api.Withdrawn, "check checka can't be run: no VRF of anycast0")
		b.want("ldap", api.Withdrawn, "check checka can't be run: no VRF of blue0")
		b.end()
	})
}

// The result of a check that was stopped meanwhile counts for nothing.
func TestResultOfStoppedCheck(t *testing.T) {
	b := newHarness(t)
	c := &fakeCheck{}
	b.service("dns", address, c)
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2 * time.Second)
		stopped := b.engine.services[0].checks[0]
		c.ran()
		err := b.engine.call(func() {
			c.set(errDead)
			time.Sleep(2 * time.Second) // its results wait
			stopped.stop()
		})
		later(time.Second)
		if err != nil || c.ran() < 2 || stopped.result.Err != nil {
			t.Errorf("got %+v, %v", stopped.result, err)
		}
		b.end()
	})
}

// A check is logged when its verdict changes, and each run for who looks closer.
func TestChecksAreLogged(t *testing.T) {
	b := newHarness(t)
	b.level.Set(slog.LevelDebug)
	c := &fakeCheck{}
	b.service("dns", address, c)
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(10 * time.Second)
		c.set(errDead)
		later(10 * time.Second)
		b.end()
		b.wantLog(1, `level=INFO msg="check up" service=dns check=checka`)
		b.wantLog(1, `level=INFO msg="check down" service=dns check=checka err="connection refused"`)
		b.wantLog(1, `level=INFO msg="service state decided" service=dns state=announced was=withdrawn reason="all checks up"`)
		b.wantLog(c.ran(), `level=DEBUG msg=checked service=dns check=checka`)
	})
}

// What waits to be told waits for no decision where there is nothing to decide.
func TestNothingToDecide(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address, &fakeCheck{})
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(10 * time.Second)
		told := false
		b.engine.post(func() { b.engine.afterwards(func() { told = true }) })
		synctest.Wait()
		if !told {
			t.Error("it waits")
		}
		b.end()
	})
}

// slowToEnd is a check that takes a while to return once its context is done.
type slowToEnd struct{ ended bool }

func (c *slowToEnd) Check(ctx context.Context) error {
	<-ctx.Done()
	time.Sleep(100 * time.Millisecond)
	c.ended = true
	return ctx.Err()
}

// Nothing of an engine runs any more once Run has returned.
func TestRunWaitsForChecks(t *testing.T) {
	b := newHarness(t)
	c := &slowToEnd{}
	b.service("dns", address, c).Checks[0].Timeout = time.Hour
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(time.Second)
		b.end()
		if !c.ended {
			t.Error("a check runs still")
		}
	})
}

// announcers names only the services that not all drivers announce.
func TestAnnouncers(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address)
	b.service("ldap", "192.0.2.54/32").Drivers = []string{"bird"}
	b.create()
	if err := b.engine.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string][]string{"ldap": {"bird"}}, b.engine.announcers()); diff != "" {
		t.Error(diff)
	}
}

// A command notes which drains it changed.
func TestOrderedDrains(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address)
	b.service("ldap", "192.0.2.54/32")
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(time.Second)
		if err := errors.Join(b.engine.Drain([]string{"dns"}, time.Time{}, "", ""), b.engine.Resume([]string{"ldap"})); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]bool{"dns": true, "ldap": true}, b.engine.drains.ordered); diff != "" {
			t.Error(diff)
		}
		b.end()
	})
}

// What is ordered is decided before whatever waits behind it: who asks next is told of it.
func TestOrderIsDecidedAtOnce(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address, &fakeCheck{})
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2 * time.Second)
		goOn := make(chan struct{})
		b.engine.post(func() { <-goOn })
		until := time.Now().Add(time.Hour)
		go func() { _ = b.engine.Drain([]string{"dns"}, until, "CHG-1", "alice") }()
		synctest.Wait()
		var seen api.State
		b.engine.post(func() { seen, _ = b.state("dns") })
		close(goOn)
		synctest.Wait()
		if seen != api.Draining {
			t.Errorf("%s behind the order", seen)
		}
		b.wantLog(1, `msg="drain ordered" service=dns until=`+until.Format("2006-01-02T15:04:05.000Z07:00")+` reason=CHG-1 by=alice`)
		b.end()
	})
}
