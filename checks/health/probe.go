// Package health turns the results of a check into a verdict: it runs a Checker on its
// Schedule, tells a failure from a run that keepcast itself could not make, and counts. It
// knows no kind of check.
package health

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/keepcast/keepcast/driver/pace"
)

// Checker probes a service once.
type Checker interface {
	// Check returns nil when the service is fit, else why it is not, worded for
	// an operator. It returns soon after ctx is done; ctx carries the deadline.
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

// Hurry has the check prove itself anew. The next run begins at once. While it succeeds,
// others follow at the fast interval, until as many as rise asks for have begun since
// now. It never blocks.
func (p *Probe) Hurry() {
	now := time.Now()
	p.since.Store(&now)
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

// grace is how long a Checker may take to return once its context is done.
const grace = time.Second

// attempt runs the check with its timeout. A check that does not return even
// then counts as failed, and fails again at each turn until it has returned; what keepcast's
// own lateness excuses is void instead.
func (p *Probe) attempt(ctx context.Context) error {
	if p.stuck != nil {
		select {
		case <-p.stuck: //nolint:errcheck // too late to be of use
			p.stuck = nil
		default:
			err := fmt.Errorf("the run before this one still hangs, though its timeout of %s is over", p.Schedule.Timeout)
			return p.excuseAftermath(p.stuckAt, err)
		}
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, p.Schedule.Timeout)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- p.checked(ctx, began) }()
	late := time.NewTimer(p.Schedule.Timeout + grace)
	defer late.Stop()
	select {
	case err := <-done:
		return err
	case <-late.C:
		p.stuck, p.stuckAt = done, began
		return p.excuse(began, fmt.Errorf("timeout after %s, and the check does not end", p.Schedule.Timeout))
	}
}

// excuse makes a timeout void if keepcast itself was late since then, at one time for more
// than a fifth of the timeout: what came in time may have waited that long, several times
// in one run. A shorter delay excuses nothing, however often there is one, so a service
// that hangs on a busy host still fails.
func (p *Probe) excuse(since time.Time, err error) error {
	late := p.Pulse.Late(since)
	if late <= p.Schedule.Timeout/5 {
		return err
	}
	return Void(fmt.Errorf("keepcast itself was %s late, for want of processor time: %w", late.Round(time.Millisecond), err))
}

// aftermath is the failure of a run that could not be made, since something that an earlier
// run began has not ended.
type aftermath struct {
	error
	began time.Time // when that did
}

// Aftermath marks an error by which a run could not be made, since something that an earlier
// run began at a time has not ended.
func Aftermath(err error, began time.Time) error { return aftermath{err, began} }

// AftermathSince returns when that began, of an error that Aftermath marked.
func AftermathSince(err error) (began time.Time, ok bool) {
	left, ok := errors.AsType[aftermath](err)
	return left.began, ok
}

// overloadEchoes is for how long after the last delay of keepcast an overload may still be why
// something has not ended that should have. What was killed needs a moment of processor time
// to end, and waits for it where keepcast, whose threads wake first, already wakes in time. A
// host that has been in time for that long has given everybody that moment. It is also how
// long keepcast puts up with void runs before they are a finding (voidLasts of the engine).
const overloadEchoes = 30 * time.Second

// excuseAftermath makes an aftermath void if keepcast itself was late since that began what
// has not ended: what a void run leaves behind is void, too. It does not for ever. What the
// last delay held up has its timeout and grace to end, as any run, and overloadEchoes. If
// it has not ended then, it hangs by itself.
func (p *Probe) excuseAftermath(began time.Time, err error) error {
	since := time.Now().Add(-p.Schedule.Timeout - grace - overloadEchoes)
	if since.Before(began) {
		since = began
	}
	return p.excuse(since, err)
}

// checked is Check with panics and timeouts put into words.
func (p *Probe) checked(ctx context.Context, began time.Time) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the check panicked: %v (a bug in keepcast: please report it)", r)
		}
	}()
	err = p.Checker.Check(ctx)
	if began, ok := AftermathSince(err); ok {
		return p.excuseAftermath(began, err)
	}
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return p.excuse(began, fmt.Errorf("timeout after %s: %w", p.Schedule.Timeout, err))
	}
	return err
}

// leave gives a hanging run its grace; a Checker that breaks its promise to
// return once its context is done must not hold up the shutdown.
func (p *Probe) leave() {
	if p.stuck == nil {
		return
	}
	late := time.NewTimer(grace)
	defer late.Stop()
	select {
	case <-p.stuck: //nolint:errcheck // nobody asks any more
	case <-late.C:
	}
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
	return p.attempt(ctx)
}
