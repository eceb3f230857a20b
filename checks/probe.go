package checks

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/keepcast/keepcast/driver/pace"
)

// Result is what one run of a check brought.
type Result struct {
	Err     error         // nil: fit
	Void    bool          // keepcast itself could not probe
	Verdict Verdict       // what the results add up to so far
	Moving  bool          // the last result contradicts the verdict
	At      time.Time     // when the run started
	Took    time.Duration // how long it ran
}

// Probe runs one Checker on its Schedule.
type Probe struct {
	Checker  Checker
	Schedule Schedule
	health   Health
	stuck    chan error // a run that outlived its timeout; nil when there is none
}

// NewProbe returns a Probe that has not run yet.
func NewProbe(c Checker, s Schedule) *Probe {
	return &Probe{Checker: c, Schedule: s, health: NewHealth(s.Rise, s.Fall, Unknown)}
}

// Run checks at once, then on schedule and whenever a Watcher wakes it, and
// hands every result to report, until ctx is done. Never do two runs of the
// check overlap.
func (p *Probe) Run(ctx context.Context, report func(Result)) {
	var watching sync.WaitGroup
	defer watching.Wait()
	wake := pace.NewBell()
	if w, ok := p.Checker.(Watcher); ok {
		watching.Go(func() { keepWatching(ctx, w, wake.Ring) })
	}
	start := time.Now()
	for ctx.Err() == nil {
		result := p.run(ctx)
		if ctx.Err() != nil {
			break
		}
		report(result)
		now := time.Now()
		next := p.Schedule.slot(start, now)
		if p.health.Moving() {
			next = result.At.Add(p.Schedule.fast())
		}
		if next.After(now) {
			wait(ctx, next.Sub(now), wake)
		}
	}
	p.leave()
}

// wait returns when d is over, a Watcher wakes the probe or ctx is done.
func wait(ctx context.Context, d time.Duration, wake <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-wake:
	}
}

// run makes one run and adds its result to the health.
func (p *Probe) run(ctx context.Context) Result {
	at := time.Now()
	err := p.attempt(ctx)
	verdict := p.health.Add(err)
	return Result{Err: err, Verdict: verdict, Moving: p.health.Moving(), At: at, Took: time.Since(at)}
}

// grace is how long a Checker may take to return once its context is done.
const grace = time.Second

// attempt runs the check with its timeout. A check that does not return even
// then counts as failed, and fails again at each turn until it has returned.
func (p *Probe) attempt(ctx context.Context) error {
	if p.stuck != nil {
		select {
		case <-p.stuck: //nolint:errcheck // too late to be of use
			p.stuck = nil
		default:
			return fmt.Errorf("the run before this one still hangs, though its timeout of %s is over", p.Schedule.Timeout)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, p.Schedule.Timeout)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- p.checked(ctx) }()
	late := time.NewTimer(p.Schedule.Timeout + grace)
	defer late.Stop()
	select {
	case err := <-done:
		return err
	case <-late.C:
		p.stuck = done
		return fmt.Errorf("timeout after %s, and the check does not end", p.Schedule.Timeout)
	}
}

// checked is Check with panics and timeouts put into words.
func (p *Probe) checked(ctx context.Context) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the check panicked: %v (a bug in keepcast: please report it)", r)
		}
	}()
	err = p.Checker.Check(ctx)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("timeout after %s: %w", p.Schedule.Timeout, err)
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
