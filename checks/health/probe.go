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
	health   Health
	wake     pace.Bell
	wakes    wakes
	since    atomic.Pointer[time.Time] // the check is to prove itself by runs that began after that
	voids    int                       // in a row
	stuck    chan error                // a run that outlived its timeout; nil when there is none
	stuckAt  time.Time                 // when that run began
}

// NewProbe returns a Probe that has not run yet.
func NewProbe(c Checker, s Schedule) *Probe { return CarryOn(c, s, NewHealth(s.Rise, s.Fall, Unknown)) }

// CarryOn returns a Probe that goes on from a Health, as a check does whose settings
// changed.
func CarryOn(c Checker, s Schedule, h Health) *Probe {
	return &Probe{Checker: c, Schedule: s, health: h.Carried(s), wake: pace.NewBell()}
}

// Prove has the check prove itself anew, from its next run on. While that succeeds, others
// follow at the fast interval, until as many as rise asks for have begun since now. It never
// blocks.
func (p *Probe) Prove() {
	now := time.Now()
	p.since.Store(&now)
}

// Hurry is Prove, and the next run begins at once.
func (p *Probe) Hurry() {
	p.Prove()
	p.wake.Ring()
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
		due = p.rest(ctx, p.turn(ctx, start, due, report))
	}
	p.leave()
	p.close()
}

// close has the Checker let go of what it keeps between runs, if it keeps anything.
func (p *Probe) close() {
	if c, ok := p.Checker.(io.Closer); ok {
		_ = c.Close() // there is nobody to tell
	}
}

// turn makes the run that is due and reports it, and returns when the next one is. It is a
// function of its own for the memory of checks that rest, which are most of them: what it has
// on the stack is gone then, and a small stack will do.
func (p *Probe) turn(ctx context.Context, start, due time.Time, report func(Result)) (next time.Time) {
	result := p.run(ctx)
	if ctx.Err() != nil {
		return time.Time{}
	}
	result.Late = result.At.Sub(due)
	report(result)
	return p.next(start, time.Now(), result)
}

// rest waits until the next run is due, a wake has it begin earlier, or ctx is done, and
// returns when it was to begin.
func (p *Probe) rest(ctx context.Context, next time.Time) (due time.Time) {
	if now := time.Now(); !next.After(now) {
		return now // the run before it took that long
	}
	if !wait(ctx, time.Until(next), p.wake) {
		return next
	}
	now := time.Now()
	if free := p.wakes.free(); free.Before(next) {
		next = free
	}
	if next.After(now) {
		wait(ctx, next.Sub(now), nil)
		now = next
	}
	p.wakes.note(time.Now())
	return now
}

// next returns when the check runs again after a result.
func (p *Probe) next(start, now time.Time, last Result) time.Time {
	switch {
	case last.Void: // soon, but what is wanting is not to be asked for all the time
		return last.At.Add(pace.Backoff(p.Schedule.fast(), min(p.Schedule.Interval, voidMost), p.voids))
	case last.Moving, last.Err == nil && !p.proven(last):
		next := last.At.Add(p.Schedule.fast())
		if ends := last.Health.PatienceEnds(); ends.After(last.At) && ends.Before(next) {
			return ends
		}
		return next
	}
	return p.Schedule.slot(start, now)
}

// voidMost is the longest time until a check is run again after it could not be run.
const voidMost = 5 * time.Second

// proven reports whether the check has done what Hurry asked for last.
func (p *Probe) proven(last Result) bool {
	since := p.since.Load()
	return since == nil || last.Proof.After(*since)
}

// wait returns when d is over, a wake comes or ctx is done, and reports whether it was the
// wake.
func wait(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-wake:
		return true
	}
	return false
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
