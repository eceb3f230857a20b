package store

import (
	"errors"
	"time"
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
	go func() {
		v, err := work()
		done <- result{v, err}
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case r := <-done:
		return r.v, r.err
	case <-timer.C:
		var none T
		return none, ErrHangs
	}
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
