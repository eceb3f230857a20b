package store

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Nobody waits longer than the limit for work that hangs.
func TestWithin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		for name, tc := range map[string]struct {
			takes time.Duration
			want  int
			err   error
		}{
			"in time": {time.Second - 1, 1, nil}, "too late": {time.Second + 1, 0, ErrHangs}, "for ever": {time.Hour, 0, ErrHangs},
		} {
			began := time.Now()
			got, err := Within(time.Second, func() (int, error) {
				select {
				case <-release:
				case <-time.After(tc.takes):
				}
				return 1, nil
			})
			if took := time.Since(began); got != tc.want || !errors.Is(err, tc.err) || took != min(tc.takes, time.Second) {
				t.Errorf("%s: got %d, %v after %s", name, got, err, took)
			}
		}
		close(release)
	})
}

// Late is called while work goes on, once, and never after it.
func TestAttended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for takes, want := range map[time.Duration]int{0: 0, time.Second - 1: 0, time.Second + 1: 1, time.Hour: 1} {
			began, late := time.Now(), 0
			var ended atomic.Bool
			Attended(time.Second, func() {
				if ended.Load() || time.Since(began) != time.Second {
					t.Errorf("late after %s", time.Since(began))
				}
				late++
			}, func() {
				<-time.After(takes)
				ended.Store(true)
			})
			if late != want {
				t.Errorf("%s: late %d times, want %d", takes, late, want)
			}
		}
		// Work that ends while late is at it waits for it: what late tells comes first.
		slow := false
		Attended(time.Second, func() { <-time.After(time.Minute); slow = true }, func() { <-time.After(time.Second + 1) })
		if !slow {
			t.Error("late is still running")
		}
	})
}
