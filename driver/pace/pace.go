// Package pace is how goroutines keep pace with each other and with what fails: a
// bell, a mailbox for the newest value, a wait that grows with each failure, and
// doing the same thing side by side. It knows neither checks nor drivers; both use it.
package pace

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Bell wakes one goroutine. Ringing it twice before it is heard is ringing it once.
type Bell chan struct{}

// NewBell returns a Bell that has not been rung.
func NewBell() Bell { return make(Bell, 1) }

// Ring never blocks.
func (b Bell) Ring() {
	select {
	case b <- struct{}{}:
	default:
	}
}

// Mailbox holds the newest value that was put and not yet taken. Older ones are of
// no use, so a slow reader catches up in one step. One goroutine puts.
type Mailbox[T any] chan T

// NewMailbox returns an empty Mailbox.
func NewMailbox[T any]() Mailbox[T] { return make(Mailbox[T], 1) }

// Put never blocks. It replaces what was not taken yet.
func (m Mailbox[T]) Put(v T) {
	for {
		select {
		case m <- v:
			return
		default:
		}
		select {
		case <-m:
		default:
		}
	}
}

// Backoff returns how long to wait after so many failures in a row: first after one,
// twice as long after each further one, never longer than most.
func Backoff(first, most time.Duration, failures int) time.Duration {
	d := first
	for i := 1; i < failures && d < most; i++ {
		d *= 2
	}
	return min(d, most)
}

// Wait waits for d. It returns false if ctx is done before.
func Wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// Within calls wait and returns true once it has returned. It returns false if that takes
// longer than limit, and leaves the call alone: the end of a program must not hang on what
// hangs.
func Within(limit time.Duration, wait func()) bool {
	done := make(chan struct{})
	go func() {
		wait()
		close(done)
	}()
	late := time.NewTimer(limit)
	defer late.Stop()
	select {
	case <-done:
		return true
	case <-late.C:
		return false
	}
}

// Patience is how long anybody waits for a file system before it counts as one that hangs.
const Patience = 2 * time.Second

// ErrHangs is the error of a file system that does not answer. Whoever waits for one can't tell
// it from a host on which nothing is done in time.
var ErrHangs = errors.New("no answer within " + Patience.String() + ": the file system hangs, or the host is very busy")

// Answer returns what work returns, or ErrHangs if that takes longer than the limit. Then
// work is left alone: nothing ends a goroutine that a file system holds. Work must
// change nothing, as it may end at any time.
func Answer[T any](limit time.Duration, work func() (T, error)) (T, error) {
	type result struct {
		v   T
		err error
	}
	done := make(chan result, 1)
	if !Within(limit, func() {
		v, err := work()
		done <- result{v, err}
	}) {
		var none T
		return none, ErrHangs
	}
	r := <-done
	return r.v, r.err
}

// Done is Answer of work that has nothing to return.
func Done(limit time.Duration, work func() error) error {
	_, err := Answer(limit, func() (struct{}, error) { return struct{}{}, work() })
	return err
}

// Keep runs work again whenever it ends, until ctx is done. It waits before each
// further run: first after one run that ended soon, longer after each one more. A run
// that lasted longer than most counts as one that worked. After the wait Keep tells
// again, unless that is nil, what error the run before ended with.
func Keep(ctx context.Context, first, most time.Duration, work func(context.Context) error, again func(error)) {
	for failures := 1; ; failures++ {
		began := time.Now()
		err := work(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > most {
			failures = 1
		}
		if !Wait(ctx, Backoff(first, most, failures)) {
			return
		}
		if again != nil {
			again(err)
		}
	}
}

// SideBySide calls work for all items at the same time. It returns when all are done,
// with their errors joined in the order of the items.
func SideBySide[T any](items []T, work func(i int, item T) error) error {
	errs := make([]error, len(items))
	var wg sync.WaitGroup
	for i, item := range items {
		wg.Go(func() { errs[i] = work(i, item) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
