// Package engine decides: verdicts of the checks and orders of operators come in, the
// desired state of the host goes out. One goroutine owns all state. The checks, the
// reconciler and the commands send it what happened or ask it to do something.
package engine

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/keepcast/keepcast/checks"
	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/checks/sockets"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/reconcile"
	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/pace"
)

// Options are the surroundings of an Engine.
type Options struct {
	Version string
	// Refused says why the configuration of the operator was refused, if the Engine starts
	// with the last good one.
	Refused string
	Kernel  reconcile.Kernel // nil with manage_addresses: false
	// Addresses returns the addresses of the host, each with its interface, if that is up.
	Addresses func() ([]driver.Route, error)
	// Local says why the kernel would not deliver an address on this host, or nil.
	Local func(netip.Addr) error
	// VRF names the VRF that an interface is in, in which its services are probed.
	VRF func(iface string) (string, error)
	// Pulse tells the checks whether keepcast itself is late; nil: it never is.
	Pulse *health.Pulse
	// Sockets wakes the checks whose services stop listening; nil: it wakes none.
	Sockets *sockets.Watch
	Log     *slog.Logger
	Metrics *Metrics
	// Withdraw is asked when the daemon stops, with the on_stop in force: true withdraws
	// everything, false leaves the host as it is. The loop goes on while it is asked.
	Withdraw func(ctx context.Context, onStop string) bool
	// Hurry is closed when a stop is not to wait for linger; nil: never.
	Hurry <-chan struct{}
	// Open gives a driver that the configuration does not have its surroundings.
	Open func(config.Driver)
	// Ready is called once: after the host has been observed, and when what is
	// withdrawn is delivered locally, readyTimeout is over, or a stop begins.
	Ready func()
	// Alive is called by the deciding goroutine at each turn, and at least every
	// AliveEvery: the watchdog hangs on it.
	Alive      func()
	AliveEvery time.Duration
}

// Engine decides the states of the services and has the host kept in sync.
type Engine struct {
	opts    Options
	log     *slog.Logger
	events  chan func()                         // run by the loop, one after the other
	quit    chan struct{}                       // closed when the loop is over
	managed atomic.Pointer[map[netip.Addr]bool] // for the guard of the checks

	published atomic.Pointer[published] // for those who ask
	turn      atomic.Pointer[time.Time] // when the loop turned last

	// What follows belongs to the loop.
	cfg         *config.Config
	services    []*service
	inOrder     []*service // the same, those first on which others depend
	common      *service   // has the checks of the top level that services use; it announces nothing
	leaving     []leaving
	drains      drains
	disk        disk
	reports     map[string]reconcile.Report // the newest of the kernel and of each driver
	departing   map[string]reconcile.Report // those of drivers that left, until their gates are closed
	behind      map[string]time.Time        // who has not reported on the newest desired state, and since when
	reconciler  *reconcile.Reconciler
	running     sync.WaitGroup  // checks and watches
	checking    context.Context // of the checks; done when the loop ends
	posted      reconcile.Desired
	undecided   bool      // something happened that decide has not looked at
	since       time.Time // when the first of it happened; zero: that is not known
	wake        time.Time // when everything is to be decided anew if nothing happens
	untold      []func()  // see afterwards
	started     time.Time
	loaded      time.Time
	reloadError string
	lastGood    bool                      // cfg is the last good one, since that of the operator was bad at the start
	unsaved     map[string]driver.Finding // what can't be written, by what it is
	found       []driver.Finding          // about keepcast itself, see find
	drainError  error                     // why drain.d can't be read
	stopping    bool                      // withdrawing all, then finished
	finished    bool                      // linger is over: take everything off the host
}

// New returns an Engine for cfg that has not started anything.
func New(cfg *config.Config, opts Options) *Engine {
	e := &Engine{
		opts: opts, log: opts.Log, cfg: cfg, events: make(chan func(), 256), quit: make(chan struct{}),
		reports: map[string]reconcile.Report{}, departing: map[string]reconcile.Report{}, behind: map[string]time.Time{},
		drains:  drains{commanded: map[string]order{}, files: map[string]api.Drain{}, ordered: map[string]bool{}},
		unsaved: map[string]driver.Finding{},
	}
	if opts.Sockets == nil {
		e.opts.Sockets = sockets.New(opts.Local)
	}
	e.disk = e.newDisk(cfg)
	e.reloadError, e.lastGood = opts.Refused, opts.Refused != ""
	e.reconciler = reconcile.New(reconcile.Options{
		Kernel: opts.Kernel, Addresses: opts.Addresses, Log: opts.Log, Metrics: opts.Metrics,
		Report: func(r reconcile.Report) { e.post(func() { e.receive(r) }) },
	})
	return e
}

// Run observes the host, adopts what is there, and keeps it in sync until ctx is done.
// Then it withdraws or keeps everything, as Options.Withdraw says.
func (e *Engine) Run(ctx context.Context) error {
	// What is under way must outlive ctx: a stop that withdraws still decides.
	alive, end := context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		if !pace.Within(endLimit, e.running.Wait) {
			e.log.Error("a check or a file hangs, ending without it")
		}
	}()
	defer end()
	defer close(e.quit)
	e.checking = checks.WithGuard(alive, e.guard())
	e.started, e.loaded = time.Now(), time.Now()
	if err := e.start(ctx); err != nil {
		return err
	}
	for _, name := range e.expected() {
		e.opts.Metrics.beginDriver(name)
	}
	e.running.Go(func() { e.reconciler.Run(alive) })
	e.running.Go(func() { e.disk.run(alive) })
	if dir := e.cfg.DrainDir; dir != "" {
		e.running.Go(func() { e.followDrains(alive, dir) })
	}
	started := 0
	for _, s := range append([]*service{e.common}, e.services...) {
		for _, c := range s.checks {
			e.startCheck(c, time.Duration(started/startedTogether)*startedAfter)
			started++
		}
	}
	for _, s := range e.services {
		e.opts.Metrics.begin(s.cfg)
	}
	e.attach()
	e.decide()
	// Services that are ordered after keepcast bind to their addresses at once: so
	// these are delivered before it is ready.
	e.loop(ctx.Done(), time.Now().Add(readyTimeout), e.delivered)
	e.opts.Ready()
	e.loop(ctx.Done(), time.Time{}, func() bool { return false })
	if e.toWithdraw(alive) {
		return e.withdrawAll()
	}
	return nil
}

// toWithdraw asks whether the stop withdraws everything, and goes on deciding meanwhile:
// the service manager has to be asked, and may not answer at once.
func (e *Engine) toWithdraw(ctx context.Context) (withdraw bool) {
	asked, onStop := false, e.cfg.OnStop
	withdraw = true // unless it is told otherwise
	e.running.Go(func() {
		answer := e.opts.Withdraw(ctx, onStop)
		e.post(func() { withdraw, asked = answer, true })
	})
	e.loop(nil, time.Now().Add(askLimit), func() bool { return asked })
	return withdraw
}

// askLimit is how long a stop waits to be told whether it withdraws.
const askLimit = 5 * time.Second

// endLimit is how long an end waits for what was told to end: the reconciler has the
// longest way, since it waits for drivers.
const endLimit = 10 * time.Second

// readyTimeout is how long keepcast waits for the kernel before it is ready.
const readyTimeout = 5 * time.Second

// delivered reports whether the kernel has been brought in sync for the first time.
func (e *Engine) delivered() bool {
	return e.opts.Kernel == nil || e.reports[reconcile.KernelName].Gen > 0
}

// start builds the services and adopts the host. It tries until the host can be
// observed: deciding anything before would be deciding blindly.
func (e *Engine) start(ctx context.Context) error {
	now := time.Now()
	e.common = newService(&config.Service{Checks: e.cfg.Used()}, now)
	for i := range e.cfg.Services {
		e.services = append(e.services, newService(&e.cfg.Services[i], now))
	}
	for _, s := range append([]*service{e.common}, e.services...) {
		for i := range s.cfg.Checks {
			s.checks = append(s.checks, newCheck(&s.cfg.Checks[i], s))
		}
	}
	e.link()
	e.setManaged()
	last := e.loadState(now)
	commanded, files := e.loadDrains(last, now)
	host, err := e.observe(ctx, last)
	if err != nil {
		return err
	}
	e.adopt(host, last, now)
	e.resume(last)
	e.holdBack(commanded, files, now)
	e.disk.keep(e.cfg)
	return nil
}

// observeRetry is the shortest wait before the host is observed again.
const observeRetry = 100 * time.Millisecond

// observe asks the kernel, or where somebody else manages the addresses the daemons,
// what is announced now.
func (e *Engine) observe(ctx context.Context, last saved) (driver.State, error) {
	if e.opts.Kernel == nil {
		return e.observeDaemons(ctx), nil
	}
	e.opts.Kernel.Manage(e.desired(e.started).Routes)
	for _, old := range last.Services { // it may have had another interface
		e.opts.Kernel.Manage([]driver.Route{{Interface: old.Interface}})
	}
	for failures := 1; ; failures++ {
		observed, err := e.opts.Kernel.Observe(ctx)
		if err == nil {
			return observed, nil
		}
		if failures == 1 {
			e.log.Error("host can't be observed, trying again", "err", err)
		}
		if !pace.Wait(ctx, pace.Backoff(observeRetry, reconcile.Interval, failures)) {
			return driver.State{}, ctx.Err()
		}
	}
}

// askDaemon is how long a start waits for what one daemon announces.
const askDaemon = 5 * time.Second

// observeDaemons asks all daemons, side by side, what they announce. Of one that does not
// answer in time its worker will say so.
func (e *Engine) observeDaemons(ctx context.Context) (all driver.State) {
	ctx, cancel := context.WithTimeout(ctx, askDaemon)
	defer cancel()
	answers := make([]driver.State, len(e.cfg.Drivers))
	_ = pace.SideBySide(e.cfg.Drivers, func(i int, d config.Driver) error {
		answers[i], _ = d.Driver.Observe(ctx)
		return nil
	})
	for _, observed := range answers {
		all.Routes = append(all.Routes, observed.Routes...)
	}
	return all
}
