package health

import (
	"context"
	"errors"
	"fmt"
	"time"
)

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
	if end, _ := ctx.Deadline(); err != nil && !time.Now().Before(end) { // ctx itself may learn of its end later
		return p.excuse(began, fmt.Errorf("timeout after %s: %w", p.Schedule.Timeout, err))
	}
	return err
}

// leaveStuck gives a hanging run its grace; a Checker that breaks its promise to
// return once its context is done must not hold up the shutdown.
func (p *Probe) leaveStuck() {
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
