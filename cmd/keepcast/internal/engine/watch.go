package engine

import (
	"context"
	"log/slog"
	"time"
)

// backoff is the wait before the attempt after so many failures in a row.
func backoff(first, most time.Duration, failures int) time.Duration {
	d := first
	for i := 1; i < failures && d < most; i++ {
		d *= 2
	}
	return min(d, most)
}

// pause waits for d, or returns false when ctx is done before.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// keepWatching runs watch again whenever it ends, until ctx is done, the later the
// oftener it ended soon. What is missed in between is found by looking every lookEvery.
func keepWatching(ctx context.Context, log *slog.Logger, watch func(context.Context, func()) error, changed func()) {
	for failures := 1; ; failures++ {
		began := time.Now()
		err := watch(ctx, changed)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > lookEvery { // it did work
			failures = 1
		}
		log.Debug("watch ended, starting it again", "err", err)
		if !pause(ctx, backoff(100*time.Millisecond, lookEvery, failures)) {
			return
		}
		changed()
	}
}
