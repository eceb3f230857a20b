package engine

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keepcast/keepcast/checks"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
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
	changed func()

	reminded func() // what a reminder leads to
}

func (k *fakeKernel) Observe(context.Context) (driver.State, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var s driver.State
	for p, presence := range k.have {
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

func (k *fakeKernel) Watch(ctx context.Context, changed func()) error {
	k.mu.Lock()
	k.changed = changed
	k.mu.Unlock()
	<-ctx.Done()
	return ctx.Err()
}

func (k *fakeKernel) Manage([]driver.Route) {}

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
}

func (d *fakeDriver) Observe(context.Context) (driver.State, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.deaf {
		return driver.State{}, nil
	}
	return d.have, nil
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

// followingDriver is one whose gate may close late, as BIRD's.
type followingDriver struct{ *fakeDriver }

func (followingDriver) Follows() {}

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

// bench is an engine with everything around it faked.
type bench struct {
	t      *testing.T
	log    bytes.Buffer
	kernel *fakeKernel
	driver *fakeDriver
	cfg    *config.Config
	engine *Engine
	stop   func()
	done   chan error
	keep   bool // what a stop does
	ready  bool

	registry prometheus.Registerer // nil: one that nobody looks at
}

func newBench(t *testing.T) *bench {
	t.Helper()
	j := &journal{}
	b := &bench{
		t:      t,
		kernel: &fakeKernel{journal: j, have: map[netip.Prefix]driver.Presence{}},
		driver: &fakeDriver{journal: j, name: "bird"},
	}
	b.cfg = &config.Config{}
	b.cfg.Interface, b.cfg.ManageAddresses = "anycast0", true
	b.cfg.RuntimeDir, b.cfg.StateDir = t.TempDir(), t.TempDir()
	b.cfg.Drivers = []config.Driver{{Name: "bird", Kind: "bird", Driver: followingDriver{b.driver}, Raw: map[string]any{"kind": "bird"}}}
	return b
}

// service adds a service with one check per given checker, rise 3, fall 2.
func (b *bench) service(name, address string, checkers ...checks.Checker) *config.Service {
	s := config.Service{Name: name, Addresses: []config.Address{{Prefix: netip.MustParsePrefix(address)}}, Raw: map[string]any{"name": name, "addresses": address}}
	s.Linger, s.WhileWithdrawn, s.HoldDownMax = 10*time.Second, "deliver", 5*time.Minute
	s.Degraded.Prepend = 2
	for i, c := range checkers {
		s.Checks = append(s.Checks, config.Check{
			Name: "check" + string(rune('a'+i)), Kind: "fake", OnFailure: "withdraw", Checker: c, Raw: map[string]any{"i": i},
			Schedule: checks.Schedule{Interval: time.Second, FastInterval: 250 * time.Millisecond, Timeout: 500 * time.Millisecond, Rise: 3, Fall: 2},
		})
	}
	b.cfg.Services = append(b.cfg.Services, s)
	return &b.cfg.Services[len(b.cfg.Services)-1]
}

// start runs a new engine; call it in a synctest bubble.
func (b *bench) start() {
	var kernel Kernel
	if b.cfg.ManageAddresses {
		kernel = b.kernel
	}
	if b.registry == nil {
		b.registry = prometheus.NewRegistry()
	}
	b.engine = New(b.cfg, Options{
		Version: "test", Kernel: kernel, Local: func(netip.Addr) error { return nil },
		Log:      slog.New(slog.NewTextHandler(&b.log, &slog.HandlerOptions{Level: slog.LevelInfo})),
		Metrics:  NewMetrics(b.registry),
		Withdraw: func(context.Context) bool { return !b.keep },
		Ready:    func() { b.ready = true }, Alive: func() {},
	})
	ctx, stop := context.WithCancel(context.Background())
	b.registry = nil
	b.stop, b.done = stop, make(chan error, 1)
	go func() { b.done <- b.engine.Run(ctx) }()
}

// end stops the engine and waits for it.
func (b *bench) end() {
	b.t.Helper()
	b.stop()
	if err := <-b.done; err != nil {
		b.t.Errorf("run: %v", err)
	}
}

// state returns the state and the reason of a service.
func (b *bench) state(name string) (State, string) {
	b.t.Helper()
	s, err := b.engine.Status()
	if err != nil {
		b.t.Fatal(err)
	}
	for _, svc := range s.Services {
		if svc.Name == name {
			return svc.State, svc.Reason
		}
	}
	b.t.Fatalf("no service %s", name)
	return "", ""
}

func (b *bench) want(name string, state State, reason string) {
	b.t.Helper()
	if s, r := b.state(name); s != state || r != reason {
		b.t.Errorf("%s is %s (%s), want %s (%s)", name, s, r, state, reason)
	}
}

func (b *bench) wantKernel(prefix string, want driver.Presence) {
	b.t.Helper()
	if got := b.kernel.is(prefix); got != want {
		b.t.Errorf("kernel has %s %s, want %s", prefix, got, want)
	}
}
