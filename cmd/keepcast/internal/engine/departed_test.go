package engine

import (
	"context"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// departsOpen has a driver leave the configuration of a keepcast that ends before its daemon
// let it close its gate, the file out. It returns the file.
func departsOpen(t *testing.T, b *harness) (out string) {
	t.Helper()
	dir := t.TempDir()
	out = filepath.Join(dir, "out")
	drivertest.WriteFile(t, out, address+"\n")
	drivertest.WriteFile(t, filepath.Join(dir, "template"), "{{range .Announced}}{{.Prefix}}\n{{end}}")
	b.keep = true
	b.service("dns", address, &fakeCheck{})
	b.addDriver("other", &fakeDriver{journal: b.kernel.journal, name: "other", fail: errDead})
	b.cfg.Drivers[1].Raw = map[string]any{
		"name": "other", "kind": "template", "output": out, "template": filepath.Join(dir, "template"), "reload": []any{"true"},
	}
	synctest.Test(t, func(*testing.T) {
		b.start()
		later(2 * time.Second)
		b.reload(func(c *config.Config) { c.Drivers = c.Drivers[:1] })
		later(time.Second)
		b.end()
	})
	b.cfg = copied(b.cfg)
	b.cfg.Drivers = b.cfg.Drivers[:1]
	return out
}

// gateOf is what a daemon was given to announce.
func gateOf(t *testing.T, out string) string { return drivertest.ReadFile(t, out) }

// A driver that left while its daemon hung is known to the next keepcast, which closes its
// gate. After a restart nobody knew it, and its daemon announced for ever.
func TestDepartedIsClosedByTheNext(t *testing.T) {
	b := newHarness(t)
	out := departsOpen(t, b)
	b.start()
	drivertest.Eventually(t, "the gate is closed", func() bool { return gateOf(t, out) == "" })
	drivertest.Eventually(t, "it is forgotten", func() bool {
		s, err := b.engine.Status()
		return err == nil && len(s.Drivers) == 2
	})
	b.end()
	if last := b.engine.loadState(time.Now()); len(last.Departing) > 0 {
		t.Errorf("still saved: %v", last.Departing)
	}
}

// It is known to withdraw-all, too.
func TestDepartedIsClosedByTheFailSafe(t *testing.T) {
	b := newHarness(t)
	out := departsOpen(t, b)
	opened := 0
	f := FailSafe{Config: b.cfg, Tell: t.Logf, Open: func(config.Driver) { opened++ }}
	if err := f.WithdrawAll(t.Context()); err != nil || opened != 1 {
		t.Errorf("%v, %d drivers were given their surroundings", err, opened)
	}
	if got := gateOf(t, out); got != "" {
		t.Errorf("its gate lets %s pass", got)
	}
}

// One that can't be made any more is told of, and one whose daemon has a driver again is
// left to that.
func TestDepartedIsNot(t *testing.T) {
	b := newHarness(t)
	open := func(d config.Driver) { t.Errorf("%s is opened", d.Name) }
	_, err := departed(saved{Departing: []string{"kind: nonsense\n"}}, b.cfg, open)
	if want := `a driver that left the configuration before, and whose gate may be open: drivers: drivers.kind: no driver kind "nonsense"`; err == nil || len(err.Error()) < len(want) || err.Error()[:len(want)] != want {
		t.Errorf("got %v", err)
	}
	if left, err := departed(saved{Departing: []string{"kind: bird\nsocket: /elsewhere\n"}}, b.cfg, open); len(left) > 0 || err != nil {
		t.Errorf("got %v, %v", left, err)
	}
}

// A service of which an address was deleted while keepcast was away is mended. The
// addresses that were left went and came back with it.
func TestAdoptsWhatIsLeft(t *testing.T) {
	b := newHarness(t)
	b.keep = true
	s := b.service("dns", address, &fakeCheck{})
	s.Addresses = append(s.Addresses, config.Address{Prefix: netip.MustParsePrefix("2001:db8::53/128")})
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2 * time.Second)
		b.want("dns", api.Announced, "all checks up")
		b.end()
		b.kernel.set(func() { b.kernel.have[netip.MustParsePrefix("2001:db8::53/128")] = driver.Absent })
		b.kernel.take()
		b.start()
		later(2 * time.Second)
		for _, line := range b.kernel.take() {
			if line != "kernel announced 2001:db8::53/128" {
				t.Errorf("moved: %s", line)
			}
		}
		b.end()
	})
}

// placedDriver says where its daemon is.
type placedDriver struct{ *fakeDriver }

func (placedDriver) Examine(context.Context, driver.State) []driver.Finding { return nil }

func (placedDriver) Places() driver.Places {
	return driver.Places{Files: []string{"/etc/bird/keepcast.conf"}, Sockets: []string{"/run/bird/bird.ctl"}}
}

// A driver of the same file or socket is of the same daemon, whatever it is called.
func TestPlacesTellTheDaemon(t *testing.T) {
	d := config.Driver{Name: "bird", Driver: placedDriver{}}
	want := []string{"/etc/bird/keepcast.conf", "/run/bird/bird.ctl"}
	if got := reconciled(d).Places; !slices.Equal(got, want) {
		t.Errorf("its places are %v, want %v", got, want)
	}
}

// Until the gate of a departed driver is closed it is saved again at each change: a crash
// right after the start would have lost it.
func TestDepartedStaysSaved(t *testing.T) {
	b := newHarness(t)
	departsOpen(t, b)
	b.create()
	last := b.engine.loadState(time.Now())
	b.engine.resume(last)
	if got := b.engine.departingSettings(); len(last.Departing) != 1 || !slices.Equal(got, last.Departing) {
		t.Errorf("saved are %v, want %v", got, last.Departing)
	}
}

// A gate that nobody can close any more is an error in the log.
func TestDepartedIsTold(t *testing.T) {
	b := newHarness(t)
	b.create()
	b.engine.resume(saved{Departing: []string{"kind: nonsense\n"}})
	b.wantLog(1, `level=ERROR msg="a gate can't be closed" err="a driver that left the configuration before`)
}

// A service was shown and logged as withdrawn while the router had it through a daemon whose
// driver had left the configuration.
func TestDepartedMayHaveIt(t *testing.T) {
	for name, tc := range map[string]struct {
		with      func(*fakeDriver)
		meanwhile api.State
	}{
		"it hangs":         {func(d *fakeDriver) { d.hang = true }, api.Withdrawing},
		"it refuses":       {func(d *fakeDriver) { d.fail = errDead }, api.Withdrawing},
		"it is silent":     {func(d *fakeDriver) { d.fail, d.mute = errDead, errDead }, api.Withdrawing},
		"it does not run":  {func(d *fakeDriver) { d.fail, d.mute = errDead, driver.ErrNotRunning }, api.Withdrawn},
		"it has withdrawn": {func(d *fakeDriver) { d.fail, d.deaf = errDead, true }, api.Withdrawn},
	} {
		t.Run(name, func(t *testing.T) {
			b := newHarness(t)
			b.keep = true
			c := &fakeCheck{}
			b.service("dns", address, c)
			other := &fakeDriver{journal: b.kernel.journal, name: "other"}
			b.addDriver("other", other)
			synctest.Test(t, func(t *testing.T) {
				b.start()
				later(2 * time.Second)
				other.set(func() { tc.with(other) })
				b.reload(func(c *config.Config) { c.Drivers = c.Drivers[:1] })
				later(10 * time.Second)
				b.shows("dns", api.Announced) // by the one that is left
				c.set(errDead)
				later(20 * time.Second)
				b.shows("dns", tc.meanwhile)
				b.wantLog(int(truth(tc.meanwhile == api.Withdrawn)), `msg="service state reached" service=dns state=withdrawn`)
				other.set(func() { other.hang, other.fail, other.mute = false, nil, nil })
				later(2 * time.Minute)
				b.shows("dns", api.Withdrawn)
				b.wantLog(1, `msg="service state reached" service=dns state=withdrawn`)
				b.end()
			})
		})
	}
}

// A driver left while another one took its name: one of them was not seen in the addresses,
// and /metrics answered with an error, for it had each series twice.
func TestDepartedHasItsNameTaken(t *testing.T) {
	b := newHarness(t)
	b.keep = true
	b.service("dns", address, &fakeCheck{})
	registry := prometheus.NewRegistry()
	b.registry = registry
	synctest.Test(t, func(t *testing.T) {
		b.start()
		registry.MustRegister(Collector{b.engine})
		later(2 * time.Second)
		b.driver.set(func() { b.driver.fail = errDead })
		b.reload(func(c *config.Config) {
			c.Drivers = []config.Driver{{Name: "bird", Kind: "other", Raw: map[string]any{"kind": "other"}, Driver: &fakeDriver{journal: b.kernel.journal, name: "other"}}}
		})
		later(10 * time.Second)
		got := measured(t, registry)
		for key, want := range map[string]float64{
			"keepcast_driver_in_sync bird":                                 1,
			"keepcast_driver_in_sync bird (left)":                          0,
			"keepcast_announcement_observed bird 192.0.2.53/32 dns":        1,
			"keepcast_announcement_observed bird (left) 192.0.2.53/32 dns": 1,
		} {
			if value, there := got[key]; !there || value != want {
				t.Errorf("%s is %v, %v, want %v", key, value, there, want)
			}
		}
		s, err := b.engine.Status()
		if of := s.Services[0].Addresses[0].Observed; err != nil || of["bird"].Left || !of["bird (left)"].Left {
			t.Errorf("%v, observed are %+v", err, of)
		}
		b.driver.set(func() { b.driver.fail = nil })
		later(time.Minute)
		s, err = b.engine.Status()
		if err != nil || len(s.Drivers) != 2 || len(s.Services[0].Addresses[0].Observed) != 2 {
			t.Errorf("%v, shown as %+v", err, s)
		}
		b.end()
	})
}
