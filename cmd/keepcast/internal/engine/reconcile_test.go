package engine

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/reconcile"
	"github.com/keepcast/keepcast/driver"
)

func TestHungDriverHoldsNothingUp(t *testing.T) {
	b := newHarness(t)
	c := &fakeCheck{}
	b.service("dns", address, c)
	hung := &fakeDriver{journal: b.kernel.journal, name: "frr", hang: true}
	b.cfg.Drivers = append(b.cfg.Drivers, config.Driver{Name: "frr", Kind: "frr", Driver: hung, Raw: map[string]any{"kind": "frr"}})
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2 * time.Second)
		b.wantKernel(address, driver.Announced)
		c.set(errDead)
		later(time.Second + 300*time.Millisecond)
		b.wantKernel(address, driver.Delivered)
		s, err := b.engine.Status()
		if err != nil {
			t.Fatal(err)
		}
		if s.Drivers[2].InSync {
			t.Error("a hung driver can't be in sync")
		}
		hung.set(func() { hung.hang = false })
		later(2 * time.Minute)
		if s, _ = b.engine.Status(); !s.Drivers[2].InSync {
			t.Errorf("not in sync after it came back: %+v", s.Drivers[2])
		}
		b.end()
	})
}

// TestHungDriverUnderChange has something change all the time while a driver
// hangs: what is new is announced nevertheless.
func TestHungDriverUnderChange(t *testing.T) {
	b := newHarness(t)
	flapping, steady := &fakeCheck{}, &fakeCheck{err: errDead}
	quick := b.service("flapping", "192.0.2.54/32", flapping)
	quick.Checks[0].Interval, quick.Checks[0].Rise, quick.Checks[0].Fall = 250*time.Millisecond, 1, 1
	b.service("dns", address, steady)
	b.driver.hang = true
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(3 * time.Second)
		steady.set(nil)
		for range 10 {
			later(300 * time.Millisecond)
			flapping.set(errDead)
			later(300 * time.Millisecond)
			flapping.set(nil)
		}
		b.wantKernel(address, driver.Announced)
		b.driver.set(func() { b.driver.hang = false })
		b.endLeaving("bird may still have 192.0.2.54/32, 192.0.2.53/32: it has not answered")
	})
}

// What was asked for before is not applied once something else is, whatever wakes the
// worker of a driver.
func TestOnlyNewestIsApplied(t *testing.T) {
	for range 20 { // the worker is woken by several things at once: which one it sees first is left to chance
		b := newHarness(t)
		c := &fakeCheck{}
		b.service("dns", address, c)
		d := &watchedDriver{fakeDriver: b.driver}
		b.cfg.Drivers[0].Driver = d
		synctest.Test(t, func(*testing.T) {
			b.start()
			later(100 * time.Millisecond)
			d.set(func() { d.hang = true })
			later(time.Second) // it hangs with the announcement
			c.set(errDead)
			later(2 * time.Second)
			d.set(func() { d.hang = false })
			d.changed()
			later(5 * time.Minute)
			b.end()
		})
		if d.announced {
			t.Fatal("it was told to announce what was withdrawn meanwhile")
		}
	}
}

// watchedDriver is one that tells of its changes.
type watchedDriver struct {
	*fakeDriver
	changed   func()
	announced bool // it did as it was told
}

func (d *watchedDriver) Watch(ctx context.Context, changed func()) error {
	d.changed = changed
	<-ctx.Done()
	return nil
}

func (d *watchedDriver) Apply(ctx context.Context, desired driver.State) error {
	err := d.fakeDriver.Apply(ctx, desired)
	d.announced = d.announced || err == nil && len(desired.Announced()) > 0
	return err
}

func TestRefusingDriverIsRetried(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address, &fakeCheck{})
	b.driver.fail = errors.New("bird is not running")
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(5 * time.Minute)
		s, err := b.engine.Status()
		if err != nil {
			t.Fatal(err)
		}
		if d := s.Drivers[1]; d.InSync || d.Error != "bird is not running" {
			t.Errorf("got %+v", d)
		}
		if n := strings.Count(b.log.String(), "bird is not running"); n != 1 {
			t.Errorf("the error is logged %d times, want once", n)
		}
		b.driver.set(func() { b.driver.fail = nil })
		later(reconcile.Interval)
		if len(b.driver.have.Announced()) != 1 {
			t.Error("not announced after the daemon came back")
		}
		b.end()
	})
}

func TestRepair(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address, &fakeCheck{})
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2 * time.Second)
		b.kernel.set(func() { delete(b.kernel.have, netip.MustParsePrefix(address)) })
		b.kernel.changed()
		later(0)
		b.wantKernel(address, driver.Announced)
		b.kernel.set(func() { delete(b.kernel.have, netip.MustParsePrefix(address)) }) // nobody tells
		later(reconcile.Interval)
		b.wantKernel(address, driver.Announced)
		b.driver.set(func() { b.driver.have = driver.State{} }) // nor here
		later(reconcile.Interval + time.Second)
		if len(b.driver.have.Announced()) != 1 {
			t.Error("the gate is not repaired")
		}
		b.end()
	})
}

// TestDeafDaemonIsTold again of an address that its netlink socket lost.
func TestDeafDaemonIsTold(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address, &fakeCheck{})
	b.driver.deaf = true
	b.kernel.reminded = func() { b.driver.set(func() { b.driver.deaf = false }) }
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2 * time.Second)
		b.kernel.take()
		later(5 * time.Second)
		if diff := cmp.Diff([]string{"kernel reminds of " + address}, b.kernel.take()); diff != "" {
			t.Error(diff)
		}
		later(time.Minute)
		if again := b.kernel.take(); len(again) > 0 {
			t.Errorf("told once more than needed: %v", again)
		}
		b.end()
	})
}
