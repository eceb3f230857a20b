package engine

import (
	"testing"
	"time"
)

// A failure begins anew once the service was up for hold_down_max after it was held
// down, and not a moment before.
func TestHoldWindow(t *testing.T) {
	const first, most = 10 * time.Second, time.Minute
	start := time.Now()
	for name, tc := range map[string]struct {
		failures int
		after    time.Duration
		want     int
	}{
		"the first one":                  {0, 0, 1},
		"at once":                        {1, 0, 2},
		"in the window":                  {1, first + most, 2},
		"after it":                       {1, first + most + 1, 1},
		"in that of the second":          {2, 2*first + most, 3},
		"after that of the second":       {2, 2*first + most + 1, 1},
		"in the longest of all windows":  {9, most + most, 10},
		"after the longest, a long time": {9, 24 * time.Hour, 1},
	} {
		h := hold{first: first, most: most, failures: tc.failures}
		if tc.failures > 0 {
			h.last = start
		}
		now := start.Add(tc.after)
		if h.failed(now); h.failures != tc.want || h.last != now {
			t.Errorf("%s: %d failures, the last at %s", name, h.failures, h.last)
		}
	}
}

func TestHoldUntil(t *testing.T) {
	now := time.Now()
	for name, tc := range map[string]struct {
		hold hold
		want time.Time
	}{
		"never failed":    {hold{first: time.Second, most: time.Minute}, time.Time{}},
		"no hold-down":    {hold{most: time.Minute, failures: 3, last: now.Add(time.Hour)}, time.Time{}}, // the clock was set back
		"once":            {hold{first: time.Second, most: time.Minute, failures: 1, last: now}, now.Add(time.Second)},
		"three times":     {hold{first: time.Second, most: time.Minute, failures: 3, last: now}, now.Add(4 * time.Second)},
		"no longer than":  {hold{first: time.Second, most: time.Minute, failures: 99, last: now}, now.Add(time.Minute)},
		"less than first": {hold{first: time.Minute, most: time.Second, failures: 1, last: now}, now.Add(time.Second)},
	} {
		if got := tc.hold.until(); got != tc.want {
			t.Errorf("%s: got %s, want %s", name, got, tc.want)
		}
	}
}
