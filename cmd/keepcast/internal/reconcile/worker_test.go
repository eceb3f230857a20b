package reconcile

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/driver"
)

const (
	frrFails  = `level=ERROR msg="daemon not in sync, retrying" driver=frr err="syntax error"`
	frrMended = `level=WARN msg="daemon changed by itself, putting it right" driver=frr`
)

// What a daemon refuses is tried again, after ever longer waits, for ever. It is logged
// when it begins, when the reason changes and when it is over, and counted.
func TestDriverIsRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		fake, frr := h.frr()
		h.start(frr)
		h.desire(delivered(one))
		began := time.Now()
		h.later(time.Second)
		h.says("frr", "gen 1, in sync")
		h.since("frr", began)
		h.take()
		fake.fails = errRefused
		began = time.Now()
		h.desire(announced(one))
		h.later(80 * time.Second)
		h.says("frr", "gen 2, syntax error")
		h.since("frr", began)
		h.logged(frrFails)
		fake.fails = errors.New("disk full")
		h.later(10 * time.Second)
		h.says("frr", "gen 2, disk full")
		h.since("frr", began)
		h.logged(`level=ERROR msg="daemon not in sync, retrying" driver=frr err="disk full"`)
		fake.fails = nil
		h.later(time.Minute)
		h.didBy("frr", "0s frr refuses", "200ms frr refuses", "600ms frr refuses", "1.4s frr refuses", "3s frr refuses", "6.2s frr refuses",
			"12.6s frr refuses", "25.4s frr refuses", "51s frr refuses", "1m21s frr refuses", "1m51s frr has "+one)
		h.says("frr", "gen 2, in sync")
		h.since("frr", began.Add(111*time.Second))
		h.logged(`level=INFO msg="daemon in sync again" driver=frr after=10`)
		if diff := cmp.Diff([2]int{3, 10}, h.applied["frr"]); diff != "" {
			t.Errorf("counted (-want +got):\n%s", diff)
		}
		fake.fails = errRefused
		h.desire(delivered(one))
		h.later(500 * time.Millisecond)
		h.didBy("frr", "0s frr refuses", "200ms frr refuses")
	})
}

// A daemon that comes back tells, and is given at once what it has not.
func TestDaemonComesBack(t *testing.T) {
	refuses := func(d *fakeDriver) { d.fails = errRefused }
	nothing := func(*fakeDriver) {}
	for name, tc := range map[string]struct {
		before, meanwhile func(*fakeDriver)
		did, logged       []string
		repaired          int
	}{
		"after it did not run": {
			refuses, func(d *fakeDriver) { d.fails = nil },
			[]string{"0s frr has " + one},
			[]string{`level=INFO msg="daemon in sync again" driver=frr after=8`},
			0,
		},
		"and does not run yet":  {refuses, nothing, []string{"0s frr refuses"}, nil, 0},
		"with all that it had":  {nothing, nothing, nil, nil, 0},
		"without what it had":   {nothing, func(d *fakeDriver) { d.have = state() }, []string{"0s frr has " + one}, []string{frrMended}, 1},
		"with what it lost ago": {func(d *fakeDriver) { d.deaf = true }, nothing, nil, nil, 0}, // its worker knew
		"without, and can't be asked": {
			nothing, func(d *fakeDriver) { d.have, d.mute = state(), errRefused },
			[]string{"0s frr has " + one},
			[]string{frrMute},
			0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t)
				fake, frr := h.frr()
				watched, frr := watched(fake, frr)
				tc.before(fake)
				h.start(frr)
				h.desire(announced(one))
				h.later(29 * time.Second)
				h.take()
				h.log.Reset()
				h.repaired["frr"] = 0 // that it was reminded
				tc.meanwhile(fake)
				watched.changed()
				h.later(0)
				h.did(tc.did...)
				h.logged(tc.logged...)
				if h.repaired["frr"] != tc.repaired {
					t.Errorf("%d repairs counted, want %d", h.repaired["frr"], tc.repaired)
				}
			})
		})
	}
}

// What a daemon loses without telling it gets again soon.
func TestDaemonLosesGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		fake, frr := h.frr()
		h.start(frr)
		h.desire(announced(one))
		h.later(28 * time.Second)
		h.take()
		fake.have = state()
		h.later(Interval) // found at 30s, before the worker has observed that it is so
		h.did("2s frr has " + one)
		h.logged(frrMended)
		if h.repaired["frr"] != 1 {
			t.Errorf("%d repairs counted, want 1", h.repaired["frr"])
		}
	})
}

// The watch of a daemon that ends is started again, and what it may have missed is made
// good.
func TestDriverWatchEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		fake, frr := h.frr()
		watched, frr := watched(fake, frr)
		h.start(frr)
		h.desire(announced(one))
		h.later(time.Second)
		h.take()
		fake.have = state()
		watched.ends <- errNetlink
		h.later(time.Second)
		lines := h.take()
		h.only(lines, "frr is", "100ms frr is watched")
		h.only(lines, "frr has", "100ms frr has "+one)
		h.logged(`level=DEBUG msg="watch ended, starting it again" driver=frr err="no buffer space available"`, frrMended)
	})
}

// An Apply that does not end is given up, and tried again.
func TestApplyIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		fake, frr := h.frr()
		fake.hangs = "apply"
		h.start(frr)
		h.desire(announced(one))
		h.later(90 * time.Second)
		h.didBy("frr", "0s frr hangs", "1m0.2s frr hangs")
		h.says("frr", "gen 1, context deadline exceeded")
		fake.hangs = ""
		h.later(time.Minute)
		h.didBy("frr", "30.6s frr has "+one)
		if diff := cmp.Diff([2]int{1, 2}, h.applied["frr"]); diff != "" {
			t.Errorf("counted (-want +got):\n%s", diff)
		}
	})
}

// An Apply that a stop interrupts is no failure.
func TestApplyIsInterrupted(t *testing.T) {
	for what, says := range map[string]string{"apply": "gen 0", "observe": "gen 1, in sync"} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t)
				fake, frr := h.frr()
				fake.hangs = what
				h.start(frr)
				h.desire(announced(one))
				h.later(time.Second)
				h.end()
				h.logged()
				h.says("frr", says)
			})
		})
	}
}

// Gates that only close wait for others to close with them, but not for ever, and go
// along with one that opens.
func TestClosingsAreGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		fake, bird := h.bird()
		h.start(bird)
		all := []driver.Route{announced(one), announced(two), announced(six)}
		h.desire(all...)
		h.later(10 * time.Second)
		h.take()
		applied := fake.calls
		h.desire(delivered(one), all[1], all[2])
		h.later(1500 * time.Millisecond)
		h.says("bird", "gen 2") // nothing that the kernel must wait for; but it is still open
		h.desire(delivered(one), delivered(two), all[2])
		h.later(1500 * time.Millisecond)
		h.didBy("bird", "2s bird has "+six)
		h.says("bird", "gen 3, in sync")

		h.desire(delivered(one), delivered(two), delivered(six))
		h.later(time.Second)
		h.desire(announced(one), delivered(two), delivered(six))
		h.later(time.Second)
		h.didBy("bird", "1s bird has "+one)

		h.desire(delivered(one), delivered(two), delivered(six))
		h.later(time.Second)
		h.desire(announced(one), delivered(two), delivered(six)) // as it was
		h.later(0)
		h.says("bird", "gen 7, in sync")
		h.later(2 * time.Second)
		h.didBy("bird")
		if n := fake.calls - applied; n != 3 {
			t.Errorf("it loaded %d times, want 3", n)
		}
	})
}

// One daemon is not made to load twice in a short time, not even a gate that opens.
func TestLoadsAreSpaced(t *testing.T) {
	for name, tc := range map[string]struct {
		fails error
		did   []string
	}{
		"it works":   {nil, []string{"0s frr has " + one, "100ms frr has " + one + " " + two + " " + six}},
		"it refuses": {errRefused, []string{"0s frr refuses", "100ms frr refuses", "500ms frr refuses"}}, // the third by itself
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t)
				fake, frr := h.frr()
				fake.fails = tc.fails
				h.start(frr)
				h.desire(announced(one))
				h.later(40 * time.Millisecond)
				h.desire(announced(one), announced(two))
				h.later(40 * time.Millisecond)
				h.desire(announced(one), announced(two), announced(six))
				h.later(700 * time.Millisecond)
				h.didBy("frr", tc.did...)
			})
		})
	}
}
