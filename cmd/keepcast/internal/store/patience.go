package store

import (
	"context"
	"errors"
	"time"

	"github.com/keepcast/keepcast/driver/pace"
)

// Patience is how long anybody waits for a disk before it counts as one that hangs.
const Patience = 2 * time.Second

// ErrHangs is the error of a file system that does not answer.
var ErrHangs = errors.New("no answer within " + Patience.String() + ": the file system hangs")

// Within returns what work returns, or ErrHangs if that takes longer than the limit. Then
// work is left alone: nothing ends a goroutine that a file system holds. Work must
// change nothing, as it may end at any time.
func Within[T any](limit time.Duration, work func() (T, error)) (T, error) {
	type result struct {
		v   T
		err error
	}
	done := make(chan result, 1)
	if !pace.Within(limit, func() {
		v, err := work()
		done <- result{v, err}
	}) {
		var none T
		return none, ErrHangs
	}
	r := <-done
	return r.v, r.err
}

// Attended runs work. If that takes longer than the limit it calls late, once and before it
// returns, and goes on.
func Attended(limit time.Duration, late, work func()) {
	called := make(chan struct{})
	timer := time.AfterFunc(limit, func() {
		defer close(called)
		late()
	})
	work()
	if !timer.Stop() {
		<-called
	}
}

// Abandon runs work, which ends once ctx is done. If it has not Patience after that, it is
// left alone, and Abandon returns false: a file system that hangs holds up no stop.
func Abandon(ctx context.Context, work func(context.Context)) (ended bool) {
	over := make(chan struct{})
	go func() {
		defer close(over)
		work(ctx)
	}()
	select {
	case <-over:
		return true
	case <-ctx.Done():
	}
	return pace.Within(Patience, func() { <-over })
}
