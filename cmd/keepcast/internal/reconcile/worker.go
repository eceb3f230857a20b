package reconcile

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/pace"
)

const (
	// closeDelay is how long a gate that only closes may wait for others to close with
	// it. The address is gone already, so nothing wrong is announced.
	closeDelay = 2 * time.Second
	// loadSpacing is the least time between two loads of one daemon.
	loadSpacing = 100 * time.Millisecond
	// restMost is the longest rest after an attempt that failed, however often something
	// changes meanwhile.
	restMost = time.Second
	// observeInterval is how often a daemon is asked what it announces: its sessions
	// come and go, and nothing tells of that.
	observeInterval = 5 * time.Second
	// missesTolerated is how many observations may find that a daemon has not caught up,
	// over some three seconds, until it is told again.
	missesTolerated = 5
	// remindersMost is how often it is told again. A daemon that does not carry the
	// address's family will never have it.
	remindersMost = 3
	// closeTimeout bounds one Apply of a driver that left.
	closeTimeout = 5 * time.Second
	// leaveLimit is how long a stop waits for the gates of drivers that left. The next
	// keepcast, or withdraw-all, closes what is left.
	leaveLimit = closeTimeout
	// stopLimit is how long a stop waits for a driver whose calls were told to end.
	stopLimit = time.Second
	// applyTimeout bounds one Apply; drivers bound each exchange themselves.
	applyTimeout = time.Minute
)

// worker keeps one driver in sync with the newest desired state.
type worker struct {
	driver       Driver
	addressFirst bool // the removed address alone withdraws, so a closing gate may wait
	log          *slog.Logger
	metrics      Metrics
	report       func(Report)

	desired    pace.Mailbox[Desired]
	changed    pace.Bell // the daemon changed: apply again
	observeNow pace.Bell // the host changed: observe what the daemon makes of it
	stop       func()
	gone       <-chan struct{} // closed when its goroutine has ended
	late       bool            // the addresses did not wait for it last time, and do not until it has caught up; as reported
	reported   int             // the newest desired state that it reported; only the Reconciler uses it

	// What follows belongs to run.
	now       Desired
	applied   driver.State
	appliedAt time.Time // when the last attempt began
	restUntil time.Time // until then, a change of the daemon has it applied no sooner
	ok        bool      // the last Apply succeeded
	failures  int
	agreed    bool  // the last observation found what is desired
	misses    int   // observations in a row that found something else, since the last change
	reminders int   // how often the kernel repeated the addresses meanwhile
	recalls   int   // how often it repeated that addresses went
	kept      error // it goes on announcing what is withdrawn
	state     Report
	findings  findings
}

// run is the worker's goroutine.
func (w *worker) run(ctx context.Context) {
	var watching sync.WaitGroup
	defer watching.Wait()
	ctx, end := context.WithCancel(ctx)
	defer end()
	if watcher, ok := w.driver.Driver.(driver.Watcher); ok {
		watching.Go(func() { keepWatching(ctx, w.log, watcher.Watch, w.changed.Ring) })
	}
	timer := time.NewTimer(Interval)
	defer timer.Stop()
	var applyAt, observeAt time.Time // zero: not planned
	for {
		select {
		case <-ctx.Done():
			return
		case d := <-w.desired:
			applyAt = w.plan(d, applyAt)
		case <-w.changed:
			applyAt = w.mend(applyAt)
		case <-w.observeNow:
			w.misses, observeAt = 0, time.Now()
		case <-timer.C:
		}
		// Whatever woke the worker, it never applies what is no longer desired.
		select {
		case d := <-w.desired:
			applyAt = w.plan(d, applyAt)
		default:
		}
		if w.now.Gen == 0 {
			continue // nothing is desired yet
		}
		if due(applyAt) {
			w.apply(ctx)
			if w.ok && w.now.Leaving {
				return
			}
			applyAt = w.nextApply()
			observeAt = time.Now()
		}
		if due(observeAt) {
			w.observe(ctx)
			observeAt = w.nextObserve()
		}
		timer.Reset(time.Until(earliest(applyAt, observeAt)))
	}
}

// due reports whether a planned time has come.
func due(at time.Time) bool { return !at.IsZero() && !time.Now().Before(at) }

// earliest returns the earlier planned time, or that of the next round where none is.
func earliest(a, b time.Time) time.Time {
	next := time.Now().Add(Interval)
	for _, t := range []time.Time{a, b} {
		if !t.IsZero() && t.Before(next) {
			next = t
		}
	}
	return next
}

// plan takes a new desired state and returns when it is to be applied.
func (w *worker) plan(d Desired, planned time.Time) time.Time {
	w.now, w.misses, w.reminders, w.recalls, w.kept = d, 0, 0, 0, nil
	now := time.Now()
	if !w.ok || d.Leaving || urgent(w.applied, d.State, w.addressFirst) {
		if limit := w.appliedAt.Add(loadSpacing); now.Before(limit) {
			return limit
		}
		return now
	}
	w.state.Gen = d.Gen // nothing in it that the kernel must wait for
	w.state.InSync = same(w.applied, d.State)
	w.report(w.state)
	if late := now.Add(closeDelay); planned.IsZero() || planned.After(late) {
		return late
	}
	return planned
}

// apply makes one attempt.
func (w *worker) apply(ctx context.Context) {
	desired := w.now
	w.countRepair(ctx, desired)
	w.appliedAt = time.Now()
	limit := applyTimeout
	if desired.Leaving {
		limit = closeTimeout
	}
	err := w.load(ctx, limit, desired.State)
	w.metrics.Applied(w.driver.Name, time.Since(w.appliedAt), err)
	if ctx.Err() != nil {
		return // the worker is stopping
	}
	was := w.state.Err
	if (err == nil) != (was == nil) || w.state.Since.IsZero() {
		w.state.Since = time.Now()
	}
	if err != nil {
		w.failures++
		w.ok = false
		switch {
		case was != nil && was.Error() == err.Error():
		case desired.Leaving:
			w.log.Warn("driver left the configuration, but its gate can't be closed, retrying", "err", err)
		default:
			w.log.Error("daemon not in sync, retrying", "err", err)
		}
	} else {
		if was != nil {
			w.log.Info("daemon in sync again", "after", w.failures)
		}
		w.ok, w.failures, w.applied = true, 0, desired.State
	}
	w.restUntil = time.Now().Add(pace.Backoff(loadSpacing, restMost, w.failures+1))
	w.state.Err, w.state.Gen, w.state.InSync, w.state.Leaving = err, desired.Gen, err == nil, desired.Leaving
	w.report(w.status())
}

// status is what is told of the driver. One that goes on announcing what is withdrawn is
// not in sync, though it has taken all that it was told.
func (w *worker) status() Report {
	report := w.state
	if report.Err == nil && w.kept != nil {
		report.Err, report.InSync = w.kept, false
	}
	return report
}

// mend returns when to apply after the daemon has changed by itself: at once, but a daemon
// that goes on changing, or failing, is not to be kept busy. What is planned for before that,
// such as a withdrawal, is not put off.
func (w *worker) mend(planned time.Time) time.Time {
	next := time.Now()
	if next.Before(w.restUntil) {
		next = w.restUntil
	}
	if !planned.IsZero() && planned.Before(next) {
		return planned
	}
	return next
}

// load is Apply of the driver, bounded by a limit.
func (w *worker) load(ctx context.Context, limit time.Duration, s driver.State) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return w.driver.Driver.Apply(ctx, s)
}

// countRepair counts an Apply that mends what somebody else changed.
func (w *worker) countRepair(ctx context.Context, d Desired) {
	if !w.agreed || !w.ok || !same(w.applied, d.State) {
		return
	}
	if observed, err := w.driver.Driver.Observe(ctx); err == nil && !observedOf(observed, nil).agrees(d.State) {
		w.metrics.Repaired(w.driver.Name)
		w.log.Warn("daemon changed by itself, putting it right")
	}
}

// nextApply returns when the next Apply is due.
func (w *worker) nextApply() time.Time {
	if w.ok {
		return time.Now().Add(Interval)
	}
	return time.Now().Add(pace.Backoff(2*loadSpacing, Interval, w.failures))
}
