package engine

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keepcast/keepcast/checks"
	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/reconcile"
	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// harness is an engine with everything around it faked.
type harness struct {
	t       *testing.T
	log     drivertest.Buffer
	level   slog.LevelVar // info unless a test sets it
	kernel  *fakeKernel
	driver  *fakeDriver
	watched reconcile.Kernel // in place of kernel, if it is not nil
	cfg     *config.Config
	engine  *Engine
	stop    func()
	done    chan error
	keep    bool // what a stop does
	ready   atomic.Bool

	registry prometheus.Registerer // nil: one that nobody looks at
	options  func(*Options)        // what a test wants otherwise; nil: nothing
	made     func(*Engine)         // changes an engine that was just made
}

func newHarness(t *testing.T) *harness {
	t.Helper()
	j := &journal{}
	b := &harness{
		t:      t,
		kernel: &fakeKernel{journal: j, have: map[netip.Prefix]driver.Presence{}},
		driver: &fakeDriver{journal: j, name: "bird"},
	}
	b.cfg = &config.Config{Text: func() ([]byte, error) { return nil, nil }}
	b.cfg.Interface, b.cfg.ManageAddresses = "anycast0", true
	b.cfg.RuntimeDir, b.cfg.StateDir = t.TempDir(), t.TempDir()
	b.cfg.Drivers = []config.Driver{{Name: "bird", Kind: "bird", Driver: b.driver, Traits: driver.Traits{FollowsAddress: true}, Raw: map[string]any{"kind": "bird"}}}
	return b
}

// addDriver adds a second routing daemon.
func (b *harness) addDriver(name string, d driver.Driver) {
	b.cfg.Drivers = append(b.cfg.Drivers, config.Driver{Name: name, Kind: name, Driver: d, Raw: map[string]any{"kind": name}})
}

// service adds a service with one check per given checker, rise 3, fall 2.
func (b *harness) service(name, address string, checkers ...checks.Checker) *config.Service {
	s := config.Service{Name: name, Addresses: []config.Address{{Prefix: netip.MustParsePrefix(address)}}}
	s.Linger, s.WhileWithdrawn, s.HoldDownMax = 10*time.Second, "deliver", 5*time.Minute
	s.Degraded.Prepend = 2
	for i, c := range checkers {
		s.Checks = append(s.Checks, config.Check{
			Name: "check" + string(rune('a'+i)), Kind: "fake", OnFailure: "withdraw", Checker: c, Raw: map[string]any{"i": i},
			Schedule: health.Schedule{Interval: time.Second, FastInterval: 250 * time.Millisecond, Timeout: 500 * time.Millisecond, Rise: 3, Fall: 2},
		})
	}
	b.cfg.Services = append(b.cfg.Services, s)
	return &b.cfg.Services[len(b.cfg.Services)-1]
}

// create makes a new engine, of which nothing runs.
func (b *harness) create() {
	var kernel reconcile.Kernel
	if b.cfg.ManageAddresses {
		kernel = cmp.Or[reconcile.Kernel](b.watched, b.kernel)
	}
	if b.registry == nil {
		b.registry = prometheus.NewRegistry()
	}
	opts := Options{
		Version: "test", Kernel: kernel, Addresses: func() (on []driver.Route, _ error) {
			for _, s := range b.cfg.Services {
				for _, r := range s.Routes(driver.Announced, false) {
					r.Interface = cmp.Or(r.Interface, b.cfg.Interface)
					on = append(on, r)
				}
			}
			return on, nil
		},
		Local: func(netip.Addr) error { return nil }, VRF: func(string) (string, error) { return "", nil },
		Log:      slog.New(slog.NewTextHandler(&b.log, &slog.HandlerOptions{Level: &b.level})),
		Metrics:  NewMetrics(b.registry),
		Withdraw: func(context.Context, string) bool { return !b.keep },
		Open:     func(config.Driver) {},
		Ready:    func() { b.ready.Store(true) }, Alive: func() {},
	}
	if b.options != nil {
		b.options(&opts)
	}
	b.registry = nil
	b.ready.Store(false)
	b.engine = New(b.cfg, opts)
	if b.made != nil {
		b.made(b.engine)
	}
}

// start runs a new engine; call it in a synctest bubble.
func (b *harness) start() {
	b.create()
	ctx, stop := context.WithCancel(context.Background())
	b.stop, b.done = stop, make(chan error, 1)
	go func() { b.done <- b.engine.Run(ctx) }()
}

// end stops the engine and waits for it.
func (b *harness) end() {
	b.t.Helper()
	b.endLeaving("")
}

// endLeaving stops the engine while something can't be withdrawn, which it has to name.
func (b *harness) endLeaving(left string) {
	b.t.Helper()
	want := ""
	if left != "" {
		want = "stopped, but not everything is withdrawn: " + left
	}
	b.stop()
	err := <-b.done
	if got := drivertest.ErrText(err); got != want || errors.Is(err, ErrNotWithdrawn) != (left != "") {
		b.t.Errorf("run: %s, want %s", got, want)
	}
}

// state returns what is decided of a service, and the reason.
func (b *harness) state(name string) (api.State, string) {
	b.t.Helper()
	s, err := b.engine.Status()
	if err != nil {
		b.t.Fatal(err)
	}
	for _, svc := range s.Services {
		if svc.Name == name {
			return svc.Desired, svc.Reason
		}
	}
	b.t.Fatalf("no service %s", name)
	return "", ""
}

func (b *harness) want(name string, state api.State, reason string) {
	b.t.Helper()
	if s, r := b.state(name); s != state || r != reason {
		b.t.Errorf("%s is %s (%s), want %s (%s)", name, s, r, state, reason)
	}
}

func (b *harness) wantKernel(prefix string, want driver.Presence) {
	b.t.Helper()
	if got := b.kernel.is(prefix); got != want {
		b.t.Errorf("kernel has %s %s, want %s", prefix, got, want)
	}
}

// wantUnmoved checks that no address was moved since the journal was taken last.
func (b *harness) wantUnmoved() {
	b.t.Helper()
	for _, line := range b.kernel.take() {
		if strings.HasPrefix(line, "kernel") {
			b.t.Errorf("moved: %s", line)
		}
	}
}

// wantLog checks how often a text is in the log.
func (b *harness) wantLog(times int, text string) {
	b.t.Helper()
	if got := strings.Count(b.log.String(), text); got != times {
		b.t.Errorf("%d times in the log, want %d: %s\n%s", got, times, text, b.log.String())
	}
}

// reload puts a changed copy of the configuration in force.
func (b *harness) reload(change func(*config.Config)) {
	b.t.Helper()
	cfg := copied(b.cfg)
	change(cfg)
	if err := b.engine.Reload(cfg); err != nil {
		b.t.Fatal(err)
	}
	synctest.Wait()
}
