package reconcile

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keepcast/keepcast/driver"
)

// A gate is open before the address comes, and the address is gone before the gate
// closes. Closing it may wait for others if the daemon follows the address.
func TestOrder(t *testing.T) {
	type lists [][]driver.Route
	for name, tc := range map[string]struct {
		states    lists
		bird, frr []string // want: with a daemon that follows the address, and with one that does not
	}{
		"announce": {
			lists{{delivered(one)}, {announced(one)}},
			[]string{"0s bird has " + one, "0s kernel has " + one + " announced"},
			[]string{"0s frr has " + one, "0s kernel has " + one + " announced"},
		},
		"withdraw": {
			lists{{announced(one)}, {delivered(one)}},
			[]string{"0s kernel has " + one + " delivered", "2s bird has nothing"},
			[]string{"0s kernel has " + one + " delivered", "0s frr has nothing"},
		},
		"one goes, another comes": {
			lists{{announced(one), delivered(two)}, {gone(one), announced(two)}},
			[]string{"0s kernel has " + one + " absent", "0s bird has " + two, "0s kernel has " + two + " announced"},
			[]string{"0s kernel has " + one + " absent", "0s frr has " + two, "0s kernel has " + two + " announced"},
		},
		"degrade": {
			lists{{announced(one)}, {worse(announced(one))}},
			[]string{"0s bird has " + one + "*"},
			[]string{"0s frr has " + one + "*"},
		},
		"withdraw a prefix without an address": {
			lists{{prefixOnly(announced(network))}, {prefixOnly(gone(network))}},
			[]string{"0s bird has nothing"},
			[]string{"0s frr has nothing"},
		},
	} {
		move := func(t *testing.T, h *harness, d Driver, want []string) {
			h.start(d)
			h.desire(tc.states[0]...)
			h.later(time.Second)
			h.take()
			h.desire(tc.states[1]...)
			h.later(10 * time.Second)
			h.did(want...)
			h.says(d.Name, "gen 2, in sync")
			h.says(KernelName, "gen 2, in sync")
		}
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t)
				_, bird := h.bird()
				move(t, h, bird, tc.bird)
			})
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t)
				_, frr := h.frr()
				move(t, h, frr, tc.frr)
			})
		})
	}
}

// Before something is desired, nobody knows what is right: nothing is touched.
func TestNothingDesired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.put(one, driver.Announced)
		f, frr := h.frr()
		d, frr := watched(f, frr)
		f.have, f.tell = state(announced(one)), true
		h.start(frr)
		d.changed()
		h.kernel.changed()
		h.later(2 * Interval)
		h.did()
		if len(h.reports) > 0 {
			t.Errorf("reported %v", h.reports)
		}
		h.desire(delivered(one))
		h.later(0)
		h.didBy("kernel", "0s kernel has "+one+" delivered")
		h.says("frr", "gen 1, in sync")
	})
}

// Where somebody else manages the addresses, the gate alone withdraws, so it closes at
// once, whatever the daemon follows.
func TestWithoutKernel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.kernel = nil
		fake, bird := h.bird()
		h.start(bird)
		h.desire(announced(one))
		h.later(time.Second)
		h.did("0s bird has " + one)
		fake.deaf = true
		h.later(time.Minute) // there is no kernel that could remind it
		h.desire(delivered(one))
		h.later(time.Second)
		h.did("1m0s bird has nothing")
		h.logged()
		h.says(KernelName, "gen 0") // it has nothing to do
	})
}

// A daemon that hangs holds up neither others, nor a withdrawal, nor for more than
// a second what is new, however often something else changes meanwhile.
func TestHungDriver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		hung, frr := h.frr()
		_, bird := h.bird()
		h.start(frr, bird)
		h.desire(announced(one), delivered(two))
		h.later(10 * time.Second)
		h.take()
		hung.hangs = "apply"
		h.desire(delivered(one), announced(two))
		h.later(400 * time.Millisecond)
		h.desire(delivered(one), announced(two), delivered(six))
		h.later(400 * time.Millisecond)
		h.desire(delivered(one), announced(two), announced(six))
		h.later(400 * time.Millisecond)
		lines := h.take()
		h.only(lines, "kernel", "0s kernel has "+one+" delivered", "400ms kernel has "+six+" delivered",
			"1s kernel has "+two+" announced", "1s kernel has "+six+" announced")
		h.only(lines, "bird", "0s bird has "+two, "800ms bird has "+two+" "+six)
		h.only(lines, "frr", "0s frr hangs")
		h.says("bird", "gen 4, in sync")
		h.says("frr", "gen 1, in sync") // of which it spoke last
		hung.hangs = ""
		h.later(time.Minute) // the Apply that hangs is given up after a minute
		h.didBy("frr", "58.8s frr has "+two+" "+six)
	})
}

// A daemon that refuses holds up nothing: its gate is not coming.
func TestRefusingDriver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		fake, frr := h.frr()
		fake.fails = errRefused
		h.start(frr)
		h.desire(announced(one))
		h.later(100 * time.Millisecond)
		h.did("0s frr refuses", "0s kernel has "+one+" announced")
		h.says("frr", "gen 1, syntax error")
		h.says(KernelName, "gen 1, in sync")
	})
}

// While a worker is at work, newer states replace each other. The newest is not lost.
func TestNewestWinsOfWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		fake, frr := h.frr()
		fake.slow = 3 * time.Second
		h.start(frr)
		h.desire(announced(one))
		h.later(time.Second)
		h.desire(announced(one), announced(two))
		h.later(time.Second)
		h.desire(announced(one), announced(six))
		h.later(10 * time.Second)
		h.didBy("frr", "3s frr has "+one, "6s frr has "+one+" "+six)
		h.says("frr", "gen 3, in sync")
		if h.took["frr"] != 3*time.Second {
			t.Errorf("it is said to have taken %s", h.took["frr"])
		}
	})
}

// So it is while the kernel is at work.
func TestNewestWinsOfKernel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.start()
		h.desire(announced(one))
		h.later(time.Second)
		h.take()
		h.kernel.slow = 3 * time.Second
		h.desire(gone(one), announced(two))
		h.later(time.Second)
		h.desire(gone(one), gone(two), announced(six))
		h.desire(delivered(one), gone(two), announced(six))
		h.later(20 * time.Second)
		h.did("3s kernel has "+one+" absent", "6s kernel has "+one+" delivered", "9s kernel has "+six+" announced")
		h.says(KernelName, "gen 4, in sync")
		if h.took[KernelName] != 3*time.Second {
			t.Errorf("it is said to have taken %s", h.took[KernelName])
		}
	})
}

// Whatever wakes the Reconciler or a worker while a newer state waits, it does not act on
// the older one: that might announce what is to be withdrawn.
func TestNewestComesFirst(t *testing.T) {
	for name, tc := range map[string]struct {
		busy  func(*harness, *watchedDriver) // until in 250ms
		wake  func(*harness, *watchedDriver)
		never string
	}{
		"the kernel changed": {
			func(h *harness, _ *watchedDriver) {
				h.kernel.lag = 250 * time.Millisecond
				h.kernel.changed()
			},
			func(h *harness, _ *watchedDriver) {
				h.put(one, driver.Absent)
				h.kernel.changed()
			},
			"kernel has " + one + " announced",
		},
		"the daemon changed": {
			func(_ *harness, d *watchedDriver) {
				d.asked = 125 * time.Millisecond // before Apply, and after it
				d.changed()
			},
			func(_ *harness, d *watchedDriver) {
				d.have = state()
				d.changed()
			},
			"frr has " + one,
		},
		"the gate is open": {
			func(h *harness, d *watchedDriver) {
				d.slow, h.kernel.slow = 100*time.Millisecond, 125*time.Millisecond
				h.desire(announced(one), announced(two))
				h.later(0)
				h.kernel.changed() // shrinks again
			},
			func(*harness, *watchedDriver) {},
			"kernel has " + two + " announced",
		},
	} {
		t.Run(name, func(t *testing.T) {
			for range 20 { // of several things that wake, which one is heard first is left to chance
				synctest.Test(t, func(t *testing.T) {
					h := newHarness(t)
					f, frr := h.frr()
					d, frr := watched(f, frr)
					h.start(frr)
					h.desire(announced(one), delivered(two))
					h.later(time.Second)
					h.take()
					tc.busy(h, d)
					h.later(200 * time.Millisecond)
					tc.wake(h, d)
					h.desire(delivered(one), delivered(two))
					h.later(5 * time.Second)
					lines := strings.Join(h.take(), "\n")
					if strings.Contains(lines, tc.never) {
						t.Errorf("done:\n%s", lines)
					}
					h.says(KernelName, fmt.Sprintf("gen %d, in sync", h.gen))
				})
			}
		})
	}
}

// A service that names drivers is announced by these alone.
func TestDriversOfService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		_, frr := h.frr()
		_, bird := h.bird()
		h.start(frr, bird)
		web := announced(two)
		web.Service = "web"
		for gen, only := range []map[string][]string{
			{"web": {"frr", "bird"}},
			{"web": {"frr"}, "dns": nil},
			{"web": {"bird"}, "mail": {"frr"}},
		} {
			h.reconciler.Apply(Desired{State: state(announced(one), web), Drivers: only, Gen: gen + 1})
			h.later(10 * time.Second)
		}
		lines := h.take()
		h.only(lines, "frr", "0s frr has "+one+" "+two, "20s frr has "+one)
		h.only(lines, "bird", "0s bird has "+one+" "+two, "12s bird has "+one, "20s bird has "+one+" "+two)
		h.only(lines, "kernel", "0s kernel has "+one+" announced", "0s kernel has "+two+" announced")
	})
}
