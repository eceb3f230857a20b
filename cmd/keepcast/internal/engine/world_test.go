package engine

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/keepcast/keepcast/checks"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/reconcile"
	"github.com/keepcast/keepcast/driver"
)

// world is an engine among faked checks, kernel and daemons, and the model beside it.
type world struct {
	*harness
	all     []config.Service // also those that are not configured now
	daemons map[string]*worldDriver
	steps   int
	healthy time.Time // since when the kernel does as it is told

	mu     sync.Mutex // the checks and the drivers tell the model, too
	model  model
	good   map[string]bool // what each check finds, by service and name
	faults []string
}

func newWorld(t *testing.T, managed bool) *world {
	w := &world{harness: newHarness(t), daemons: map[string]*worldDriver{}, good: map[string]bool{}}
	w.cfg.ManageAddresses, w.keep = managed, true
	w.watched = &worldKernel{w.kernel, w}
	follows := &worldDriver{fakeDriver: w.driver, world: w}
	w.cfg.Drivers[0].Driver = follows
	other := &worldDriver{fakeDriver: &fakeDriver{journal: w.kernel.journal, name: "other"}, world: w}
	w.addDriver("other", other)
	w.daemons["bird"], w.daemons["other"] = follows, other

	// The times are such that nothing is due at the moment when a check runs.
	dns := w.service("dns", "192.0.2.1/32", nil, nil)
	dns.Linger, dns.HoldDown, dns.HoldDownMax = 9997*time.Millisecond, 4003*time.Millisecond, 60007*time.Millisecond
	web := w.service("web", "192.0.2.2/32", nil, nil)
	web.Linger, web.WhileWithdrawn = 3001*time.Millisecond, "absent"
	web.Checks[1].OnFailure = "degrade"
	web.Prefixes = []config.Prefix{{Prefix: netip.MustParsePrefix("203.0.113.0/24")}}
	ldap := w.service("ldap", "2001:db8::3/128", nil, nil, nil)
	ldap.Linger, ldap.HoldDown, ldap.HoldDownMax = 0, 1007*time.Millisecond, 5003*time.Millisecond
	ldap.Drivers = []string{"other"}
	if err := ldap.Require.UnmarshalText([]byte("2")); err != nil {
		t.Fatal(err)
	}
	for i := range w.cfg.Services {
		s := &w.cfg.Services[i]
		for j := range s.Checks {
			c := &s.Checks[j]
			c.Rise, c.Fall = 1+(i+j)%3, 1+j%2
			w.newChecker(s, c)
		}
	}
	w.all = slices.Clone(w.cfg.Services)
	w.model = model{services: map[string]*modelled{}, drains: map[string]map[string]time.Time{"dns": {}, "web": {}, "ldap": {}}, leaving: map[netip.Prefix]time.Time{}}
	return w
}

// worldCheck tells the model what it finds.
type worldCheck struct {
	world         *world
	service, name string
	written       int // the number of its settings
}

// newChecker gives a check settings that it did not have before.
func (w *world) newChecker(s *config.Service, c *config.Check) {
	w.steps++
	c.Raw = map[string]any{"number": w.steps}
	c.Checker = &worldCheck{world: w, service: s.Name, name: c.Name, written: w.steps}
}

func (c *worldCheck) Check(context.Context) error {
	w := c.world
	w.mu.Lock()
	defer w.mu.Unlock()
	good := w.good[c.service+c.name]
	now := time.Now()
	w.model.advance(now)
	if s := w.model.services[c.service]; s != nil {
		for i, cfg := range s.cfg.Checks {
			if cfg.Name == c.name && cfg.Checker == checks.Checker(c) {
				s.checks[i].add(good, cfg.Schedule, now)
			}
		}
	}
	w.model.advance(now)
	if good {
		return nil
	}
	return errDead
}

// worldDriver has the model look at what it is told to announce.
type worldDriver struct {
	*fakeDriver
	world   *world
	changed func()
	end     chan error // of the watch
}

func (d *worldDriver) Apply(ctx context.Context, desired driver.State) error {
	d.world.judge(d.name, desired)
	return d.fakeDriver.Apply(ctx, desired)
}

func (d *worldDriver) Watch(ctx context.Context, changed func()) error {
	end := make(chan error, 1)
	d.set(func() { d.changed, d.end = changed, end })
	select {
	case <-ctx.Done():
		return nil
	case err := <-end:
		return err
	}
}

// worldKernel has the model look at what it is told to announce.
type worldKernel struct {
	*fakeKernel
	world *world
}

func (k *worldKernel) Grow(ctx context.Context, desired driver.State) error {
	k.world.judge(reconcile.KernelName, desired)
	return k.fakeKernel.Grow(ctx, desired)
}

// judge notes what is to be announced although the model forbids it.
func (w *world) judge(by string, desired driver.State) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	w.model.advance(now)
	for _, r := range desired.Announced() {
		if w.model.forbids(r.Prefix, now) {
			w.fault("%s is told to announce %s", by, r.Prefix)
		}
	}
}

// fault notes what went wrong, with the model and the log.
func (w *world) fault(format string, args ...any) {
	w.faults = append(w.faults, time.Now().Format("15:04:05.000000 ")+fmt.Sprintf(format, args...)+w.describe())
}

// describe returns the model and the log as text.
func (w *world) describe() string {
	text := "\nmodel:"
	for _, s := range w.all {
		if m := w.model.services[s.Name]; m != nil {
			text += fmt.Sprintf(" %s %s %+v held %s,", s.Name, m.state, m.checks, m.held().Format("05.000"))
		}
	}
	return text + "\nlog:\n" + w.log.String()
}

// has tells whether the host announces an address, as keepcast finds it at its start.
func (w *world) has(p netip.Prefix) bool {
	if w.cfg.ManageAddresses {
		return w.kernel.is(p.String()) == driver.Announced
	}
	for _, d := range w.daemons {
		observed, err := d.Observe(context.Background())
		if err == nil && (driver.State{Routes: observed.Announced()}).Managed()[p] {
			return true
		}
	}
	return false
}

// tell has the watch of a daemon tell a change, or end with an error.
func (d *worldDriver) tell(err error) {
	d.mu.Lock()
	changed, end := d.changed, d.end
	d.mu.Unlock()
	switch {
	case changed == nil: // not watched yet
	case err == nil:
		changed()
	default:
		select {
		case end <- err:
		default:
		}
	}
}

// heal has a daemon work again.
func (w *world) heal(d *worldDriver) {
	d.set(func() { d.fail, d.hang, d.mute = nil, false, nil })
	d.tell(nil)
}

// healKernel has the kernel do again as it is told.
func (w *world) healKernel() {
	failed := false
	w.kernel.set(func() { failed, w.kernel.fail = w.kernel.fail != nil, nil })
	if failed {
		w.healthy = time.Now()
	}
}

// disturb changes an address behind keepcast's back.
func (w *world) disturb(p netip.Prefix, presence driver.Presence) {
	if !w.cfg.ManageAddresses || !slices.ContainsFunc(w.cfg.Services, func(s config.Service) bool { return s.Addresses[0].Prefix == p }) {
		return
	}
	w.kernel.set(func() { w.kernel.have[p] = presence })
	if w.kernel.changed != nil {
		w.kernel.changed()
	}
}
