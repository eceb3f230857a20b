// Package health turns the results of a check into a verdict: it runs a Checker on its
// Schedule, tells a failure from a run that keepcast itself could not make, and counts. It
// knows no kind of check.
package health

import (
	"context"
	"io"
	"sync"
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

// Probe runs one Checker on its Schedule. Never do two runs of the check overlap.
type Probe struct {
	Checker  Checker
	Schedule Schedule
	Pulse    *Pulse // tells whether keepcast itself is late; nil: it is not
	rest     rest
	watching sync.WaitGroup
	beating  bool // the Pulse beats for this check
	health   Health
	last     lastRun
	voids    int        // in a row
	stuck    chan error // a run that outlived its timeout; nil when there is none
	stuckAt  time.Time  // when that run began
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
	return &Probe{Checker: c, Schedule: s, health: h.Carried(s)}
}

// Start has the check run after a time, then on schedule and whenever a Watcher, Hurry or Wake
// wakes it, until ctx is done, and returns at once. It hands every result to report, one after
// the other. At the end, when nothing of the check runs any more, it calls ended.
func (p *Probe) Start(ctx context.Context, after time.Duration, report func(Result), ended func()) {
	if w, ok := p.Checker.(Watcher); ok {
		p.watching.Go(func() {
			if pace.Wait(ctx, after) {
				keepWatching(ctx, w, p.Wake)
			}
		})
	}
	leave := func() {
		p.leave()
		ended()
	}
	p.begin(after, func(due time.Time) {
		p.turn(ctx, due, report)
		if !p.goOn(ctx) {
			leave()
		}
	})
	context.AfterFunc(ctx, func() {
		if p.end() {
			leave()
		}
	})
}

// turn makes the run that is due and reports it, unless the end came first.
func (p *Probe) turn(ctx context.Context, due time.Time, report func(Result)) {
	if ctx.Err() != nil {
		return
	}
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

// leave waits for what still runs of the check, and has it let go of what it holds.
func (p *Probe) leave() {
	p.leaveStuck()
	p.beat(false)
	p.close()
	p.watching.Wait()
}

// close has the Checker let go of what it keeps between runs, if it keeps anything.
func (p *Probe) close() {
	if c, ok := p.Checker.(io.Closer); ok {
		_ = c.Close() // there is nobody to tell
	}
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
