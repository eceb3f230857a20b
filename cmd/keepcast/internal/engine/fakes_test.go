package engine

import (
	"context"
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"sync"

	"github.com/keepcast/keepcast/driver"
)

// journal notes who did what, in order.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

func (j *journal) take() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	lines := j.lines
	j.lines = nil
	return lines
}

// fakeKernel is a kernel in memory.
type fakeKernel struct {
	*journal
	mu      sync.Mutex
	have    map[netip.Prefix]driver.Presence
	fail    error // of Shrink and Grow
	mute    error // why it can't be asked
	asked   int   // how often it was
	managed []driver.Route
	changed func()

	reminded func() // what a reminder leads to
}

func (k *fakeKernel) Observe(context.Context) (driver.State, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked++
	if k.mute != nil {
		return driver.State{}, k.mute
	}
	s := driver.State{Interface: "anycast0"}
	for p, presence := range k.have {
		if presence == driver.Absent {
			continue
		}
		s.Routes = append(s.Routes, driver.Route{Prefix: p, Presence: presence})
	}
	return s, nil
}

func (k *fakeKernel) change(want driver.State, grow bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fail != nil {
		return k.fail
	}
	for _, r := range want.Routes {
		if (r.Presence == driver.Announced) == grow && k.have[r.Prefix] != r.Presence {
			k.have[r.Prefix] = r.Presence
			k.add("kernel " + r.Presence.String() + " " + r.Prefix.String())
		}
	}
	return nil
}

func (k *fakeKernel) Shrink(_ context.Context, want driver.State) error { return k.change(want, false) }

func (k *fakeKernel) Grow(_ context.Context, want driver.State) error { return k.change(want, true) }

func (k *fakeKernel) Remind(_ context.Context, want driver.State) error {
	for _, r := range want.Routes {
		k.add("kernel reminds of " + r.Prefix.String())
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.reminded != nil {
		k.reminded()
	}
	return nil
}

func (k *fakeKernel) Recall(_ context.Context, want driver.State) error {
	for _, r := range want.Routes {
		k.add("kernel recalls " + r.Prefix.String())
	}
	return nil
}

func (k *fakeKernel) Watch(ctx context.Context, changed func()) error {
	k.mu.Lock()
	k.changed = changed
	k.mu.Unlock()
	<-ctx.Done()
	return ctx.Err()
}

func (k *fakeKernel) Manage(routes []driver.Route) {
	k.set(func() { k.managed = append(k.managed, routes...) })
}

func (k *fakeKernel) set(f func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f()
}

func (k *fakeKernel) is(prefix string) driver.Presence {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.have[netip.MustParsePrefix(prefix)]
}

// fakeDriver is a routing daemon in memory.
type fakeDriver struct {
	*journal
	name string
	mu   sync.Mutex
	have driver.State
	fail error
	hang bool
	deaf bool // has the gate open, but has not heard of the address
	runs int  // Apply calls that changed something

	neighbors []driver.Neighbor
	filtered  bool // the neighbors that are up are sent nothing
	findings  []driver.Finding
	mute      error // why it can't be asked
}

func (d *fakeDriver) Observe(context.Context) (driver.State, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mute != nil {
		return driver.State{}, d.mute
	}
	if d.deaf {
		return driver.State{}, nil
	}
	seen := d.have
	seen.Routes = slices.Clone(seen.Routes)
	seen.Neighbors, seen.Findings = d.neighbors, d.findings
	for i := range seen.Routes {
		for _, n := range d.neighbors {
			if n.Up && n.Takes(seen.Routes[i].Prefix) && !d.filtered {
				seen.Routes[i].ExportedTo = append(seen.Routes[i].ExportedTo, n.Name)
			}
		}
	}
	return seen, nil
}

func (d *fakeDriver) Apply(ctx context.Context, want driver.State) error {
	d.mu.Lock()
	hang, fail := d.hang, d.fail
	d.mu.Unlock()
	if hang {
		<-ctx.Done()
		return ctx.Err()
	}
	if fail != nil {
		return fail
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if reflect.DeepEqual(d.have.Announced(), want.Announced()) {
		return nil
	}
	d.have = want
	d.runs++
	line := d.name
	for _, r := range want.Announced() {
		line += " " + r.Prefix.String()
		if r.Degraded {
			line += "(degraded)"
		}
	}
	d.add(line)
	return nil
}

func (d *fakeDriver) set(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
}

// fakeCheck is a check whose result the test sets.
type fakeCheck struct {
	mu   sync.Mutex
	err  error
	runs int
}

func (c *fakeCheck) Check(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.runs++
	return c.err
}

// ran returns how often it ran since the last call.
func (c *fakeCheck) ran() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.runs
	c.runs = 0
	return n
}

func (c *fakeCheck) set(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
}

var errDead = errors.New("connection refused")
