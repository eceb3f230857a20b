package engine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/reconcile"
	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// saves writes what a run before this one left.
func (b *harness) saves(s saved) {
	b.t.Helper()
	if err := stateDocument(b.cfg.RuntimeDir).Save(s); err != nil {
		b.t.Fatal(err)
	}
}

// loadSaved returns the state that is saved.
func loadSaved(runtimeDir string) (saved, error) {
	s, notice, err := stateDocument(runtimeDir).Load(nil)
	return s, errors.Join(notice, err)
}

// savesDrains writes the drains that a run before this one left.
func (b *harness) savesDrains(list ...order) {
	b.t.Helper()
	if err := drainsDocument(b.cfg.StateDir).Save(list); err != nil {
		b.t.Fatal(err)
	}
}

// loadDrains returns the drains that are saved.
func loadDrains(stateDir string) (map[string]api.Drain, error) {
	list, notice, err := drainsDocument(stateDir).Load(nil)
	out := map[string]api.Drain{}
	for _, o := range list {
		out[o.Service] = o.Drain
	}
	return out, errors.Join(notice, err)
}

// decided returns the states of the services of an engine of which nothing runs.
func (b *harness) decided() map[string]api.State {
	out := map[string]api.State{}
	for _, s := range b.engine.services {
		out[s.cfg.Name] = s.state
	}
	return out
}

// What can't be read holds up nothing, and the log names it.
func TestStartWithBrokenFiles(t *testing.T) {
	const (
		state  = `level=WARN msg="starting without the saved state" err="`
		drains = `level=ERROR msg="saved drains unreadable: services that the host does not announce stay withdrawn until keepcast resume" err="`
		files  = `level=ERROR msg="drain directory not readable: its drains stay as they were" err="drain directory: `
	)
	for name, tc := range map[string]struct {
		broken func(*config.Config) string // a file with nonsense
		logged string
	}{
		"none":            {func(c *config.Config) string { return filepath.Join(c.StateDir, "other") }, ""},
		"saved state":     {func(c *config.Config) string { return stateDocument(c.RuntimeDir).Path }, state},
		"saved drains":    {func(c *config.Config) string { return drainsDocument(c.StateDir).Path }, drains},
		"drain directory": {func(c *config.Config) string { return c.DrainDir }, files},
	} {
		t.Run(name, func(t *testing.T) {
			b := newHarness(t)
			b.cfg.DrainDir = filepath.Join(b.cfg.StateDir, "drain.d")
			b.service("dns", address, &fakeCheck{})
			b.kernel.have[netip.MustParsePrefix(address)] = driver.Announced
			drivertest.WriteFile(t, tc.broken(b.cfg), "[nonsense")
			b.create()
			if err := b.engine.start(t.Context()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(map[string]api.State{"dns": api.Announced}, b.decided()); diff != "" {
				t.Error(diff)
			}
			for _, text := range []string{state, drains, files} {
				b.wantLog(map[bool]int{true: 1}[text == tc.logged], text)
			}
		})
	}
}

// The drains that were ordered are there before anything is decided, but those that are
// over.
func TestStartDrained(t *testing.T) {
	b := newHarness(t)
	b.cfg.DrainDir = t.TempDir()
	drivertest.WriteFile(t, filepath.Join(b.cfg.DrainDir, "ldap"), "rack move")
	b.savesDrains(order{Drain: api.Drain{Service: "dns", Reason: "CHG-1"}}, order{Drain: api.Drain{Service: "web", Until: time.Now().Add(-time.Second)}})
	b.create()
	if err := b.engine.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, name := range []string{"dns", "ldap", "web"} {
		if d := b.engine.drains.active(name, time.Now()); d != nil {
			got[name] = d.Reason
		}
	}
	if diff := cmp.Diff(map[string]string{"dns": "CHG-1", "ldap": "rack move"}, got); diff != "" {
		t.Error(diff)
	}
	if len(b.engine.drains.commanded) != 1 {
		t.Errorf("a drain that is over is kept: %v", b.engine.drains.commanded)
	}
}

// The kernel looks after the interfaces of what is configured, and of what was.
func TestStartManagesInterfaces(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address).Interface = "new0"
	b.saves(saved{Services: []savedService{{Name: "dns", Interface: "old0"}}})
	b.create()
	if err := b.engine.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, r := range b.kernel.managed {
		got[r.Interface] = true
	}
	if diff := cmp.Diff(map[string]bool{"new0": true, "old0": true}, got); diff != "" {
		t.Error(diff)
	}
}

// Nothing is decided blindly: until the host can be observed, the start waits.
func TestStartWaitsForHost(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address)
	b.kernel.mute = errors.New("netlink: permission denied")
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(20 * time.Second)
		// Each wait is twice as long as the one before, from 100 ms on.
		if b.kernel.asked != 8 || b.ready.Load() || len(b.kernel.take()) > 0 {
			t.Errorf("the kernel was asked %d times, ready is %t", b.kernel.asked, b.ready.Load())
		}
		b.kernel.set(func() { b.kernel.mute = nil })
		later(reconcile.Interval)
		b.wantLog(1, `level=ERROR msg="host can't be observed, trying again" err="netlink: permission denied"`)
		b.wantKernel(address, driver.Announced)
		b.end()
	})
}

// A stop ends the wait for the host.
func TestStopBeforeHostIsObserved(t *testing.T) {
	b := newHarness(t)
	b.kernel.mute = errors.New("netlink: permission denied")
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(time.Minute)
		b.stop()
		if err := <-b.done; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if b.ready.Load() {
			t.Error("it was ready")
		}
	})
}

// Where somebody else manages the addresses, the daemons tell what is announced.
func TestStartWithoutKernel(t *testing.T) {
	b := newHarness(t)
	b.cfg.ManageAddresses, b.keep = false, true
	other := &fakeDriver{journal: b.kernel.journal, name: "other"}
	b.addDriver("other", other)
	b.service("dns", address).Drivers = []string{"bird"}
	b.service("ldap", "192.0.2.54/32").Drivers = []string{"other"}
	b.service("web", "192.0.2.55/32", &fakeCheck{err: errDead})
	b.driver.have.Routes = []driver.Route{drivertest.Route(address, driver.Announced)}
	other.have.Routes = []driver.Route{drivertest.Route("192.0.2.54/32", driver.Announced)}
	b.create()
	if err := b.engine.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := map[string]api.State{"dns": api.Announced, "ldap": api.Announced, "web": api.Withdrawn}
	if diff := cmp.Diff(want, b.decided()); diff != "" {
		t.Error(diff)
	}
}

// Ready is told once the kernel delivers, but does not wait for it for ever.
func TestReady(t *testing.T) {
	for name, tc := range map[string]struct {
		managed bool
		fail    error
		after   time.Duration
	}{
		"the kernel works":           {managed: true},
		"the kernel refuses":         {managed: true, fail: errors.New("no buffer space available"), after: 5 * time.Second},
		"the addresses are not ours": {fail: errors.New("not asked")},
	} {
		t.Run(name, func(t *testing.T) {
			b := newHarness(t)
			b.service("dns", address)
			b.cfg.ManageAddresses, b.keep = tc.managed, true
			b.kernel.fail = tc.fail
			synctest.Test(t, func(t *testing.T) {
				b.start()
				if tc.after > 0 {
					later(tc.after - 1)
					if b.ready.Load() {
						t.Error("ready too soon")
					}
					later(1)
				}
				synctest.Wait()
				if !b.ready.Load() {
					t.Error("not ready")
				}
				b.end()
			})
		})
	}
}

// The drains of the directory are followed while the engine runs: by the real clock, as
// the kernel tells of the files.
func TestRunFollowsDrainDirectory(t *testing.T) {
	b := newHarness(t)
	b.keep = true
	b.cfg.DrainDir = t.TempDir()
	b.service("dns", address, &fakeCheck{err: errDead})
	b.start()
	t.Cleanup(b.end)
	drivertest.Eventually(t, "it has started", func() bool {
		_, err := b.engine.Status()
		return err == nil
	})
	path := filepath.Join(b.cfg.DrainDir, "dns")
	reason := func() string {
		_, reason := b.state("dns")
		return reason
	}
	drivertest.WriteFile(t, path, "rack move")
	drivertest.Eventually(t, "the file drains", func() bool { return reason() == "drained by "+path+": rack move" })
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	drivertest.Eventually(t, "without the file the check decides", func() bool { return reason() == "check checka: connection refused" })
}

// A start on the last good configuration says so from the first moment.
func TestStartOnLastGood(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address)
	b.options = func(o *Options) { o.Refused = "line 1: no such setting" }
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(time.Second)
		s, err := b.engine.Status()
		if err != nil || s.Config.Error != "line 1: no such setting" || !s.Config.LastGood {
			t.Errorf("got %+v, %v", s.Config, err)
		}
		b.reload(func(*config.Config) {})
		if s, err := b.engine.Status(); err != nil || s.Config.Error != "" || s.Config.LastGood {
			t.Errorf("after a reload %+v, %v", s.Config, err)
		}
		b.end()
	})
}

// Of many checks some begin at once, and others soon after, so that they do not hold each
// other up.
func TestChecksBeginApart(t *testing.T) {
	b := newHarness(t)
	c := &fakeCheck{}
	for i := range 2*startedTogether + 1 {
		b.service(fmt.Sprint("s", i), netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 32).String(), c)
	}
	synctest.Test(t, func(t *testing.T) {
		b.start()
		for _, want := range []int{startedTogether, startedTogether, 1} {
			synctest.Wait()
			if got := c.ran(); got != want {
				t.Errorf("%d run, want %d", got, want)
			}
			time.Sleep(startedAfter) // the bubble's clock
		}
		b.end()
	})
}
