package engine

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver"
)

const (
	// settle is how long a gate that only closes may wait for others to close
	// with it. The address is gone already, so nothing wrong is announced.
	settle = 2 * time.Second
	// spacing is the least time between two loads of one daemon.
	spacing = 100 * time.Millisecond
	// lookEvery is how often everything is compared without a reason.
	lookEvery = 30 * time.Second
	// askEvery is how often a daemon is asked what it announces: its sessions come
	// and go, and nothing tells of that.
	askEvery = 5 * time.Second
	// patientLooks is how many looks may find that a daemon has not caught up,
	// over some three seconds, until it is told again.
	patientLooks = 5
	// reminders is how often it is: one that does not carry the address at all,
	// for want of its family say, will not do so for being told.
	reminders = 3
	// closeLimit bounds the last Apply of a driver that is removed.
	closeLimit = 5 * time.Second
	// applyLimit bounds one Apply; drivers bound each exchange themselves.
	applyLimit = time.Minute
)

// task is a wanted state and its number.
type task struct {
	want    driver.State
	drivers map[string][]string // services that name their drivers, and which
	gen     int
}

// of returns the task of one driver: the routes of services that it does not
// announce are absent there, so that it lets go of those it once had.
func (t task) of(name string) task {
	routes := slices.Clone(t.want.Routes)
	for i, r := range routes {
		if only := t.drivers[r.Service]; len(only) > 0 && !slices.Contains(only, name) {
			routes[i].Presence, routes[i].Degraded, routes[i].Attributes = driver.Absent, false, driver.Attributes{}
		}
	}
	t.want.Routes = routes
	return t
}

// driverReport is what a worker tells of its driver after each attempt or look.
type driverReport struct {
	name   string
	gen    int // the newest task that was tried, or that need not be tried now
	inSync bool
	err    error
	since  time.Time // of err, or of being in step
	unseen error     // what kept the last look from seeing all
	sight  sight
	missed []driver.Route // announced, and after several looks still not observed
}

// worker keeps one driver in step with the newest wanted state.
type worker struct {
	cfg     config.Driver
	gated   bool // the removed address alone withdraws, so a closing gate may wait
	log     *slog.Logger
	metrics *Metrics
	report  func(driverReport)

	inbox mailbox[task]
	poked bell // the daemon changed: apply again
	look  bell // the host changed: see what the daemon makes of it
	stop  func()
	seen  int // the newest task it reported on; the reconciler's
	done  sync.WaitGroup

	now      task
	applied  driver.State
	ok       bool // the last Apply succeeded
	failures int
	agreed   bool // the last look found what is wanted
	looks    int  // looks in a row that did not
	tried    time.Time
	state    driverReport
	found    map[string]driver.Finding // of the last look, by name and subject
}

// run is the worker's goroutine.
func (w *worker) run(ctx context.Context) {
	var watching sync.WaitGroup
	defer watching.Wait()
	if watcher, ok := w.cfg.Driver.(driver.Watcher); ok {
		watching.Go(func() { keepWatching(ctx, w.log, watcher.Watch, w.poked.ring) })
	}
	timer := time.NewTimer(lookEvery)
	defer timer.Stop()
	var due, lookAt time.Time // zero: not planned
	for {
		select {
		case <-ctx.Done():
			return
		case t := <-w.inbox:
			due = w.plan(t, due)
		case <-w.poked:
			due = time.Now()
		case <-w.look:
			w.looks, lookAt = 0, time.Now()
		case <-timer.C:
		}
		if w.now.gen > 0 && !due.IsZero() && !time.Now().Before(due) {
			w.apply(ctx)
			due = w.again()
			lookAt = time.Now()
		}
		if w.now.gen > 0 && !lookAt.IsZero() && !time.Now().Before(lookAt) {
			w.observe(ctx)
			lookAt = time.Now().Add(w.rest())
		}
		timer.Reset(time.Until(soonest(due, lookAt)))
	}
}

// soonest returns the earlier planned time, or the next round where none is.
func soonest(a, b time.Time) time.Time {
	next := time.Now().Add(lookEvery)
	for _, t := range []time.Time{a, b} {
		if !t.IsZero() && t.Before(next) {
			next = t
		}
	}
	return next
}

// plan takes a new task and returns when it is to be applied.
func (w *worker) plan(t task, due time.Time) time.Time {
	w.now = t
	now := time.Now()
	soon := now
	if limit := w.tried.Add(spacing); soon.Before(limit) {
		soon = limit
	}
	if !w.ok || urgent(w.applied, t.want, w.gated) {
		if !due.IsZero() && due.Before(soon) {
			return due
		}
		return soon
	}
	w.state.gen = t.gen // nothing in it that the kernel must wait for
	w.state.inSync = same(w.applied, t.want)
	w.report(w.state)
	if late := now.Add(settle); due.IsZero() || due.After(late) {
		return late
	}
	return due
}

// apply makes one attempt.
func (w *worker) apply(ctx context.Context) {
	task := w.now
	w.countRepair(ctx, task)
	ctx, cancel := context.WithTimeout(ctx, applyLimit)
	defer cancel()
	w.tried = time.Now()
	err := w.cfg.Driver.Apply(ctx, task.want)
	w.metrics.applied(w.cfg.Name, time.Since(w.tried), err)
	if ctx.Err() != nil && err != nil && errors.Is(context.Cause(ctx), context.Canceled) {
		return // the daemon is stopping
	}
	was := w.state.err
	if (err == nil) != (was == nil) || w.state.since.IsZero() {
		w.state.since = time.Now()
	}
	if err != nil {
		w.failures++
		w.ok = false
		if was == nil || was.Error() != err.Error() {
			w.log.Error("daemon not in step, retrying", "err", err)
		}
	} else {
		if was != nil {
			w.log.Info("daemon in step again", "after", w.failures)
		}
		w.ok, w.failures, w.applied = true, 0, task.want
	}
	w.state.err, w.state.gen, w.state.inSync = err, task.gen, err == nil
	w.report(w.state)
}

// close closes the gate of a driver that left the configuration, as far as its
// daemon lets it.
func (w *worker) close(ctx context.Context, last driver.State) {
	ctx, cancel := context.WithTimeout(ctx, closeLimit)
	defer cancel()
	defer w.disconnect()
	shut := driver.State{Interface: last.Interface}
	for _, route := range last.Routes {
		route.Presence, route.Degraded, route.Attributes = driver.Absent, false, driver.Attributes{}
		shut.Routes = append(shut.Routes, route)
	}
	if err := w.cfg.Driver.Apply(ctx, shut); err != nil {
		w.log.Warn("driver removed from the configuration, but its gate could not be closed", "err", err)
	}
}

// disconnect lets go of what the driver holds open; it connects again if need be.
func (w *worker) disconnect() {
	if c, ok := w.cfg.Driver.(driver.Closer); ok {
		if err := c.Close(); err != nil {
			w.log.Debug("closing the driver", "err", err)
		}
	}
}

// countRepair counts an Apply that mends what somebody else changed.
func (w *worker) countRepair(ctx context.Context, t task) {
	if !w.agreed || !w.ok || !same(w.applied, t.want) {
		return
	}
	if seen, err := w.cfg.Driver.Observe(ctx); err == nil && !sightOf(seen, nil).agree(t.want) {
		w.metrics.repaired(w.cfg.Name)
		w.log.Warn("daemon changed by itself, putting it right")
	}
}

// again returns when the next Apply is due.
func (w *worker) again() time.Time {
	if w.ok {
		return time.Now().Add(lookEvery)
	}
	return time.Now().Add(backoff(2*spacing, lookEvery, w.failures))
}

// rest is how long to wait before the next look.
func (w *worker) rest() time.Duration {
	if w.agreed {
		return askEvery
	}
	return backoff(spacing, askEvery, w.looks)
}

// observe asks the daemon what it announces.
func (w *worker) observe(ctx context.Context) {
	seen, err := w.cfg.Driver.Observe(ctx)
	if ctx.Err() != nil {
		return
	}
	if err != nil && w.state.unseen == nil && w.state.err == nil {
		w.log.Warn("daemon can't be asked what it announces", "err", err)
	}
	w.state.sight, w.state.unseen = sightOf(seen, err), err
	if err == nil {
		w.tellFindings(w.state.sight.findings)
	}
	w.agreed = err == nil && w.state.sight.agree(w.now.want)
	w.looks++
	if w.agreed {
		w.looks = 0
	}
	w.state.missed = nil
	if err == nil && w.ok && w.looks > patientLooks && w.looks <= patientLooks+reminders {
		w.state.missed = w.state.sight.missed(w.now.want)
	}
	w.report(w.state)
	w.state.missed = nil
}

// tellFindings logs what is new since the last look, and what is no longer so. What
// the last Apply failed with is logged already.
func (w *worker) tellFindings(now []driver.Finding) {
	var failed driver.Finding
	_ = errors.As(w.state.err, &failed)
	was := w.found
	w.found = map[string]driver.Finding{}
	for _, f := range now {
		id := f.Name + " " + f.Subject
		w.found[id] = f
		if _, known := was[id]; !known && f.Level != driver.Note && f.Name != failed.Name {
			w.log.Warn("finding", "finding", f.Name, "level", f.Level, "subject", f.Subject, "text", f.Text, "fix", f.Fix)
		}
	}
	for id, f := range was {
		if _, stays := w.found[id]; !stays && f.Level != driver.Note {
			w.log.Info("finding is over", "finding", f.Name, "subject", f.Subject)
		}
	}
}
