package reconcile

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// walker does anything that can happen to a host, at random.
type walker struct {
	*harness
	random  *rand.Rand
	desired []driver.Route
	drivers map[string]Driver
	fakes   map[string]*watchedDriver
}

// TestRandomWalk has anything happen in any order. An address that is to be withdrawn
// is off the host at once, whatever the daemons do, and in the end all is as desired.
func TestRandomWalk(t *testing.T) {
	for seed := range uint64(50) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &walker{
					harness: newHarness(t), random: rand.New(rand.NewPCG(seed, 0)),
					drivers: map[string]Driver{}, fakes: map[string]*watchedDriver{},
				}
				w.start()
				for range 60 {
					w.step()
				}
				w.heal()
				w.later(5 * Interval)
				w.arrived()
			})
		})
	}
}

func (w *walker) chance(one int) bool { return w.random.IntN(one) == 0 }

func (w *walker) step() {
	switch w.random.IntN(8) {
	case 0, 1:
		w.move()
	case 2:
		w.redraw()
	case 3:
		for _, what := range []string{"shrink", "grow", "observe", "remind"} {
			delete(w.kernel.fails, what)
			if w.chance(4) {
				w.kernel.fails[what] = errNetlink
			}
		}
	case 4:
		w.put([]string{one, two, six}[w.random.IntN(3)], driver.Presence(w.random.IntN(3)))
		if w.chance(2) {
			w.kernel.changed()
		}
	default:
		for _, d := range w.fakes {
			w.upset(d)
		}
	}
	w.later(time.Duration(w.random.Int64N(int64(3 * time.Second))))
}

// move hands over another desired state.
func (w *walker) move() {
	w.desired = nil
	for _, p := range []string{one, two, six} {
		r := drivertest.Route(p, driver.Presence(w.random.IntN(3)))
		if r.Presence == driver.Announced && w.chance(3) {
			r = worse(r)
		}
		w.desired = append(w.desired, r)
	}
	w.desired = append(w.desired, prefixOnly(drivertest.Route(network, driver.Presence(2*w.random.IntN(2)))))
	w.desire(w.desired...)
	w.later(0)
	for _, r := range w.desired {
		if w.kernel.have[r.Prefix] == driver.Announced && r.Presence != driver.Announced && len(w.kernel.fails) == 0 {
			w.t.Errorf("%s is not withdrawn at once", r.Prefix)
		}
	}
}

// redraw hands over other drivers: some leave, some come, some have other settings.
func (w *walker) redraw() {
	var list []Driver
	for _, name := range []string{"bird", "frr"} {
		d, known := w.drivers[name]
		switch {
		case w.chance(3):
			delete(w.drivers, name)
			delete(w.fakes, name)
			continue
		case !known || w.chance(3):
			fake := &watchedDriver{fakeDriver: &fakeDriver{journal: w.journal, name: name}}
			d = Driver{Name: name, Driver: fake, FollowsAddress: name == "bird", Settings: map[string]any{"socket": w.random.Int()}}
			w.drivers[name], w.fakes[name] = d, fake
		}
		list = append(list, d)
	}
	w.reconciler.SetDrivers(list)
}

// upset has something happen to a daemon.
func (w *walker) upset(d *watchedDriver) {
	d.fails, d.mute, d.hangs = nil, nil, ""
	switch w.random.IntN(6) {
	case 0:
		d.fails = errRefused
	case 1:
		d.mute = errRefused
	case 2:
		d.hangs = "apply"
	case 3:
		d.have = state()
	}
	d.deaf = w.chance(4)
	if d.watched && w.chance(2) {
		d.changed()
	}
}

// heal ends all faults.
func (w *walker) heal() {
	clear(w.kernel.fails)
	for _, d := range w.fakes {
		d.fails, d.mute, d.hangs, d.deaf = nil, nil, "", false
	}
}

// arrived compares the host with what is desired.
func (w *walker) arrived() {
	w.t.Helper()
	for _, r := range w.desired {
		if !r.PrefixOnly && w.kernel.have[r.Prefix] != r.Presence {
			w.t.Errorf("%s is %s, want %s", r.Prefix, w.kernel.have[r.Prefix], r.Presence)
		}
	}
	inSync := fmt.Sprintf("gen %d, in sync", w.gen)
	w.says(KernelName, inSync)
	for name, d := range w.fakes {
		w.says(name, inSync)
		if got, want := prefixes(d.have), prefixes(state(w.desired...)); got != want {
			w.t.Errorf("%s has %s, want %s", name, got, want)
		}
	}
}
