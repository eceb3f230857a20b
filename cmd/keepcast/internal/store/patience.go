package store

import (
	"context"
	"time"

	"github.com/keepcast/keepcast/driver/pace"
)

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

// Abandon runs work, which ends once ctx is done. If it has not ended pace.Patience after
// that, it is left alone, and Abandon returns false: a file system that hangs holds up no
// stop.
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
	return pace.Within(pace.Patience, func() { <-over })
}
