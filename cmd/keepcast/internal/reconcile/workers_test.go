package reconcile

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keepcast/keepcast/driver"
)

// changed returns the driver with other settings, and a daemon of its own.
func changed(h *harness, of Driver) (*fakeDriver, Driver) {
	fake := &fakeDriver{journal: h.journal, name: of.Name + " (changed)"}
	of.Driver, of.Settings = fake, map[string]any{"kind": of.Settings["kind"], "socket": "/run/other"}
	return fake, of
}

// Other settings restart the worker of their driver, and no other. The new one has
// what is desired now, and the gate of the old one stays as it is.
func TestSettingsChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		f, frr := h.frr()
		_, frr = watched(f, frr)
		b, bird := h.bird()
		_, bird = watched(b, bird)
		h.start(frr, bird)
		h.desire(announced(one))
		h.later(10 * time.Second)
		h.take()
		_, other := changed(h, frr)
		same := bird
		same.Driver = &fakeDriver{journal: h.journal, name: "bird (the same)"} // as a configuration that is loaded anew makes it
		h.reconciler.SetDrivers([]Driver{other, same})
		h.later(10 * time.Second)
		h.did("0s frr is disconnected", "0s frr (changed) has "+one)
		h.desire(announced(one), announced(two))
		h.later(time.Second)
		h.didBy("bird", "0s bird has "+one+" "+two)
		h.says("frr", "gen 2, in sync")
		h.says("bird", "gen 2, in sync")
	})
}

// A driver that is added has its gate opened at once.
func TestDriverAdded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.start()
		h.desire(announced(one))
		h.later(10 * time.Second)
		h.take()
		_, frr := h.frr()
		h.reconciler.SetDrivers([]Driver{frr})
		h.later(0)
		h.did("0s frr has " + one)
		h.says("frr", "gen 1, in sync")
	})
}

// A driver that leaves the configuration closes its gate, is let go of, and is not
// heard of again. Its daemon may refuse or hang: a gate was given up after five seconds
// once, and stood open until the next stop, unseen.
func TestDriverRemoved(t *testing.T) {
	for name, tc := range map[string]struct {
		with, heal func(*watchedDriver)
		did        []string
		logged     []string
		healed     []string
	}{
		"and obeys": {
			with: func(*watchedDriver) {},
			did:  []string{"0s frr has nothing", "0s frr is disconnected"},
		},
		"and refuses": {
			with:   func(d *watchedDriver) { d.fails = errRefused },
			heal:   func(d *watchedDriver) { d.fails = nil },
			did:    []string{"0s frr refuses", "200ms frr refuses", "600ms frr refuses", "1.4s frr refuses", "3s frr refuses"},
			logged: []string{`level=WARN msg="driver left the configuration, but its gate can't be closed, retrying" driver=frr err="syntax error"`},
			healed: []string{"200ms frr has nothing", "200ms frr is disconnected"},
		},
		"and hangs": {
			with:   func(d *watchedDriver) { d.hangs = "apply" },
			heal:   func(d *watchedDriver) { d.hangs = "" },
			did:    []string{"0s frr hangs", "5.2s frr hangs"},
			logged: []string{`level=WARN msg="driver left the configuration, but its gate can't be closed, retrying" driver=frr err="context deadline exceeded"`},
			healed: []string{"4.6s frr has nothing", "4.6s frr is disconnected"},
		},
		"and can't be let go of": {
			with:   func(d *watchedDriver) { d.closing = errNetlink },
			did:    []string{"0s frr has nothing", "0s frr is disconnected"},
			logged: []string{`level=DEBUG msg="closing the driver" driver=frr err="no buffer space available"`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t)
				fake, frr := h.frr()
				d, frr := watched(fake, frr)
				_, bird := h.bird()
				h.start(frr, bird)
				h.desire(announced(one), delivered(two), prefixOnly(announced(network)))
				h.later(10 * time.Second)
				h.take()
				tc.with(d)
				h.reconciler.SetDrivers([]Driver{bird})
				h.later(6 * time.Second)
				h.did(tc.did...)
				h.logged(tc.logged...)
				if tc.heal != nil {
					if r := h.reports["frr"]; !r.Leaving || r.Gone || r.Err == nil {
						t.Errorf("reported: %+v, want that it is leaving, and why it can't", r)
					}
					tc.heal(d)
					h.later(10 * time.Second)
					h.did(tc.healed...)
				}
				if len(fake.have.Routes) != 3 || fake.have.Interface != "anycast0" {
					t.Errorf("it was made to load %+v, want a whole state", fake.have)
				}
				if r := h.reports["frr"]; !r.Leaving || !r.Gone {
					t.Errorf("reported: %+v, want that it is gone", r)
				}
				delete(h.reports, "frr")
				h.desire(announced(one), announced(two))
				h.later(time.Minute)
				h.didBy("frr")
				if r, told := h.reports["frr"]; told {
					t.Errorf("reported though it is gone: %+v", r)
				}
				h.says("bird", "gen 2, in sync")
			})
		})
	}
}

// What is decided after a driver left does not open its gate again.
func TestLeavingDriverStaysClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		fake, frr := h.frr()
		h.start(frr)
		h.desire(announced(one), delivered(two))
		h.later(10 * time.Second)
		h.take()
		fake.fails = errRefused
		h.reconciler.SetDrivers(nil)
		h.later(time.Second)
		h.desire(announced(one), announced(two))
		h.later(time.Second)
		fake.fails = nil
		h.later(5 * time.Second)
		h.take()
		if got := prefixes(fake.have); got != "nothing" || len(fake.have.Routes) != 2 {
			t.Errorf("it was made to load %+v, want that two routes are absent", fake.have)
		}
	})
}

// The keepcast before this one did not get to close the gate of a driver that left: this
// one closes it once it knows what there is to close.
func TestDriverLeavingFromTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		fake, frr := h.frr()
		fake.have = state(announced(one))
		frr.Leaving = true
		_, bird := h.bird()
		h.start(frr, bird)
		h.did()
		h.desire(announced(one))
		h.later(time.Second)
		h.didBy("frr", "0s frr has nothing")
		if r := h.reports["frr"]; !r.Gone {
			t.Errorf("reported: %+v, want that it is gone", r)
		}
	})
}

// Its daemon has another driver by then: that one's gate stays open.
func TestDriverLeavingFromTheStartIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		fake, frr := h.frr()
		fake.have = state(announced(one))
		left := frr
		left.Leaving, left.Name = true, "core"
		h.start(left, frr)
		h.desire(announced(one))
		h.later(time.Minute)
		h.didBy("frr")
		h.says("frr", "gen 1, in sync")
	})
}

// A driver without settings can leave, too.
func TestDriverWithoutSettings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		_, frr := h.frr()
		frr.Settings = nil
		h.start(frr)
		h.desire(announced(one))
		h.later(time.Second)
		h.reconciler.SetDrivers([]Driver{frr})
		h.later(time.Second)
		h.didBy("frr", "0s frr has "+one)
		h.reconciler.SetDrivers(nil)
		h.later(time.Second)
		h.did("0s frr has nothing")
	})
}

// A daemon that does not let its gate be closed holds up neither a withdrawal nor other
// daemons.
func TestRemovedDriverHoldsNothingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		hung, frr := h.frr()
		_, bird := h.bird()
		h.start(frr, bird)
		h.desire(announced(one), delivered(two))
		h.later(10 * time.Second)
		h.take()
		hung.hangs = "apply"
		h.reconciler.SetDrivers([]Driver{bird})
		h.later(time.Second)
		h.desire(delivered(one), announced(two))
		h.later(time.Second)
		h.did("0s frr hangs", "1s kernel has "+one+" delivered", "1s bird has "+two, "1s kernel has "+two+" announced")
		h.end() // which waits for five seconds more
		h.did("3s frr hangs")
		h.logged(`level=WARN msg="driver left the configuration, but its gate can't be closed, retrying" driver=frr err="context deadline exceeded"`)
	})
}

// A driver that gets another name, or is gone for a moment, moves no route: the daemon is
// the same. Once all of its routes went and came back.
func TestDriverRenamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		fake, frr := h.frr()
		h.start(frr)
		h.desire(announced(one))
		h.later(10 * time.Second)
		h.take()
		fake.loads = time.Second
		frr.Name = "core"
		h.reconciler.SetDrivers([]Driver{frr})
		h.later(10 * time.Second)
		h.did()
		h.says("core", "gen 1, in sync")
		if r := h.reports["frr"]; !r.Gone {
			t.Errorf("reported under the old name: %+v, want that it is gone", r)
		}
		h.reconciler.SetDrivers(nil)
		h.later(0)
		h.reconciler.SetDrivers([]Driver{frr})
		h.later(10 * time.Second)
		h.did()
	})
}

// A driver of another kind that takes over a name is another daemon: the gate of the one
// before is closed.
func TestDriverOfAnotherKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		_, frr := h.frr()
		_, bird := h.bird()
		frr.Name, bird.Name = "main", "main"
		h.start(frr)
		h.desire(announced(one))
		h.later(10 * time.Second)
		h.take()
		h.reconciler.SetDrivers([]Driver{bird})
		h.later(time.Second)
		lines := h.take()
		h.only(lines, "frr", "0s frr has nothing")
		h.only(lines, "bird", "0s bird has "+one)
	})
}

// A driver that leaves in the middle of an Apply is not called for the last time before
// that has ended.
func TestDriverRemovedWhileBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		fake, frr := h.frr()
		fake.slow = 2 * time.Second
		h.start(frr)
		h.desire(announced(one))
		h.later(time.Second)
		h.reconciler.SetDrivers(nil)
		h.later(10 * time.Second)
		h.didBy("frr", "2s frr has "+one, "4s frr has nothing")
		if r := h.reports["frr"]; !r.Gone {
			t.Errorf("reported: %+v, want that it is gone", r)
		}
	})
}

// Daemons that hang while their gates are to be closed hold up no other driver: three of
// them held up all others for fifteen seconds once.
func TestRemovedDriversSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		_, bird := h.bird()
		_, quick := h.frr()
		var hung []Driver
		for i := range 3 {
			fake, frr := h.frr()
			fake.hangs, frr.Name, frr.Places = "apply", fmt.Sprint("frr", i), nil
			hung = append(hung, frr)
		}
		h.start(append(slices.Clone(hung), quick, bird)...)
		h.desire(announced(one))
		h.later(10 * time.Second)
		h.take()
		for i := range hung {
			h.reconciler.SetDrivers(append(slices.Clone(hung[i+1:]), quick, bird))
			h.later(100 * time.Millisecond)
		}
		bird.Settings = map[string]any{"timeout": "1s"}
		h.reconciler.SetDrivers([]Driver{bird})
		h.later(0)
		h.desire(announced(two))
		h.later(20 * time.Second)
		h.didBy("bird", "400ms bird has "+two)
	})
}

// A stop waits for the gate of a driver that left, too.
func TestStopWaitsForClosing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		fake, frr := h.frr()
		h.start(frr)
		h.desire(announced(one))
		h.later(10 * time.Second)
		h.take()
		fake.loads = 3 * time.Second
		h.reconciler.SetDrivers(nil)
		h.later(time.Second)
		h.end()
		h.did("3s frr has nothing")
	})
}

// A stop before anything is desired ends, too.
func TestStopAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		_, frr := h.frr()
		h.start(frr)
		h.end()
		h.did()
	})
}

// A stop waits for all that runs, leaves the host as it is, and needs nobody to take
// the reports of the workers.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		var drivers []Driver
		var daemons []*watchedDriver
		for i := range 20 {
			fake, frr := h.frr()
			d, frr := watched(fake, frr)
			d.lasts = time.Duration(i) * time.Second
			frr.Name = fmt.Sprint("frr", i)
			drivers, daemons = append(drivers, frr), append(daemons, d)
		}
		h.start(drivers...)
		h.desire(announced(one))
		h.later(10 * time.Second)
		h.take()
		h.kernel.slow, h.kernel.lasts = 2*time.Second, time.Minute
		h.put(one, driver.Absent)
		h.kernel.changed()
		h.later(0)
		for _, d := range daemons {
			d.changed()
		}
		h.later(time.Second) // the Reconciler is with the kernel, while all others want to report
		h.end()
		lines := h.take()
		h.only(lines, "kernel", "2s kernel has "+one+" announced") // what was begun
		h.only(lines, "frr has")
		if n := strings.Count(strings.Join(lines, "\n"), "frr is disconnected"); n != len(drivers) {
			t.Errorf("%d drivers are let go of, want all %d", n, len(drivers))
		}
	})
}
