package engine

import (
	"flag"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/reconcile"
	"github.com/keepcast/keepcast/driver"
)

// Whatever happens, in whatever order: the engine decides as the model does, nothing is
// announced that the model forbids, and no withdrawal is lost.
func TestModel(t *testing.T) {
	if err := flag.Set("rapid.nofailfile", "true"); err != nil { // the seed does as well
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(rapid.Custom(drawStep), 1, 40).Draw(rt, "steps")
		managed := rapid.Bool().Draw(rt, "addresses are managed")
		w := newWorld(t, managed)
		synctest.Test(t, func(*testing.T) { w.play(steps) })
		// Rapid finds the shortest way to a failure, so it is told of it outside of
		// the bubble.
		if len(w.faults) > 0 {
			rt.Fatal(w.faults[0])
		}
	})
}

// step is something that happens, and how long it is quiet then.
type step struct {
	What              string
	Service, N, Delay int
	Wait              time.Duration
}

// drawStep draws a step. Waits are long and short: within the intervals of checks,
// linger and hold-down, and beyond.
func drawStep(rt *rapid.T) step {
	return step{
		What: rapid.SampledFrom([]string{
			"check", "check", "check", "check", "drain", "drain for", "resume", "file", "stop and start", "reload without", "reload with",
			"reload checks", "reload times", "kernel fails", "kernel works", "address goes", "address comes", "daemon fails", "daemon hangs",
			"daemon is mute", "daemon works", "daemon restarts", "watch ends", "nothing",
		}).Draw(rt, "what"),
		Service: rapid.IntRange(0, 2).Draw(rt, "service"),
		N:       rapid.IntRange(0, 2).Draw(rt, "number"),
		Delay:   rapid.IntRange(1, 30).Draw(rt, "delay"),
		Wait:    time.Duration(rapid.SampledFrom([]int{0, 20, 300, 800, 1500, 3000, 7000, 12000, 40000, 100000}).Draw(rt, "wait")) * time.Millisecond,
	}
}

// play lets the steps happen, compares after each, then lets everything heal, compares
// all, and stops.
func (w *world) play(steps []step) {
	w.configure(w.cfg)
	w.begin()
	for _, s := range steps {
		time.Sleep(s.Wait)
		w.tick()
		w.happen(s)
		synctest.Wait()
		w.compare()
	}
	w.healKernel()
	for _, d := range w.daemons {
		w.heal(d)
	}
	time.Sleep(5 * reconcile.Interval)
	w.tick()
	w.compare()
	w.compareAll()
	w.mu.Lock()
	w.model.advance(time.Now())
	w.model.stopping = true
	w.mu.Unlock()
	w.keep = false
	w.finish()
	if w.cfg.ManageAddresses {
		for p, presence := range w.kernel.have {
			if presence != driver.Absent {
				w.fault("after the stop the kernel has %s %s", p, presence)
			}
		}
	}
	for name, d := range w.daemons {
		if left := d.have.Announced(); len(left) > 0 {
			w.fault("after the stop %s announces %v", name, left)
		}
	}
}

// tick moves the clock to a moment at which nothing else is due: to the next
// millisecond and as many microseconds as there were steps.
func (w *world) tick() {
	w.steps++
	next := time.Now().Truncate(time.Millisecond).Add(time.Millisecond + time.Duration(w.steps)*time.Microsecond)
	time.Sleep(time.Until(next))
	synctest.Wait()
}

// compare compares what is decided, and whether all that must go is gone.
func (w *world) compare() {
	status, err := w.engine.Status()
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	w.model.advance(now)
	got, want := map[string]api.State{}, map[string]api.State{}
	for _, s := range status.Services {
		got[s.Name] = s.Desired
	}
	for name, s := range w.model.services {
		want[name] = s.state
	}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		w.fault("decided (-model +engine): %v\n%s", err, d)
	}
	if !w.cfg.ManageAddresses || w.kernel.fail != nil || now.Sub(w.healthy) < 2*reconcile.Interval {
		return
	}
	for _, s := range w.all {
		p := s.Addresses[0].Prefix
		presence := w.model.presence(p, now)
		if has := w.kernel.is(p.String()); presence != driver.Announced && has != presence {
			w.fault("the kernel has %s %s, the model %s", p, has, presence)
		}
	}
}

// compareAll compares everything, once all has healed and there was time.
func (w *world) compareAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	for name, d := range w.daemons {
		got, want := map[string]bool{}, map[string]bool{} // whether degraded
		for _, r := range d.have.Announced() {
			got[r.Prefix.String()] = r.Degraded
		}
		for _, s := range w.model.services {
			for _, r := range s.cfg.Routes(driver.Announced, s.state == api.Degraded) {
				if s.state.Up() && s.cfg.Uses(name) {
					want[r.Prefix.String()] = r.Degraded
				}
			}
		}
		if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
			w.fault("%s announces (-model +daemon):\n%s", name, d)
		}
	}
	for _, s := range w.all {
		p := s.Addresses[0].Prefix
		if has, presence := w.kernel.is(p.String()), w.model.presence(p, now); w.cfg.ManageAddresses && has != presence {
			w.fault("the kernel has %s %s in the end, the model %s", p, has, presence)
		}
	}
}
