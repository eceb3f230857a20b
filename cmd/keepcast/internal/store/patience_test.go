package store

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

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
