package health

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// restless is a Watcher whose service changes each time that it is asked.
type restless struct{ changed chan struct{} }

func (r restless) Check(context.Context) error {
	select {
	case r.changed <- struct{}{}:
	default:
	}
	return nil
}

func (r restless) Watch(ctx context.Context, changed func()) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.changed:
			changed()
		}
	}
}

// A few changes that come after quiet wake the check at once. A flood of them does not have
// it ask without a pause.
func TestWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := schedule
		s.Interval, s.Rise, s.Jitter = time.Hour, 1, 0
		at, _ := run(t, restless{make(chan struct{}, 1)}, s, 10*time.Second)
		if diff := cmp.Diff(make([]time.Duration, 1+wakeBurst), at[:1+wakeBurst]); diff != "" {
			t.Errorf("the first are late (-want +got):\n%s", diff)
		}
		if n, most := len(at), 1+wakeBurst+int(10*time.Second/wakeGap); n > most || n < most/2 {
			t.Errorf("ran %d times in 10s, want up to %d", n, most)
		}
	})
}

// One that is due anyway is not held back by a flood.
func TestWakesHoldNothingBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := schedule
		s.Interval, s.FastInterval, s.Rise, s.Jitter = 20*time.Millisecond, 20*time.Millisecond, 1, 0
		at, _ := run(t, restless{make(chan struct{}, 1)}, s, 10*time.Second)
		for i := range at[1:] {
			if d := at[i+1] - at[i]; d > 20*time.Millisecond {
				t.Fatalf("run %d comes %s after the one before", i+1, d)
			}
		}
	})
}
