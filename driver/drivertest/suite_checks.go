package drivertest

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keepcast/keepcast/driver"
)

// appliesTwice checks that what is in force is not done again, in whatever order it is
// asked for, and that Reloaded is called when something is loaded, and only then.
func appliesTwice(t *testing.T, open func(*testing.T) *trial) {
	tr := open(t)
	for _, s := range tr.examples() {
		loads := tr.loads.Load()
		tr.apply(s)
		if _, tells := tr.d.(driver.Opener); tells && tr.loads.Load() == loads {
			t.Errorf("Reloaded was not called for %s", words(s))
		}
		loads = tr.loads.Load()
		changes := tr.Changes()
		tr.apply(s)
		tr.apply(reversed(s))
		if n, m := tr.Changes()-changes, tr.loads.Load()-loads; n != 0 || m != 0 {
			t.Errorf("told to change %d times, and Reloaded called %d times, for what was in force: %s", n, m, words(s))
		}
		tr.inSync(s)
	}
}

// failsToAdd checks that an addition that fails holds up no removal; or nothing changes at
// all, where a daemon takes all or nothing. Once the fault is mended, all is done.
func failsToAdd(t *testing.T, open func(*testing.T) *trial) {
	tr := open(t)
	stays, may := Route("203.0.113.1/24", driver.Announced), Route("192.0.2.54/32", driver.Announced)
	first := tr.state(stays, Route(V4, driver.Announced), network(Networks()[0]))
	next := tr.state(stays, may, Route(V6, driver.Announced))
	tr.apply(first)
	tr.announces(first)
	before, file, announced := tr.Dump(), tr.snippet(), managed(tr, tr.Announces())
	says, mend := tr.Break()
	for range 2 { // the second time is a retry
		if err := tr.try(t.Context(), next); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got error  %v\nwhich lacks %s", err, says)
		}
		if tr.Whole {
			if tr.Shuts {
				delete(announced, prefix(Networks()[0]))
				comesTo(t, "announced after a failed Apply", func() (want, got map[netip.Prefix]uint32) { return announced, managed(tr, tr.Announces()) })
			} else {
				Same(t, "the daemon after a failed Apply", before, tr.Dump())
			}
			Same(t, "the snippet after a failed Apply", []string{file}, []string{tr.snippet()})
			continue
		}
		comesTo(t, "announced after a failed Apply", func() (want, got map[netip.Prefix]uint32) {
			now := managed(tr, tr.Announces())
			delete(now, may.Prefix) // it may be there or not
			return map[netip.Prefix]uint32{stays.Prefix.Masked(): 0}, now
		})
	}
	mend()
	tr.apply(next)
	tr.announces(next)
}

// observes checks that what is observed is what the daemon says when somebody else asks:
// also by a driver that has applied nothing yet, and when somebody else changed something.
func observes(t *testing.T, open func(*testing.T) *trial) {
	tr := open(t)
	honest := func(when string, s driver.State) {
		t.Helper()
		comesTo(t, "observed "+when+", and is not so", func() (none, got []string) { return nil, tr.lies(s) })
	}
	honest("before anything was applied", tr.state())
	rnd := rand.New(rand.NewPCG(1, 0))
	for _, s := range tr.examples() {
		tr.apply(s)
		tr.inSync(s)
		tr.restart()
		honest("before anything was applied by a new keepcast", s)
		if tr.Disturb == nil {
			continue
		}
		for range 3 {
			tr.apply(s)
			tr.inSync(s)
			by := "after somebody " + tr.Disturb(rnd)
			comesTo(t, "observed "+by, func() (want, got []netip.Prefix) {
				announced, observed := managed(tr, tr.Announces()), tr.observed()
				for p, med := range announced {
					if med == Partly { // either will do
						delete(announced, p)
						delete(observed, p)
					}
				}
				return keys(announced), keys(observed)
			})
			honest(by, s)
		}
	}
}

// asks checks that Observe, Examine and Render change nothing.
func asks(t *testing.T, open func(*testing.T) *trial) {
	tr := open(t)
	s := tr.examples()[0]
	tr.apply(s)
	tr.announces(s)
	changes, before := tr.Changes(), tr.Dump()
	tr.observes(s)
	if e, ok := tr.d.(driver.Examiner); ok {
		e.Examine(t.Context(), s)
	}
	if r, ok := tr.d.(driver.Renderer); ok {
		if _, err := r.Render(tr.state()); err != nil {
			t.Error(err)
		}
	}
	tr.observes(s)
	if n := tr.Changes() - changes; n != 0 {
		t.Errorf("told to change %d times", n)
	}
	Same(t, "the daemon", before, tr.Dump())
}

// renders checks that Render returns what Apply writes, byte for byte, whichever instance
// is asked, and in whatever order the routes are. It has to be loadable.
func renders(t *testing.T, open func(*testing.T) *trial) {
	tr := open(t)
	for _, s := range tr.examples() {
		r, ok := tr.d.(driver.Renderer)
		if !ok {
			return
		}
		text, err := r.Render(s)
		if err = errors.Join(err, r.Loadable(text)); err != nil {
			t.Fatal(err)
		}
		tr.apply(s)
		Same(t, "the snippet of "+words(s), []string{string(text)}, []string{tr.snippet()})
		tr.restart()
		again, err := tr.d.(driver.Renderer).Render(reversed(s))
		if err != nil {
			t.Fatal(err)
		}
		Same(t, "rendered in another order", []string{string(text)}, []string{string(again)})
	}
}

// closes checks that a closed driver may be used again, and closed when it is closed.
func closes(t *testing.T, open func(*testing.T) *trial) {
	tr := open(t)
	o, ok := tr.d.(driver.Opener)
	if !ok {
		return
	}
	shut := func() {
		t.Helper()
		if err := errors.Join(o.Close(), o.Close()); err != nil {
			t.Error(err)
		}
	}
	shut()
	for _, s := range tr.examples() {
		tr.apply(s)
		shut()
		tr.inSync(s)
		shut()
	}
}

// cancels checks that a context that is done before the call keeps Apply from changing
// anything, and that one that is done meanwhile leaves nothing that the next Apply does not
// put right. The error is the context's.
func cancels(t *testing.T, open func(*testing.T) *trial) {
	tr := open(t)
	all := tr.examples()[:2]
	var dumps [2][]string
	for i, s := range all {
		tr.apply(s)
		tr.announces(s)
		dumps[i] = tr.Dump()
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	changes := tr.Changes()
	if err := tr.try(over, all[0]); !errors.Is(err, context.Canceled) || tr.Changes() != changes {
		t.Errorf("done before the call: error %v, told to change %d times", err, tr.Changes()-changes)
	}
	tr.dumps(dumps[1])
	for i := range 10 {
		s := all[i%2]
		ctx, cancel := context.WithCancel(t.Context())
		cut := time.AfterFunc(100*time.Microsecond<<i, cancel) // the last is after 51 ms
		if err := tr.try(ctx, s); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("done meanwhile: %v", err)
		}
		cut.Stop()
		cancel()
		tr.apply(s)
		tr.announces(s)
		tr.dumps(dumps[i%2])
	}
}

// watches checks that Watch calls changed when somebody else, such as another keepcast,
// changed something; that it may run beside the other methods; and that it returns nil once
// its context is done.
func watches(t *testing.T, open func(*testing.T) *trial) {
	tr := open(t)
	w, ok := tr.d.(driver.Watcher)
	if !ok {
		return
	}
	tr.apply(tr.state())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var calls atomic.Int32
	ended := make(chan error, 1)
	go func() { ended <- w.Watch(ctx, func() { calls.Add(1) }) }()
	other := tr.other()
	rnd := rand.New(rand.NewPCG(1, 0))
	// Watch may tell that it has begun. A change that comes before it has looked for the
	// first time is no news, but one of the next is.
	for range 3 {
		before := calls.Load()
		Eventually(t, "changed is called", func() bool {
			other.apply(tr.random(rnd))
			tr.observed()
			return calls.Load() > before
		})
		tr.apply(tr.state())
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("ended with %v", err)
	}
	if err := w.Watch(ctx, func() {}); err != nil {
		t.Errorf("begun when its context is done, it ended with %v", err)
	}
}

// misses checks that a daemon that does not run is known to announce nothing, that Apply
// fails then, and that it brings the daemon in sync once it is back.
func misses(t *testing.T, open func(*testing.T) *trial) {
	tr := open(t)
	if tr.Stop == nil {
		return
	}
	all := tr.examples()
	tr.apply(all[0])
	start := tr.Stop()
	for range 2 {
		if err := tr.try(t.Context(), all[1]); err == nil {
			t.Error("applied to a daemon that is away")
		}
		if s, err := tr.d.Observe(t.Context()); !errors.Is(err, driver.ErrNotRunning) || len(s.Routes) > 0 {
			t.Errorf("observed of a daemon that is away: %s, error %v", words(s), err)
		}
	}
	start()
	tr.apply(all[1])
	tr.inSync(all[1])
}
