// Package reconcile acts: it moves the host to the newest desired state, retries what
// fails, and repairs what somebody else changed. It knows no check, and of a service
// only its name: a state comes in, reports go out.
//
// One goroutine runs the Reconciler, which alone changes the kernel. Each driver has
// a worker with a goroutine of its own, so that a daemon that hangs holds up nobody.
package reconcile

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/pace"
)

// KernelName is the name of the kernel among the drivers, in reports and metrics.
const KernelName = "kernel"

// Interval is how often everything is compared without a reason.
const Interval = 30 * time.Second

// gateLimit is how long the addresses that are new wait for the gates of the daemons.
// A daemon that is slower does not hold up what other daemons announce.
const gateLimit = time.Second

// Metrics counts what a Reconciler does, by the name of the driver.
type Metrics interface {
	Applied(driver string, took time.Duration, err error)
	Repaired(driver string)
	// Reached is told how long it took from the result of a check, or an order, until the
	// kernel is told what follows from it.
	Reached(after time.Duration)
}

// Options are the surroundings of a Reconciler.
type Options struct {
	Kernel Kernel // nil: somebody else manages the addresses
	// Addresses returns the addresses of the host, each with its interface, if that is up.
	// It is asked where somebody else manages them.
	Addresses func() ([]driver.Route, error)
	Log       *slog.Logger
	Metrics   Metrics
	// Report is given the status of the kernel or a driver. It must not wait for the
	// Reconciler.
	Report func(Report)
}

// Reconciler moves the host to the newest desired state: first the kernel removes the
// addresses that go, then each daemon gets its gate, then the kernel adds the
// addresses that are new. A withdrawal never waits for a daemon. An address waits for
// the gates, gateLimit at most.
type Reconciler struct {
	opts Options
	log  *slog.Logger

	desired pace.Mailbox[Desired]
	drivers pace.Mailbox[[]Driver]
	changed pace.Bell // the kernel changed
	reports chan Report
	left    pace.Bell // a worker is gone

	// What follows belongs to Run.
	now      Desired
	workers  map[string]*worker
	leaving  []*worker // of drivers that left, until their gates are closed
	gatesBy  time.Time // when growing stops waiting for the gates
	grown    bool      // nothing waits for the gates
	failures int       // of the kernel, in a row
	stirred  bool      // it changed by itself, and was not compared since
	actedAt  time.Time // when the kernel was last told or observed
	kernel   Report
	found    findings // about what the kernel has
}

// New returns a Reconciler that has nothing to do yet.
func New(o Options) *Reconciler {
	return &Reconciler{
		opts: o, log: o.Log,
		desired: pace.NewMailbox[Desired](), drivers: pace.NewMailbox[[]Driver](),
		changed: pace.NewBell(), reports: make(chan Report), left: pace.NewBell(),
		workers: map[string]*worker{}, kernel: Report{Driver: KernelName}, grown: true,
		found: findings{log: o.Log.With("driver", KernelName)},
	}
}

// Apply hands over the newest desired state. It does not wait. One goroutine calls it.
func (r *Reconciler) Apply(d Desired) {
	select {
	case old := <-r.desired: // not taken yet: what it followed from waits since then
		if !old.Since.IsZero() && (d.Since.IsZero() || old.Since.Before(d.Since)) {
			d.Since = old.Since
		}
	default:
	}
	r.desired.Put(d)
}

// SetDrivers hands over the drivers to be kept in sync from now on. It does not wait.
// One goroutine calls it.
func (r *Reconciler) SetDrivers(list []Driver) { r.drivers.Put(list) }

// Run works until ctx is done, and leaves the host as it is.
func (r *Reconciler) Run(ctx context.Context) {
	var watching sync.WaitGroup
	defer watching.Wait()
	defer r.end()
	if r.opts.Kernel != nil {
		watching.Go(func() {
			keepWatching(ctx, r.log.With("driver", KernelName), r.opts.Kernel.Watch, r.changed.Ring)
		})
	}
	timer := time.NewTimer(Interval)
	defer timer.Stop()
	for {
		late := false
		select {
		case <-ctx.Done():
			return
		case list := <-r.drivers:
			r.setDrivers(ctx, list)
		case d := <-r.desired:
			r.apply(ctx, d)
		case report := <-r.reports:
			r.receive(ctx, report)
		case <-r.left:
			r.forgetLeft()
		case <-r.changed:
			r.stirred = true
		case <-timer.C:
			late = true
		}
		r.act(ctx, late || r.stirred && !time.Now().Before(r.retryAt()))
		timer.Reset(r.next())
	}
}

// act moves the kernel on. Whatever woke the Reconciler, the newest desired state comes
// first: an older one might announce what is to be withdrawn.
func (r *Reconciler) act(ctx context.Context, repair bool) {
	select {
	case d := <-r.desired:
		r.stirred = false
		r.apply(ctx, d) // which repairs, too
	default:
		if repair {
			r.stirred = false
			r.repair(ctx)
		}
	}
	if !r.grown && r.gatesDone() {
		r.grow(ctx)
	}
}

// keepWatching watches until ctx is done. While there is no watch, changes are found by
// comparing everything each Interval.
func keepWatching(ctx context.Context, log *slog.Logger, watch func(context.Context, func()) error, changed func()) {
	pace.Keep(ctx, 100*time.Millisecond, Interval, func(ctx context.Context) error { return watch(ctx, changed) }, func(err error) {
		log.Debug("watch ended, starting it again", "err", err)
		changed() // something may have been missed
	})
}

// next is the time until something is to be done without being asked. What the
// workers report meanwhile does not put it off.
func (r *Reconciler) next() time.Duration {
	switch {
	case r.failures > 0:
		return time.Until(r.retryAt())
	case !r.grown:
		return max(time.Until(r.gatesBy), time.Millisecond)
	case r.found.unsure:
		return time.Until(r.actedAt.Add(findingLasts))
	case r.opts.Kernel == nil:
		return time.Until(r.actedAt.Add(lookInterval))
	}
	return time.Until(r.actedAt.Add(Interval))
}

// retryAt is when the kernel is tried again after it failed: sooner where something changed
// there meanwhile, but what goes on changing is not to keep it busy.
func (r *Reconciler) retryAt() time.Time {
	most := Interval
	switch {
	case r.failures == 0:
		return time.Time{}
	case r.stirred:
		most = restMost
	}
	return r.actedAt.Add(pace.Backoff(loadSpacing, most, r.failures))
}

// apply starts on a new desired state.
func (r *Reconciler) apply(ctx context.Context, d Desired) {
	r.now, r.actedAt = d, time.Now()
	if r.grown { // else a daemon that hangs could put off growing with every change
		r.gatesBy = time.Now().Add(gateLimit)
	}
	r.grown, r.failures = false, 0
	if !d.Since.IsZero() {
		r.opts.Metrics.Reached(time.Since(d.Since))
	}
	if r.opts.Kernel != nil {
		r.shrink(ctx)
	}
	for name, w := range r.workers {
		w.desired.Put(r.now.forDriver(name))
	}
	for _, w := range r.leaving {
		w.desired.Put(r.now.leaving())
	}
}

// receive takes the report of a worker.
func (r *Reconciler) receive(ctx context.Context, report Report) {
	if w := report.from; r.workers[report.Driver] == w {
		w.reported = report.Gen
		w.late = w.late && w.reported < r.now.Gen
	} else if !report.Leaving {
		return // it does not know yet that its driver left
	}
	r.opts.Report(report)
	if r.opts.Kernel == nil || !r.grown || report.Leaving {
		return
	}
	r.remind(ctx, report)
	r.recall(ctx, report)
}

// remind tells a daemon again of the addresses that it does not know.
func (r *Reconciler) remind(ctx context.Context, report Report) {
	if len(report.missed) == 0 {
		return
	}
	r.log.Warn("daemon does not know addresses that are on the host, telling it again", "driver", report.Driver, "addresses", len(report.missed))
	r.opts.Metrics.Repaired(report.Driver)
	missed := driver.State{Interface: r.now.State.Interface, Routes: report.missed}
	if err := r.opts.Kernel.Remind(ctx, missed); err != nil {
		r.failed(ctx, err)
	}
}

// recall tells a daemon again that addresses have gone. They are on the host for a moment,
// which other daemons may see: so it is done for those only that are withdrawn everywhere,
// and that nothing else takes back.
func (r *Reconciler) recall(ctx context.Context, report Report) {
	kept := driver.State{Interface: r.now.State.Interface}
	for _, route := range r.now.State.Routes {
		if route.Presence != driver.Announced && slices.Contains(report.recall, route.Prefix.Masked()) {
			kept.Routes = append(kept.Routes, route)
		}
	}
	if len(kept.Routes) == 0 {
		return
	}
	r.log.Warn("daemon has missed that addresses went, telling it again", "driver", report.Driver, "addresses", len(kept.Routes))
	r.opts.Metrics.Repaired(report.Driver)
	if err := r.opts.Kernel.Recall(ctx, kept); err != nil {
		r.failed(ctx, err)
	}
}

// gatesDone reports whether the addresses that are new may be added.
func (r *Reconciler) gatesDone() bool {
	if !time.Now().Before(r.gatesBy) {
		return true
	}
	for _, w := range r.workers {
		if w.reported < r.now.Gen && !w.late {
			return false
		}
	}
	return true
}
