package engine

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver"
)

// Kernel is the kernel's side of a change: addresses, and the local delivery
// of those that are not announced. *driver.Kernel is one.
type Kernel interface {
	Manage(routes []driver.Route) // look at the interfaces of these from now on
	Observe(ctx context.Context) (driver.State, error)
	Shrink(ctx context.Context, want driver.State) error // what goes away
	Grow(ctx context.Context, want driver.State) error   // what is new
	Remind(ctx context.Context, want driver.State) error // what daemons may have missed
	Watch(ctx context.Context, changed func()) error
}

// kernelName is the kernel's name among the drivers, in metrics and status.
const kernelName = "kernel"

// gateLimit is how long the addresses that are new wait for the daemons' gates.
// A daemon that is slower than this does not hold up what other daemons announce.
const gateLimit = time.Second

// reconciler moves the host to the newest wanted state: first the kernel
// removes the addresses that go, then each daemon gets its gate, then the
// kernel adds the addresses that are new. So there is never a moment when the
// wrong thing is announced, and a withdrawal never waits for a daemon.
type reconciler struct {
	kernel  Kernel // nil: somebody else manages the addresses
	log     *slog.Logger
	metrics *Metrics
	report  func(driverReport)

	inbox   mailbox[task]
	drivers mailbox[[]config.Driver]
	poked   bell
	tried   chan driverReport

	// What follows belongs to run.
	now      task
	workers  map[string]*worker
	gatesBy  time.Time // when growing stops waiting for the gates
	grown    bool
	failures int
	acted    time.Time // when the kernel was last told or looked at
	state    driverReport
}

func newReconciler(kernel Kernel, log *slog.Logger, metrics *Metrics, report func(driverReport)) *reconciler {
	return &reconciler{
		kernel: kernel, log: log, metrics: metrics, report: report,
		inbox: newMailbox[task](), drivers: newMailbox[[]config.Driver](),
		poked: newBell(), tried: make(chan driverReport),
		workers: map[string]*worker{}, state: driverReport{name: kernelName}, grown: true,
	}
}

// run is the reconciler's goroutine. It ends when ctx is done, leaving the host
// as it is.
func (r *reconciler) run(ctx context.Context) {
	var watching sync.WaitGroup
	defer watching.Wait()
	defer r.retire(func(config.Driver) bool { return true })
	if r.kernel != nil {
		watching.Go(func() { keepWatching(ctx, r.log.With("driver", kernelName), r.kernel.Watch, r.poked.ring) })
	}
	timer := time.NewTimer(lookEvery)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case list := <-r.drivers:
			r.employ(ctx, list)
		case t := <-r.inbox:
			r.take(ctx, t)
		case d := <-r.tried:
			r.heard(ctx, d)
		case <-r.poked:
			r.repair(ctx)
		case <-timer.C:
			r.repair(ctx)
		}
		if r.now.gen > 0 && !r.grown && r.gatesDone() {
			r.grow(ctx)
		}
		timer.Reset(r.next())
	}
}

// next is the time until something is to be done without being asked. What the
// workers report meanwhile does not put it off.
func (r *reconciler) next() time.Duration {
	switch {
	case r.failures > 0:
		return time.Until(r.acted.Add(backoff(spacing, lookEvery, r.failures)))
	case !r.grown && r.now.gen > 0:
		return max(time.Until(r.gatesBy), time.Millisecond)
	}
	return time.Until(r.acted.Add(lookEvery))
}

// take starts on a new wanted state.
func (r *reconciler) take(ctx context.Context, t task) {
	r.now, r.acted = t, time.Now()
	if r.grown { // else one that hangs could put off growing with every change
		r.gatesBy = time.Now().Add(gateLimit)
	}
	r.grown, r.failures = false, 0
	if r.kernel != nil {
		r.shrink(ctx)
	}
	for name, w := range r.workers {
		w.inbox.put(r.now.of(name))
	}
}

// shrink removes what goes away; grow tells whether that brought the kernel in step.
func (r *reconciler) shrink(ctx context.Context) {
	if err := r.kernel.Shrink(ctx, r.now.want); err != nil {
		r.failed(ctx, err)
	}
}

// heard takes a worker's report.
func (r *reconciler) heard(ctx context.Context, d driverReport) {
	if w, ok := r.workers[d.name]; ok {
		w.seen = d.gen
	}
	r.report(d)
	if r.kernel == nil || !r.grown || len(d.missed) == 0 {
		return
	}
	r.log.Warn("daemon does not know addresses that are on the host, telling it again", "driver", d.name, "addresses", len(d.missed))
	r.metrics.repaired(d.name)
	if err := r.kernel.Remind(ctx, driver.State{Interface: r.now.want.Interface, Routes: d.missed}); err != nil {
		r.failed(ctx, err)
	}
}

// gatesDone reports whether the addresses that are new may be added.
func (r *reconciler) gatesDone() bool {
	if !time.Now().Before(r.gatesBy) {
		return true
	}
	for _, w := range r.workers {
		if w.seen < r.now.gen {
			return false
		}
	}
	return true
}

// grow adds what is new, and everything that is missing with it.
func (r *reconciler) grow(ctx context.Context) {
	r.grown, r.acted = true, time.Now()
	if r.kernel != nil {
		start := r.acted
		// Shrink again: what failed before, or was undone, is done now.
		err := errors.Join(r.kernel.Shrink(ctx, r.now.want), r.kernel.Grow(ctx, r.now.want))
		r.metrics.applied(kernelName, time.Since(start), err)
		if err != nil {
			r.failed(ctx, err)
		} else {
			r.succeeded()
		}
		r.see(ctx)
	}
	for _, w := range r.workers {
		w.look.ring()
	}
}

// failed notes that the kernel refused; next retries it.
func (r *reconciler) failed(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	r.failures++
	if r.state.err == nil {
		r.log.Error("kernel not in step, retrying", "driver", kernelName, "err", err)
		r.state.since = time.Now()
	}
	r.state.err, r.state.inSync = err, false
	r.report(r.state)
}

func (r *reconciler) succeeded() {
	if r.state.err != nil {
		r.log.Info("kernel in step again", "driver", kernelName, "after", r.failures)
	}
	if r.state.err != nil || r.state.since.IsZero() {
		r.state.since = time.Now()
	}
	r.failures = 0
	r.state.err, r.state.inSync, r.state.gen = nil, true, r.now.gen
}

// repair compares the host with what is wanted and mends it. Own changes bring
// it here too, and are found to be right.
func (r *reconciler) repair(ctx context.Context) {
	r.acted = time.Now()
	switch {
	case r.kernel == nil || r.now.gen == 0:
		return
	case !r.grown:
		r.shrink(ctx)
		return
	case r.failures > 0:
		r.grow(ctx)
		return
	}
	if missing, ok := r.see(ctx); !ok || !missing {
		return
	}
	r.metrics.repaired(kernelName)
	r.log.Warn("addresses changed by somebody else, putting them right", "driver", kernelName)
	r.grow(ctx)
}

// see asks the kernel what is there, reports it, and returns whether that is
// not what is wanted.
func (r *reconciler) see(ctx context.Context) (missing, ok bool) {
	seen, err := r.kernel.Observe(ctx)
	r.state.sight = sightOf(seen, err)
	if err != nil {
		r.failed(ctx, err)
		return false, false
	}
	r.report(r.state)
	return !fulfilled(seen, r.now.want), true
}
