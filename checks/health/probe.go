// Package health turns the results of a check into a verdict: it runs a Checker on its
// Schedule, tells a failure from a run that keepcast itself could not make, and counts. It
// knows no kind of check.
package health

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/keepcast/keepcast/driver/pace"
)

// Checker probes a service once.
type Checker interface {
	// Check returns nil when the service is fit, else why it is not, worded for
	// an operator. It returns soon after ctx is done; ctx carries the deadline.
	// A Checker that keeps something between runs is an io.Closer.
	Check(ctx context.Context) error
}

// Watcher is a Checker that also learns of a change by itself: a unit that
// stops, a process that exits.
type Watcher interface {
	Checker
	// Watch calls changed whenever a check now would be worth its while, until
	// ctx is done. It returns early only with the error that ended it; the
	// caller then starts it again after a while, and polls meanwhile.
	Watch(ctx context.Context, changed func()) error
}

// Result is what one run of a check brought.
type Result struct {
	Err     error         // nil: fit
	Void    bool          // keepcast itself could not probe: the run says nothing of the service
	Verdict Verdict       // what the results add up to so far
	Moving  bool          // the last result contradicts the verdict
	At      time.Time     // when the run started
	Took    time.Duration // how long it ran
	Late    time.Duration // how much later than planned it began
	Proof   time.Time     // when the oldest of the last successes in a row began; zero unless there are as many as rise asks for
	Health  Health        // for a Probe that carries on
}

// Probe runs one Checker on its Schedule.
type Probe struct {
	Checker  Checker
	Schedule Schedule
	Pulse    *Pulse // tells whether keepcast itself is late; nil: it is not
	beating  bool   // the Pulse beats for this check
	health   Health
	last     lastRun
	wake     pace.Bell
	wakes    wakes
	anew     pace.Bell                 // since has changed
	since    atomic.Pointer[time.Time] // the check is to prove itself by runs that began after that
	voids    int                       // in a row
	stuck    chan error                // a run that outlived its timeout; nil when there is none
	stuckAt  time.Time                 // when that run began
}

// lastRun is what the time of the next run depends on.
type lastRun struct {
	at           time.Time // when it began
	void, failed bool
}

// NewProbe returns a Probe that has not run yet.
func NewProbe(c Checker, s Schedule) *Probe { return CarryOn(c, s, NewHealth(s.Rise, s.Fall, Unknown)) }

// CarryOn returns a Probe that goes on from a Health, as a check does whose settings
// changed.
func CarryOn(c Checker, s Schedule, h Health) *Probe {
	return &Probe{Checker: c, Schedule: s, health: h.Carried(s), wake: pace.NewBell(), anew: pace.NewBell()}
}

// Hurry has the check prove itself anew. The next run begins at once, or as soon as the fast
// interval since the last one is over. While it succeeds, others follow at that interval, until
// as many as rise asks for have begun since now. It never blocks.
func (p *Probe) Hurry() {
	now := time.Now()
	p.since.Store(&now)
	p.anew.Ring()
}

// Wake has the check run at once, or once more if it runs just now. However often it is
// called meanwhile, one run follows. It never blocks.
func (p *Probe) Wake() { p.wake.Ring() }

// Run checks at once, then on schedule and whenever a Watcher, Hurry or Wake wakes it, and
// hands every result to report, until ctx is done. Never do two runs of the
// check overlap.
func (p *Probe) Run(ctx context.Context, report func(Result)) {
	var watching sync.WaitGroup
	defer watching.Wait()
	if w, ok := p.Checker.(Watcher); ok {
		watching.Go(func() { keepWatching(ctx, w, p.wake.Ring) })
	}
	due := time.Now()
	start := due.Add(-p.Schedule.phase())
	for ctx.Err() == nil {
		p.turn(ctx, due, report)
		due = p.rest(ctx, start)
	}
	p.leave()
	p.beat(false)
	p.close()
}

// beat says whether the Pulse is to beat for this check.
func (p *Probe) beat(on bool) {
	switch {
	case on && !p.beating:
		p.Pulse.start()
	case !on && p.beating:
		p.Pulse.stop()
	}
	p.beating = on
}

// close has the Checker let go of what it keeps between runs, if it keeps anything.
func (p *Probe) close() {
	if c, ok := p.Checker.(io.Closer); ok {
		_ = c.Close() // there is nobody to tell
	}
}

// turn makes the run that is due and reports it. It is a function of its own for the memory of
// checks that rest, which are most of them: what it has on the stack is gone then, and a small
// stack will do.
func (p *Probe) turn(ctx context.Context, due time.Time, report func(Result)) {
	p.beat(true)
	result := p.run(ctx)
	p.beat(result.Err != nil) // of a failure's aftermath it is asked until a run succeeds
	if ctx.Err() != nil {
		return
	}
	result.Late = result.At.Sub(due)
	p.last = lastRun{at: result.At, void: result.Void, failed: result.Err != nil}
	report(result)
}

// rest waits until the next run is due, a wake has it begin earlier, or ctx is done, and
// returns when it was to begin.
func (p *Probe) rest(ctx context.Context, start time.Time) (due time.Time) {
	next := p.next(start, time.Now())
	for {
		if now := time.Now(); !next.After(now) {
			return now // the run before it took that long
		}
		switch p.wait(ctx, time.Until(next)) {
		case p.wake:
			return p.woken(ctx, next)
		case p.anew:
			if sooner := p.next(start, time.Now()); sooner.Before(next) {
				next = sooner
			}
		default:
			return next
		}
	}
}

// woken returns when a run was to begin that a wake asks for, once that is so.
func (p *Probe) woken(ctx context.Context, next time.Time) (due time.Time) {
	now := time.Now()
	if free := p.wakes.free(); free.Before(next) {
		next = free
	}
	if next.After(now) {
		pace.Wait(ctx, next.Sub(now))
		now = next
	}
	p.wakes.note(time.Now())
	return now
}

// next returns when the check runs again.
func (p *Probe) next(start, now time.Time) time.Time {
	since := p.since.Load()
	switch fast := p.last.at.Add(p.Schedule.fast()); {
	case since != nil && !p.last.at.After(*since):
		return fast
	case p.last.void: // soon, but what is wanting is not to be asked for all the time
		return p.last.at.Add(pace.Backoff(p.Schedule.fast(), min(p.Schedule.Interval, voidMost), p.voids))
	case p.health.Moving(), !p.last.failed && since != nil && !p.health.Proof().After(*since):
		if ends := p.health.PatienceEnds(); ends.After(p.last.at) && ends.Before(fast) {
			return ends
		}
		return fast
	}
	slot := p.Schedule.slot(start, now)
	if most := p.last.at.Add(failedMost); p.last.failed && most.Before(slot) {
		return most
	}
	return slot
}

// failedMost is the longest time until a check is run again that has failed: what was wrong
// may be over long before an interval of an hour is.
const failedMost = 30 * time.Second

// voidMost is the longest time until a check is run again after it could not be run.
const voidMost = 5 * time.Second

// wait returns when d is over, a bell rings or ctx is done, and which bell it was, if any.
func (p *Probe) wait(ctx context.Context, d time.Duration) (rung pace.Bell) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-p.wake:
		return p.wake
	case <-p.anew:
		return p.anew
	}
	return nil
}

// run makes one run and adds its result to the health, unless it is void.
func (p *Probe) run(ctx context.Context) Result {
	at := time.Now()
	err := p.attempt(ctx)
	result := Result{Err: err, Void: IsVoid(err), At: at, Took: time.Since(at)}
	if result.Void {
		p.voids++
	} else {
		p.voids = 0
		p.health.Add(err, at)
	}
	result.Verdict, result.Moving, result.Proof, result.Health = p.health.Verdict(), p.health.Moving(), p.health.Proof(), p.health
	return result
}

// rewatch is the longest time between two attempts to start a watch that ended.
const rewatch = 30 * time.Second

// keepWatching keeps the watch going. What broke it also fails the check, and the
// polling goes on in any case, so its errors are not lost.
func keepWatching(ctx context.Context, w Watcher, changed func()) {
	pace.Keep(ctx, time.Second, rewatch, func(ctx context.Context) error { return w.Watch(ctx, changed) }, nil)
}

// Once runs a check once, with the timeout, for somebody who waits for it.
func Once(ctx context.Context, c Checker, timeout time.Duration) error {
	p := NewProbe(c, Schedule{Timeout: timeout})
	defer p.close()
	return p.attempt(ctx)
}
