package health

import (
	"bytes"
	"context"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// starts starts a probe after a time, for d. What it returns says when its runs began, since now.
// The probe ends before the test does, once.
func starts(t *testing.T, p *Probe, after, d time.Duration) (at func() []time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	start, began, ended := time.Now(), []time.Duration{}, 0
	p.Start(ctx, after, func(r Result) { began = append(began, r.At.Sub(start)) }, func() { ended++ })
	t.Cleanup(func() {
		cancel()
		time.Sleep(time.Minute)
		synctest.Wait()
		if ended != 1 {
			t.Errorf("ended %d times", ended)
		}
	})
	return func() []time.Duration {
		synctest.Wait()
		return began
	}
}

var instant = checkFunc(func(context.Context) error { return nil })

// A check that rests has no goroutine.
func TestRestsWithoutAGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := starts(t, NewProbe(instant, schedule), time.Second, time.Minute)
		for range 2 {
			synctest.Wait()
			stacks := make([]byte, 1<<20)
			stacks = stacks[:runtime.Stack(stacks, true)]
			if bytes.Contains(stacks, []byte("(*Probe)")) {
				t.Errorf("it has one:\n%s", stacks)
			}
			time.Sleep(3 * time.Second)
		}
		if len(at()) != 8 {
			t.Errorf("ran at %s", at())
		}
	})
}

// The checks of a start begin one after the other, and what wakes them all does not change
// that. It is answered by the first run, as that begins later.
func TestWakeBeforeTheFirstRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := schedule
		s.Interval, s.Rise = time.Hour, 1
		p := NewProbe(instant, s)
		p.Wake()
		at := starts(t, p, time.Second, time.Minute)
		p.Wake()
		time.Sleep(500 * time.Millisecond)
		p.Wake()
		p.Hurry()
		time.Sleep(time.Minute - time.Second)
		if diff := cmp.Diff([]time.Duration{time.Second}, at()); diff != "" {
			t.Error(diff)
		}
	})
}

// A wake during a run that is still under way when the next one is due asks for one run, not
// for two.
func TestWakeDuringALongRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := schedule
		s.Interval, s.FastInterval, s.Rise, s.Jitter = 10*time.Second, 250*time.Millisecond, 2, 0
		p := NewProbe(checkFunc(func(context.Context) error { time.Sleep(400 * time.Millisecond); return nil }), s)
		at := starts(t, p, 0, 5*time.Second)
		time.Sleep(100 * time.Millisecond)
		p.Wake()
		time.Sleep(4 * time.Second)
		if diff := cmp.Diff([]time.Duration{0, 400 * time.Millisecond}, at()); diff != "" {
			t.Error(diff)
		}
	})
}

// The timer may ring while a wake already has the check run, or for a run that a wake has had
// begin earlier. That ring is of no use, and the run after it comes when it is due.
func TestRingThatIsOfNoUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := schedule
		s.Rise, s.Jitter = 1, 0
		p := NewProbe(checkFunc(func(context.Context) error { time.Sleep(100 * time.Millisecond); return nil }), s)
		at := starts(t, p, 0, 10*time.Second)
		time.AfterFunc(50*time.Millisecond, p.ring) // in a run
		time.AfterFunc(1500*time.Millisecond, func() {
			p.rest.timer.Stop()
			p.ring() // whatever the timer was set to
		})
		time.Sleep(2500 * time.Millisecond)
		if diff := cmp.Diff([]time.Duration{0, time.Second, 2 * time.Second}, at()); diff != "" {
			t.Error(diff)
		}
	})
}

// A probe ends at any moment: before its first run, in one, at rest, and when one begins. None
// begins after that, whatever wakes it.
func TestEndAtAnyMoment(t *testing.T) {
	for ends := time.Duration(0); ends < 1500*time.Millisecond; ends += 50 * time.Millisecond {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			p := NewProbe(checkFunc(func(context.Context) error {
				if since := time.Since(start); since > ends {
					t.Errorf("runs %s after the start, and %s after the end", since, since-ends)
				}
				time.Sleep(100 * time.Millisecond)
				return nil
			}), schedule)
			starts(t, p, 200*time.Millisecond, ends)
			time.Sleep(ends + time.Second)
			p.Wake()
			p.Hurry()
		})
	}
}

// A probe that has ended before its first run is due has none.
func TestEndBeforeTheFirstRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for range 100 { // the timer may come before the end does
			NewProbe(checkFunc(func(context.Context) error { t.Error("it runs"); return nil }), schedule).Run(ctx, func(Result) {})
		}
	})
}

// Whatever wakes a check, however long it runs: no two runs of it overlap, each wake is
// followed by a run soon, and the regular ones go on.
func TestRestProperty(t *testing.T) {
	for seed := range uint64(300) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			s := schedule
			s.Jitter = 0
			var mu sync.Mutex // guards what follows
			running, last, asked := false, time.Now(), time.Time{}
			p := NewProbe(checkFunc(func(context.Context) error {
				mu.Lock()
				if running {
					t.Errorf("seed %d: two runs at a time", seed)
				}
				if gap := time.Since(last); gap > s.Interval {
					t.Errorf("seed %d: a run begins %s after the end of the one before", seed, gap)
				}
				running, asked = true, time.Time{}
				takes := time.Duration(random.IntN(500)) * time.Millisecond
				mu.Unlock()
				time.Sleep(takes)
				mu.Lock()
				defer mu.Unlock()
				running, last = false, time.Now()
				return nil
			}), s)
			at := starts(t, p, 0, 20*time.Second)
			for end := time.Now().Add(19 * time.Second); time.Now().Before(end); {
				mu.Lock()
				if waits := time.Since(asked); !asked.IsZero() && !running && waits > wakeBurst*wakeGap+500*time.Millisecond {
					t.Errorf("seed %d: a wake waits for %s", seed, waits)
				}
				hurry := random.IntN(4) == 0
				if !hurry && asked.IsZero() {
					asked = time.Now()
				}
				pause := time.Duration(random.IntN(300)) * time.Millisecond
				mu.Unlock()
				if hurry {
					p.Hurry()
				} else {
					p.Wake()
				}
				time.Sleep(pause)
				synctest.Wait()
			}
			if n := len(at()); n < 20 {
				t.Errorf("seed %d: %d runs", seed, n)
			}
		})
	}
}

// The watches of a start begin one after the other, too.
func TestWatchBeginsWithTheFirstRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var began []time.Time
		w := ending{instant, func(int) time.Duration { return time.Hour }, &began}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start, ended := time.Now(), make(chan struct{})
		NewProbe(w, schedule).Start(ctx, time.Second, func(Result) {}, func() { close(ended) })
		<-ended
		if len(began) != 1 || began[0].Sub(start) != time.Second {
			t.Errorf("began at %s, the start was %s", began, start)
		}
	})
}
