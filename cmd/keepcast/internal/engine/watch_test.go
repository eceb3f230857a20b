package engine

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// A watch that ends again and again is started ever later; one that has worked for
// long is started again at once.
func TestKeepWatching(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var pauses []time.Duration
		ended := time.Now()
		watch := func(context.Context, func()) error {
			pauses = append(pauses, time.Since(ended))
			switch len(pauses) {
			case 12:
				later(time.Hour)
			case 14:
				cancel()
			}
			ended = time.Now()
			return errors.New("no buffer space available")
		}
		keepWatching(ctx, slog.New(slog.DiscardHandler), watch, func() {})
		const ms = time.Millisecond
		want := []time.Duration{
			0, 100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms, 6400 * ms, 12800 * ms, 25600 * ms, lookEvery, lookEvery,
			100 * ms, 200 * ms, // after the hour
		}
		if !slices.Equal(pauses, want) {
			t.Errorf("got  %v\nwant %v", pauses, want)
		}
	})
}
