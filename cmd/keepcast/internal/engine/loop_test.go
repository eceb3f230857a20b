package engine

import (
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/reconcile"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/store"
)

// turns counts the turns of the loop, and notes the longest time between two.
type turns struct {
	count   int
	last    time.Time
	longest time.Duration
}

func (n *turns) alive() {
	now := time.Now()
	if !n.last.IsZero() {
		n.longest = max(n.longest, now.Sub(n.last))
	}
	n.count, n.last = n.count+1, now
}

// The watchdog is fed in time also where nothing happens.
func TestAlive(t *testing.T) {
	for name, tc := range map[string]struct{ every, want time.Duration }{
		"often":             {4 * time.Second, 4 * time.Second},
		"without a limit":   {0, beat},
		"less than by that": {time.Hour, beat},
	} {
		t.Run(name, func(t *testing.T) {
			b := newHarness(t)
			b.cfg.ManageAddresses, b.cfg.Drivers = false, nil
			synctest.Test(t, func(t *testing.T) {
				var n turns
				b.options = func(o *Options) { o.Alive, o.AliveEvery = n.alive, tc.every }
				b.start()
				later(10 * time.Minute)
				if n.longest != tc.want {
					t.Errorf("the longest turn took %s, want %s", n.longest, tc.want)
				}
				b.end()
			})
		})
	}
}

// What waits already is run in the same turn.
func TestBurstTakesOneTurn(t *testing.T) {
	b := newHarness(t)
	synctest.Test(t, func(t *testing.T) {
		var n turns
		b.options = func(o *Options) { o.Alive = n.alive }
		b.start()
		later(time.Second)
		before, ran := n.count, 0
		err := b.engine.call(func() {
			for range 10 {
				b.engine.post(func() { ran++ })
			}
		})
		synctest.Wait()
		if took := n.count - before; err != nil || ran != 10 || took != 1 {
			t.Errorf("%d ran in %d turns, %v", ran, took, err)
		}
		b.end()
	})
}

// The loop sleeps until the first thing that changes by itself.
func TestDeadline(t *testing.T) {
	const sec = time.Second
	now := time.Now()
	drain := func(e *Engine, after time.Duration) {
		e.drains.commanded["dns"] = order{Drain: api.Drain{Service: "dns", Until: now.Add(after)}}
	}
	linger := func(e *Engine, after time.Duration) { e.services[0].lingerUntil = now.Add(after) }
	hold := func(e *Engine, after time.Duration) {
		e.services[0].hold = hold{first: 20 * sec, most: time.Minute, failures: 1, last: now.Add(after - 20*sec)}
	}
	leave := func(e *Engine, after time.Duration) { e.leaving = append(e.leaving, leaving{Until: now.Add(after)}) }
	for name, tc := range map[string]struct {
		by   func(*Engine)
		want time.Duration
	}{
		"nothing":                   {func(*Engine) {}, reconcile.Interval},
		"end of a drain":            {func(e *Engine) { drain(e, 7*sec) }, 7 * sec},
		"a drain without an end":    {func(e *Engine) { e.drains.commanded["dns"] = order{Drain: api.Drain{Service: "dns"}} }, reconcile.Interval},
		"end of linger":             {func(e *Engine) { linger(e, 7*sec) }, 7 * sec},
		"linger is over":            {func(e *Engine) { linger(e, -sec) }, reconcile.Interval},
		"end of hold-down":          {func(e *Engine) { hold(e, 7*sec) }, 7 * sec},
		"hold-down is over":         {func(e *Engine) { hold(e, -sec) }, reconcile.Interval},
		"an address is off":         {func(e *Engine) { leave(e, 7*sec) }, 7 * sec},
		"the watchdog":              {func(e *Engine) { e.opts.AliveEvery = 7 * sec }, 7 * sec},
		"the watchdog has time":     {func(e *Engine) { e.opts.AliveEvery = time.Hour }, reconcile.Interval},
		"the first of several":      {func(e *Engine) { drain(e, 9*sec); linger(e, 8*sec); hold(e, 10*sec); leave(e, 11*sec) }, 8 * sec},
		"the first of what leaves":  {func(e *Engine) { leave(e, 9*sec); leave(e, 8*sec); leave(e, 10*sec) }, 8 * sec},
		"a drain by a file as well": {func(e *Engine) { e.drains.files["dns"] = api.Drain{Service: "dns"}; drain(e, 7*sec) }, 7 * sec},
	} {
		t.Run(name, func(t *testing.T) {
			b := newHarness(t)
			b.service("dns", address)
			b.create()
			if err := b.engine.start(t.Context()); err != nil {
				t.Fatal(err)
			}
			tc.by(b.engine)
			if got := b.engine.deadline(now).Sub(now); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

func TestEarlier(t *testing.T) {
	now := time.Now()
	soon, late := now.Add(time.Second), now.Add(time.Minute)
	for name, tc := range map[string]struct{ best, t, want time.Time }{
		"sooner":  {late, soon, soon},
		"later":   {soon, late, soon},
		"first":   {time.Time{}, soon, soon},
		"zero":    {late, time.Time{}, late},
		"past":    {late, now.Add(-time.Second), late},
		"now":     {late, now, late},
		"neither": {time.Time{}, now, time.Time{}},
	} {
		if got := earlier(tc.best, tc.t, now); got != tc.want {
			t.Errorf("%s: got %v, want %v", name, got, tc.want)
		}
	}
}

// A drain ends at its moment, not at the next one at which all is decided anew.
func TestDrainEndsInTime(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address)
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(time.Second)
		if err := b.engine.Drain(nil, time.Now().Add(17*time.Second), "", ""); err != nil {
			t.Fatal(err)
		}
		later(17*time.Second - 1)
		if s, _ := b.state("dns"); s != api.Withdrawn {
			t.Errorf("%s before the end", s)
		}
		later(1)
		b.want("dns", api.Announced, "all checks up")
		b.end()
	})
}

// What leaves is forgotten once it is off the host for sure, and not before.
func TestForgetLeft(t *testing.T) {
	now := time.Now()
	for name, tc := range map[string]struct {
		kernel, bird reconcile.Report
		left         time.Duration // since the end of its linger
		forgotten    bool
	}{
		"all follow":              {reconcile.Report{Gen: 7, InSync: true}, reconcile.Report{Gen: 7, InSync: true}, reconcile.Interval + 1, true},
		"all follow, but not yet": {reconcile.Report{Gen: 7, InSync: true}, reconcile.Report{Gen: 7, InSync: true}, reconcile.Interval, false},
		"the kernel is behind":    {reconcile.Report{Gen: 6, InSync: true}, reconcile.Report{Gen: 7, InSync: true}, time.Hour, false},
		"the kernel refuses":      {reconcile.Report{Gen: 7}, reconcile.Report{Gen: 7, InSync: true}, time.Hour, false},
		"a daemon is behind":      {reconcile.Report{Gen: 7, InSync: true}, reconcile.Report{Gen: 6, InSync: true}, time.Hour, false},
		"a daemon refuses":        {reconcile.Report{Gen: 7, InSync: true}, reconcile.Report{Gen: 7}, time.Hour, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newHarness(t)
			b.create()
			e := b.engine
			e.posted.Gen = 7
			e.reports = map[string]reconcile.Report{reconcile.KernelName: tc.kernel, "bird": tc.bird}
			e.leaving = []leaving{{Until: now.Add(-tc.left)}, {Until: now}}
			e.forgetLeft(now)
			if forgotten := len(e.leaving) == 1; forgotten != tc.forgotten || e.leaving[len(e.leaving)-1].Until != now {
				t.Errorf("left are %v", e.leaving)
			}
		})
	}
}

// The state is saved when it changes, and a fault with that is logged once.
func TestStateIsSaved(t *testing.T) {
	b := newHarness(t)
	c := &fakeCheck{}
	b.service("dns", address, c)
	b.keep = true
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2 * time.Second)
		dir := b.cfg.RuntimeDir
		if s, err := loadSaved(dir); err != nil || len(s.Services) != 1 || s.Services[0].State != api.Announced {
			t.Errorf("saved: %+v, %v", s, err)
		}
		move := func(from, to string) {
			t.Helper()
			if err := os.Rename(from, to); err != nil {
				t.Fatal(err)
			}
		}
		move(dir, dir+".away")
		for range 2 {
			c.set(errors.New("timeout"))
			later(3 * time.Second)
			c.set(nil)
			later(3 * time.Second)
		}
		b.wantLog(1, `level=ERROR msg="state not saved: a restart will look at the host alone"`)
		move(dir+".away", dir)
		c.set(errDead)
		later(3 * time.Second)
		b.wantLog(1, `level=INFO msg="state saved again"`)
		move(dir, dir+".away")
		c.set(nil)
		later(3 * time.Second)
		b.wantLog(2, `level=ERROR msg="state not saved: a restart will look at the host alone"`)
		move(dir+".away", dir)
		b.end()
	})
}

// So is a change that the host does not see: a drain whose linger is over.
func TestEndOfLingerIsSaved(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address)
	b.keep = true
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(time.Second)
		if err := b.engine.Drain(nil, time.Time{}, "", ""); err != nil {
			t.Fatal(err)
		}
		later(0) // the state has a goroutine of its own that writes it
		for _, want := range []api.State{api.Draining, api.Withdrawn} {
			if s, err := loadSaved(b.cfg.RuntimeDir); err != nil || s.Services[0].State != want {
				t.Errorf("want %s: %+v, %v", want, s, err)
			}
			later(10 * time.Second)
		}
		b.end()
	})
}

// What is decided anew and is as before is not saved again: a quiet host would write to its
// disk all day.
func TestSavesWhatIsNew(t *testing.T) {
	b := newHarness(t)
	b.keep = true
	c := &fakeCheck{}
	b.service("dns", address, c)
	synctest.Test(t, func(*testing.T) {
		saves := 0
		b.made = func(e *Engine) {
			e.disk.state = store.NewSaver(func(saved) error { saves++; return nil }, func(error) {})
		}
		b.start()
		later(time.Minute)
		before := saves
		b.reload(func(*config.Config) {})
		later(time.Hour)
		if saves != before {
			t.Errorf("saved %d times while nothing changed", saves-before)
		}
		c.set(errDead)
		later(time.Minute)
		if saves == before {
			t.Error("a withdrawal is not saved")
		}
		b.end()
	})
}
