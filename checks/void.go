package checks

import (
	"context"
	"errors"
	"sync/atomic"
	"syscall"
	"time"
)

// A probe has three outcomes: the service is fit, it failed, or the probe is void, since
// keepcast itself could not make it. A void probe says nothing of the service.

// voidError marks an error by which keepcast itself could not probe.
type voidError struct{ error }

func (v voidError) Unwrap() error { return v.error }

// Void marks an error by which keepcast itself could not probe. A nil error stays nil.
func Void(err error) error {
	if err == nil {
		return nil
	}
	return voidError{err}
}

// wanting are the errors of a process or a host that has no more of what a probe takes:
// descriptors, memory, buffers. The kernel returns none of them for what the service does.
var wanting = []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOBUFS}

// IsVoid reports whether an error is marked as void, or by its nature is.
func IsVoid(err error) bool {
	if _, marked := errors.AsType[voidError](err); marked {
		return true
	}
	for _, want := range wanting {
		if errors.Is(err, want) {
			return true
		}
	}
	return false
}

const (
	// pulseBeat is the time between two beats of a Pulse.
	pulseBeat = 20 * time.Millisecond
	// pulseShare is the part of a timeout for which keepcast may have been late, until a run
	// that timed out is void.
	pulseShare = 5
)

// Pulse tells how late this program is: whether it was given the processor when it needed
// it. The zero Pulse is on time.
type Pulse struct{ late atomic.Int64 }

// Run beats until ctx is done.
func (p *Pulse) Run(ctx context.Context) {
	timer := time.NewTimer(pulseBeat)
	defer timer.Stop()
	for due := time.Now().Add(pulseBeat); ; {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		now := time.Now()
		p.late.Add(int64(max(0, now.Sub(due))))
		due = now.Add(pulseBeat)
		timer.Reset(pulseBeat)
	}
}

// Late returns how late all beats together were since the start.
func (p *Pulse) Late() time.Duration {
	if p == nil {
		return 0
	}
	return time.Duration(p.late.Load())
}
