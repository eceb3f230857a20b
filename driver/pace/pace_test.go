package pace

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A bell that nobody hears keeps one ring, and a mailbox the newest value.
func TestBellAndMailbox(t *testing.T) {
	bell, box := NewBell(), NewMailbox[int]()
	for i := range 3 {
		bell.Ring()
		box.Put(i)
	}
	<-bell
	select {
	case <-bell:
		t.Error("three rings are heard twice")
	default:
	}
	if got := <-box; got != 2 {
		t.Errorf("got %d, want the newest", got)
	}
	select {
	case got := <-box:
		t.Errorf("got %d too", got)
	default:
	}
}

func TestBackoff(t *testing.T) {
	for failures, want := range []time.Duration{1, 1, 2, 4, 5, 5} {
		if got := Backoff(time.Second, 5*time.Second, failures); got != want*time.Second {
			t.Errorf("after %d failures: %s, want %d s", failures, got, want)
		}
	}
	if got := Backoff(time.Minute, time.Second, 1); got != time.Second {
		t.Errorf("got %s, want no more than the most", got)
	}
}

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if !Wait(t.Context(), time.Hour) || time.Since(began) != time.Hour {
			t.Errorf("waited %s", time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if Wait(ctx, time.Hour) || time.Since(began) != time.Hour+time.Minute {
			t.Errorf("waited %s, though there was a minute", time.Since(began))
		}
	})
}

// Work that ends again and again is started ever later; work that has lasted for long
// is started again soon.
func TestKeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const first, most = 100 * time.Millisecond, 30 * time.Second
		ctx, cancel := context.WithCancel(t.Context())
		var pauses []time.Duration
		var told int
		ended := time.Now()
		Keep(ctx, first, most, func(context.Context) error {
			pauses = append(pauses, time.Since(ended))
			switch len(pauses) {
			case 12:
				Wait(ctx, time.Hour)
			case 13:
				Wait(ctx, most) // no longer: it did not work
			case 15:
				cancel()
			}
			ended = time.Now()
			return errors.New("no buffer space available")
		}, func(err error) {
			if err == nil {
				t.Error("told without the error")
			}
			told++
		})
		const ms = time.Millisecond
		want := []time.Duration{
			0, 100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms, 6400 * ms, 12800 * ms, 25600 * ms, most, most,
			100 * ms, 200 * ms, 400 * ms, // after the hour
		}
		if !slices.Equal(pauses, want) {
			t.Errorf("got  %v\nwant %v", pauses, want)
		}
		if told != 14 {
			t.Errorf("told %d times, want once for each run but the last", told)
		}
	})
}

// All run at the same time, and the errors come in the order of the items.
func TestSideBySide(t *testing.T) {
	var running atomic.Int32
	all := make(chan struct{})
	err := SideBySide([]string{"a", "b", "c"}, func(i int, item string) error {
		if running.Add(1) == 3 {
			close(all)
		}
		<-all
		if i == 1 {
			return nil
		}
		return errors.New(item)
	})
	if err == nil || err.Error() != "a\nc" {
		t.Errorf("got %v", err)
	}
	if err := SideBySide(nil, func(int, string) error { return errors.New("none") }); err != nil {
		t.Error(err)
	}
}

// What hangs is left alone after the limit.
func TestWithin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tc := range []struct {
			takes time.Duration
			want  bool
		}{{0, true}, {time.Second, true}, {3 * time.Second, false}} {
			began := time.Now()
			got := Within(2*time.Second, func() { time.Sleep(tc.takes) })
			if took := time.Since(began); got != tc.want || took != min(tc.takes, 2*time.Second) {
				t.Errorf("what takes %s: %t after %s", tc.takes, got, took)
			}
		}
		time.Sleep(time.Second)
	})
}

// Nobody waits longer than the limit for work that hangs.
func TestAnswer(t *testing.T) {
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
			got, err := Answer(time.Second, func() (int, error) {
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

func TestWaitForNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	for _, d := range []time.Duration{0, -time.Second} {
		if !Wait(ctx, d) {
			t.Errorf("%s: not over", d)
		}
	}
	cancel()
	for range 100 { // not by chance, as of two that are ready
		if Wait(ctx, 0) {
			t.Fatal("over, though ctx is done")
		}
	}
}
