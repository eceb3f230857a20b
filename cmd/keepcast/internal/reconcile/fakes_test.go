package reconcile

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/pace"
)

// watch is a Watch that a test rings, and ends by an error.
type watch struct {
	changed func()
	ends    chan error
	lasts   time.Duration // how long it takes to end once ctx is done
	watched bool
}

func (w *watch) run(ctx context.Context, j *journal, who string, changed func()) error {
	j.set(func() {
		j.note("%s is watched", who)
		w.changed, w.ends, w.watched = changed, make(chan error), true
		j.running++
	})
	defer j.set(func() {
		w.watched = false
		j.running--
	})
	select {
	case err := <-w.ends:
		return err
	case <-ctx.Done():
		time.Sleep(w.lasts)
		return ctx.Err()
	}
}

// fakeKernel is a kernel in memory.
type fakeKernel struct {
	*journal
	watch
	have  map[netip.Prefix]driver.Presence
	fails map[string]error // by what is done: shrink, grow, observe, remind
	hangs string           // what waits for ctx to be done
	slow  time.Duration    // how long Shrink takes
	lag   time.Duration    // how long after it looked Observe returns

	reminded func() // what a reminder leads to; nil: nothing
	recalled func() // what a recall leads to; nil: nothing
}

// try is what each thing to do begins with; it holds the lock after it.
func (k *fakeKernel) try(ctx context.Context, what string) error {
	k.mu.Lock()
	if k.hangs == what {
		k.mu.Unlock()
		<-ctx.Done()
		k.mu.Lock()
		return ctx.Err()
	}
	err := k.fails[what]
	if err != nil {
		k.note("kernel refuses to %s", what)
	}
	return err
}

func (k *fakeKernel) change(ctx context.Context, what string, desired driver.State) error {
	defer k.mu.Unlock()
	if err := k.try(ctx, what); err != nil {
		return err
	}
	for _, r := range desired.Routes {
		if (r.Presence == driver.Announced) == (what == "grow") && !r.PrefixOnly && k.have[r.Prefix] != r.Presence {
			k.have[r.Prefix] = r.Presence
			k.note("kernel has %s %s", r.Prefix, r.Presence)
		}
	}
	return nil
}

func (k *fakeKernel) Shrink(ctx context.Context, desired driver.State) error {
	time.Sleep(k.slow)
	return k.change(ctx, "shrink", desired)
}

func (k *fakeKernel) Grow(ctx context.Context, desired driver.State) error {
	return k.change(ctx, "grow", desired)
}

func (k *fakeKernel) Observe(ctx context.Context) (driver.State, error) {
	defer time.Sleep(k.lag)
	defer k.mu.Unlock()
	if err := k.try(ctx, "observe"); err != nil {
		return driver.State{}, err
	}
	return driver.State{Interface: "anycast0", Routes: k.routes()}, nil
}

func (k *fakeKernel) routes() (all []driver.Route) {
	for p, presence := range k.have {
		if presence != driver.Absent {
			all = append(all, driver.Route{Prefix: p, Presence: presence})
		}
	}
	return all
}

func (k *fakeKernel) Remind(ctx context.Context, desired driver.State) error {
	defer k.mu.Unlock()
	if err := k.try(ctx, "remind"); err != nil {
		return err
	}
	k.note("kernel reminds of %s on %s", prefixes(desired), desired.Interface)
	if k.reminded != nil {
		k.reminded()
	}
	return nil
}

func (k *fakeKernel) Recall(ctx context.Context, desired driver.State) error {
	defer k.mu.Unlock()
	if err := k.try(ctx, "recall"); err != nil {
		return err
	}
	for _, r := range desired.Routes {
		k.note("kernel recalls %s %s on %s", r.Presence, r.Prefix, desired.Interface)
	}
	if k.recalled != nil {
		k.recalled()
	}
	return nil
}

func (k *fakeKernel) Watch(ctx context.Context, changed func()) error {
	return k.run(ctx, k.journal, "kernel", changed)
}

func (k *fakeKernel) Manage([]driver.Route) {}

// fakeDriver is a routing daemon in memory. It is a bare Driver.
type fakeDriver struct {
	*journal
	name  string
	have  driver.State  // what it was last made to load
	fails error         // of Apply
	hangs string        // what waits for ctx to be done: apply, observe
	slow  time.Duration // how long Apply takes, whatever ctx is
	loads time.Duration // and how long it takes beside that, unless ctx is done before
	asked time.Duration // how long Observe takes
	calls int           // of Apply
	busy  bool

	deaf      bool  // has the gate open, but has not heard of the address
	mute      error // of Observe
	neighbors []driver.Neighbor
	filtered  bool // the neighbors that are up are sent nothing
	findings  []driver.Finding
	kept      []driver.Route // announced whatever it is made to load
	recall    []netip.Prefix
	tell      bool // note each observation, too
}

// enter and leave see to it that one goroutine at a time calls the driver.
func (d *fakeDriver) enter() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.busy {
		d.faults = append(d.faults, d.name+" is called by two at a time")
	}
	d.busy = true
	d.running++
}

func (d *fakeDriver) leave() {
	d.set(func() {
		d.busy = false
		d.running--
	})
}

func (d *fakeDriver) hang(ctx context.Context, what string) error {
	d.mu.Lock()
	hangs := d.hangs == what
	if hangs {
		d.note("%s hangs", d.name)
	}
	d.mu.Unlock()
	if !hangs {
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

func (d *fakeDriver) Apply(ctx context.Context, desired driver.State) error {
	d.enter()
	defer d.leave()
	var slow, loads time.Duration
	d.set(func() {
		d.calls++
		slow, loads = d.slow, d.loads
	})
	time.Sleep(slow)
	if loads > 0 && !pace.Wait(ctx, loads) {
		return ctx.Err()
	}
	if err := d.hang(ctx, "apply"); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fails != nil {
		d.note("%s refuses", d.name)
		return d.fails
	}
	if have := prefixes(desired); prefixes(d.have) != have {
		d.note("%s has %s", d.name, have)
	}
	d.have = desired
	return nil
}

func (d *fakeDriver) Observe(ctx context.Context) (driver.State, error) {
	d.enter()
	defer d.leave()
	if err := d.hang(ctx, "observe"); err != nil {
		return driver.State{}, err
	}
	var asked time.Duration
	d.set(func() { asked = d.asked })
	time.Sleep(asked)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.tell {
		d.note("%s is asked", d.name)
	}
	s := driver.State{Neighbors: d.neighbors, Findings: d.findings, Routes: slices.Clone(d.kept), Recall: d.recall}
	if d.mute != nil || d.deaf {
		return s, d.mute
	}
	for _, r := range d.have.Announced() {
		for _, n := range d.neighbors {
			if n.Up && n.Takes(r.Prefix) && !d.filtered {
				r.ExportedTo = append(r.ExportedTo, n.Name)
			}
		}
		s.Routes = append(s.Routes, r)
	}
	return s, nil
}

// watchedDriver is a fakeDriver that is also a Watcher and an Opener.
type watchedDriver struct {
	*fakeDriver
	watch
	closing error
}

func (d *watchedDriver) Watch(ctx context.Context, changed func()) error {
	return d.run(ctx, d.journal, d.name, changed)
}

func (d *watchedDriver) Open(driver.Options) {}

func (d *watchedDriver) Close() error {
	d.enter()
	defer d.leave()
	d.set(func() {
		if d.watched {
			d.faults = append(d.faults, d.name+" is let go of while it is watched")
		}
		d.note("%s is disconnected", d.name)
	})
	return d.closing
}

// prefixes are the announced prefixes of a state; a star marks those with attributes.
func prefixes(s driver.State) string {
	var out []string
	for _, r := range s.Announced() {
		text := r.Prefix.Masked().String()
		if !r.Attributes.IsZero() {
			text += "*"
		}
		out = append(out, text)
	}
	if out == nil {
		return "nothing"
	}
	return strings.Join(out, " ")
}
