package engine

import (
	"reflect"
	"runtime"
	"slices"
	"time"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/reconcile"
)

// loop runs events and decides after each burst that changes something, until stop is
// closed, the limit (zero: none) has passed or done says so. Most results of checks change
// nothing, and to decide after each would cost the square of the number of services.
func (e *Engine) loop(stop <-chan struct{}, limit time.Time, done func() bool) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		now := time.Now()
		e.turned(now)
		if done() || !limit.IsZero() && !now.Before(limit) {
			return
		}
		timer.Reset(min(beat, time.Until(earlier(e.wake, limit, now))))
		select {
		case <-stop:
			return
		case f := <-e.events:
			f()
			e.runWaiting()
		case <-timer.C:
			e.undecided = e.undecided || !time.Now().Before(e.wake)
		}
		if e.undecided {
			e.decide()
		}
		e.tellUntold()
	}
}

// afterwards has something told once the host follows what is decided next, if anything is: on
// the way there nothing is told.
func (e *Engine) afterwards(tell func()) { e.untold = append(e.untold, tell) }

// tellUntold tells it.
func (e *Engine) tellUntold() {
	for _, tell := range e.untold {
		tell()
	}
	e.untold = nil
}

// runWaiting runs what is waiting already, so that a burst is decided in one go.
func (e *Engine) runWaiting() {
	for range cap(e.events) {
		select {
		case f := <-e.events:
			f()
		default:
			return
		}
	}
}

// deadline is when something changes by itself, or everything is to be decided anew.
func (e *Engine) deadline(now time.Time) time.Time {
	next := earlier(now.Add(reconcile.Interval), now.Add(e.opts.AliveEvery), now)
	for _, s := range e.services {
		next = earlier(next, s.deadline(now, e.intent(s, now)), now)
	}
	for _, l := range e.leaving {
		next = earlier(next, l.Until, now)
	}
	return next
}

// decide decides every service anew and has the host follow.
func (e *Engine) decide() {
	now := time.Now()
	var moved []*service
	for _, s := range e.inOrder {
		was, i := s.state, e.intent(s, now)
		if s.decide(now, s.fitness(), i) {
			moved = append(moved, s)
			e.opts.Metrics.changed(s.cfg.Name, s.state)
			s.unreached, s.regraded = true, was.Up() && s.state.Up()
			reason := s.reason
			e.afterwards(func() {
				e.log.Info("service state decided", "service", s.cfg.Name, "state", s.state, "was", was, "reason", reason)
			})
			// A check without a verdict counts for the service as it is, which is another now.
			_, s.reason = s.target(now, s.fitness(), i)
		}
		s.standing = s.stands()
	}
	e.forgetLeft(now)
	if e.hand(reconcile.Desired{State: e.desired(now), Drivers: e.announcers(), Off: e.off()}, now) || len(moved) > 0 {
		e.save()
	}
	e.tellUntold()
	for _, s := range moved {
		s.gen = e.posted.Gen
	}
	e.undecided, e.since, e.wake = false, time.Time{}, e.deadline(now)
	for _, s := range e.services {
		e.show(s, now)
	}
	e.publish()
	e.tellReached(moved) // where nothing is left to do; the others wait for reports
}

// hand hands the reconciler what is desired now, and reports whether that is something new.
func (e *Engine) hand(next reconcile.Desired, now time.Time) bool {
	next.Gen, next.Since = e.posted.Gen, e.posted.Since
	if reflect.DeepEqual(next, e.posted) {
		return false
	}
	next.Gen, next.Since = next.Gen+1, e.since
	e.posted = next
	e.reconciler.Apply(next)
	runtime.Gosched() // the reconciler goes first: what follows here has time
	for _, name := range e.expected() {
		if _, already := e.behind[name]; !already {
			e.behind[name] = now
		}
	}
	return true
}

// expected returns those who are to follow what is posted.
func (e *Engine) expected() []string {
	var names []string
	if e.opts.Kernel != nil {
		names = append(names, reconcile.KernelName)
	}
	for _, d := range e.cfg.Drivers {
		names = append(names, d.Name)
	}
	return names
}

// forgetLeft drops the leaving addresses that are off the host for sure: the kernel and
// every daemon follow what was posted since linger was over. While only a daemon does not,
// such as one that is down, the kernel is not told of them any more: an operator may want
// to use the address.
func (e *Engine) forgetLeft(now time.Time) {
	over := func(l leaving) bool { return now.After(l.Until.Add(reconcile.Interval)) }
	for i, l := range e.leaving {
		e.leaving[i].Off = l.Off || !l.PrefixOnly && over(l) && e.follows(reconcile.KernelName)
	}
	if !e.followed() {
		return
	}
	e.leaving = slices.DeleteFunc(e.leaving, over)
}

// receive takes a report. One of a driver that is no longer so configured is of no use,
// unless it tells that the driver is leaving.
func (e *Engine) receive(r reconcile.Report) {
	defer func() { e.tellReached(e.services) }()
	defer e.publish()
	switch {
	case r.Gone:
		delete(e.departing, r.Driver)
		e.save()
		if !slices.Contains(e.expected(), r.Driver) {
			e.opts.Metrics.forgetDriver(r.Driver)
		}
	case r.Leaving:
		_, known := e.departing[r.Driver]
		if e.departing[r.Driver] = r; !known {
			e.save()
		}
	case e.configured(r):
		e.reports[r.Driver] = r
		if r.Gen >= e.posted.Gen {
			delete(e.behind, r.Driver)
		}
	}
}

// configured reports whether a report is of the kernel or of a driver as it is configured.
func (e *Engine) configured(r reconcile.Report) bool {
	return r.Driver == reconcile.KernelName || slices.ContainsFunc(e.cfg.Drivers, func(d config.Driver) bool {
		return d.Name == r.Driver && reflect.DeepEqual(d.Raw, r.Settings)
	})
}
