package reconcile

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A driver that hangs holds up the addresses that come once, not each of them: a service
// that came back waited a second for it each time.
func TestLateDriverIsNotWaitedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		fake, frr := h.frr()
		fake.slow = time.Hour
		h.start(frr)
		h.desire(announced(one), delivered(two))
		h.later(2 * time.Second)
		h.didBy("kernel", "0s kernel has "+two+" delivered", "1s kernel has "+one+" announced")
		h.desire(announced(one), announced(two))
		h.later(2 * time.Second)
		h.didBy("kernel", "0s kernel has "+two+" announced")
		fake.slow = 100 * time.Millisecond
		h.later(2 * time.Hour) // it has caught up, so it is waited for again
		h.desire(announced(one), announced(two), announced(six))
		h.take()
		h.later(2 * time.Second)
		h.didBy("kernel", "100ms kernel has "+six+" announced")
	})
}

// A driver that hangs in a file, which no deadline ends, holds up neither a withdrawal nor
// another daemon, whether its settings change or it leaves. A reload in the middle of such
// a hang kept dead services announced until somebody thawed the file system.
func TestHangingDriverIsNotWaitedFor(t *testing.T) {
	for name, reload := range map[string]func(h *harness, frr Driver) []Driver{
		"its settings change": func(h *harness, frr Driver) []Driver {
			_, other := changed(h, frr)
			return []Driver{other}
		},
		"it leaves": func(*harness, Driver) []Driver { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t)
				fake, frr := h.frr()
				_, bird := h.bird()
				h.start(frr, bird)
				h.desire(announced(one), delivered(two))
				h.later(10 * time.Second)
				fake.slow = time.Hour
				h.desire(announced(one), announced(two))
				h.later(10 * time.Second)
				h.take()
				h.reconciler.SetDrivers(append(reload(h, frr), bird))
				h.later(time.Second)
				h.desire(delivered(one), announced(two))
				h.later(0)
				h.did("1s kernel has " + one + " delivered")
				h.later(10 * time.Second)
				h.didBy("bird", "2s bird has "+two)
				h.later(2 * time.Hour) // which lets the rest end
			})
		})
	}
}

// A stop ends though a driver hangs in a file. SIGTERM did nothing, and systemd killed
// keepcast in the middle of it.
func TestStopLeavesHangingDriver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		fake, frr := h.frr()
		fake.slow = time.Hour
		h.start(frr)
		h.desire(announced(one))
		h.later(10 * time.Second)
		h.stop()
		began := time.Now()
		<-h.done
		if took := time.Since(began); took != leaveLimit+stopLimit {
			t.Errorf("the stop took %s, want %s", took, leaveLimit+stopLimit)
		}
		h.logged(`level=ERROR msg="a driver hangs, ending without it"`)
		h.later(2 * time.Hour) // which lets the rest end
	})
}

// How long it took from what happened until the kernel is told is measured from the first
// thing that happened, also when the state that followed from it was overtaken by a newer
// one.
func TestReached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.start()
		since := func(gen int, ago time.Duration) {
			h.reconciler.Apply(Desired{State: state(announced(one)), Gen: gen, Since: time.Now().Add(-ago)})
		}
		h.kernel.slow = time.Second
		since(1, 2*time.Millisecond)
		h.later(0)
		since(2, 3*time.Millisecond)
		since(3, 1*time.Millisecond)
		h.reconciler.Apply(Desired{State: state(announced(one)), Gen: 4})
		h.later(10 * time.Second)
		h.reconciler.Apply(Desired{State: state(announced(one)), Gen: 5}) // follows from nothing new
		h.later(10 * time.Second)
		if diff := cmp.Diff([]time.Duration{2 * time.Millisecond, time.Second + 3*time.Millisecond}, h.reached); diff != "" {
			t.Errorf("reached (-want +got):\n%s", diff)
		}
	})
}

// A daemon that tells of a change all the time is not kept busy by that: ten times a second
// at most, and once a second while it fails.
func TestRestlessDaemon(t *testing.T) {
	for name, tc := range map[string]struct {
		fails error
		most  int
	}{"obeys": {nil, 101}, "refuses": {errRefused, 13}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t)
				fake, frr := h.frr()
				d, frr := watched(fake, frr)
				h.start(frr)
				h.desire(announced(one))
				h.later(10 * time.Second)
				fake.fails = tc.fails
				before := fake.calls
				for range 10000 {
					d.changed()
					h.later(time.Millisecond)
				}
				if n := fake.calls - before; n > tc.most || n < tc.most/2 {
					t.Errorf("told %d times in ten seconds, want %d at most", n, tc.most)
				}
			})
		})
	}
}

// A daemon that takes long to refuse what it is told, and tells of a change all the while,
// had the next attempt begin as soon as the last one ended: it was kept busy for ever.
func TestRestsAfterSlowFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		fake, frr := h.frr()
		d, frr := watched(fake, frr)
		fake.fails, fake.slow = errRefused, 2*time.Second
		h.start(frr)
		h.desire(announced(one))
		for range 600 {
			h.later(50 * time.Millisecond)
			d.changed()
		}
		if fake.calls < 9 || fake.calls > 11 { // 2s each, and soon 1s of rest
			t.Errorf("applied %d times in 30s", fake.calls)
		}
	})
}

// A daemon that refused, and told of a change while a withdrawal was on its way to it, had
// the withdrawal wait for the end of its rest.
func TestWithdrawalInRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		fake, frr := h.frr()
		d, frr := watched(fake, frr)
		h.start(frr)
		h.desire(announced(one))
		h.later(time.Second)
		fake.fails = errRefused
		h.desire(announced(one), announced(two))
		h.later(20 * time.Second)
		h.take()
		h.desire(announced(one))
		h.later(0)
		h.did("0s frr refuses")
		fake.fails = nil
		h.desire(delivered(one), delivered(two))
		d.changed()
		h.later(0)
		d.changed()
		h.later(time.Second)
		h.didBy("frr", "100ms frr has nothing")
	})
}

// What goes on changing had a kernel that refuses be told all the time, which kept the
// processor busy for as long as it lasted.
func TestRestlessKernel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.kernel.fails["grow"] = errNetlink
		h.start()
		h.desire(announced(one))
		h.later(10 * time.Second)
		h.take()
		for range 500 {
			h.kernel.changed()
			h.later(20 * time.Millisecond)
		}
		if n := len(h.take()); n < 9 || n > 11 {
			t.Errorf("told %d times in ten seconds, want once a second", n)
		}
		h.desire(delivered(one)) // which does not wait
		h.later(0)
		h.did("0s kernel has "+one+" delivered", "0s kernel refuses to grow")
		h.kernel.changed()
		h.later(100 * time.Millisecond)
		h.did("100ms kernel refuses to grow")
	})
}
