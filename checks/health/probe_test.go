package health

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// checkFunc makes a function a Checker.
type checkFunc func(ctx context.Context) error

func (f checkFunc) Check(ctx context.Context) error { return f(ctx) }

var schedule = Schedule{Interval: time.Second, FastInterval: 250 * time.Millisecond, Timeout: 500 * time.Millisecond, Rise: 3, Fall: 2}

// Run is Start at once, for somebody who waits for the end.
func (p *Probe) Run(ctx context.Context, report func(Result)) {
	ended := make(chan struct{})
	p.Start(ctx, 0, report, func() { close(ended) })
	<-ended
}

// run runs a probe for d and returns its results, with times since the start.
func run(t *testing.T, c Checker, s Schedule, d time.Duration) (at []time.Duration, results []Result) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	start := time.Now()
	NewProbe(c, s).Run(ctx, func(r Result) {
		at, results = append(at, r.At.Sub(start)), append(results, r)
	})
	return at, results
}

func TestScheduleDoesNotDrift(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := checkFunc(func(context.Context) error { time.Sleep(300 * time.Millisecond); return nil })
		at, _ := run(t, slow, schedule, 4500*time.Millisecond)
		ms := time.Millisecond
		// Three at the fast interval (each takes longer than that), then on the grid.
		want := []time.Duration{0, 300 * ms, 600 * ms, 1000 * ms, 2000 * ms, 3000 * ms, 4000 * ms}
		if diff := cmp.Diff(want, at); diff != "" {
			t.Error(diff)
		}
	})
}

func TestRiseAndFall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		dies := checkFunc(func(context.Context) error {
			if n++; n > 5 {
				return errors.New("dead")
			}
			return nil
		})
		at, results := run(t, dies, schedule, 4900*time.Millisecond)
		var verdicts []string
		for _, r := range results {
			verdicts = append(verdicts, r.Verdict.String())
		}
		if diff := cmp.Diff(strings.Fields("unknown unknown up up up up down down"), verdicts); diff != "" {
			t.Error(diff)
		}
		if d := at[6] - at[5]; d != 250*time.Millisecond {
			t.Errorf("the second failure comes %s after the first, want the fast interval", d)
		}
	})
}

func TestJitterStaysInItsShare(t *testing.T) {
	start := time.Now()
	for _, share := range []float64{0, .001, .01, .5, 1} {
		s := schedule
		s.Jitter = share
		for now := start; now.Before(start.Add(20 * time.Second)); now = now.Add(7 * time.Millisecond) {
			slot := start.Add(now.Sub(start).Truncate(time.Second) + time.Second)
			if off := s.slot(start, now).Sub(slot); off < 0 || off > time.Duration(share*float64(time.Second)) {
				t.Errorf("jitter %g: at %s the next run comes %s after its slot", share, now.Sub(start), off)
			}
		}
	}
}

// Checks that start together do not run together for ever, unless the operator has them do so.
func TestChecksSpread(t *testing.T) {
	for jitter, want := range map[float64]int{0: 1, .001: 10, .1: 10} { // tenths of the interval in which some run
		synctest.Test(t, func(t *testing.T) {
			s := schedule
			s.Jitter = jitter
			tenths := map[time.Duration]bool{}
			for range 200 {
				at, _ := run(t, checkFunc(func(context.Context) error { return nil }), s, 10*time.Second)
				if len(at) < 11 || len(at) > 14 { // three of them at the fast interval
					t.Errorf("%d runs in 10 s", len(at))
				}
				tenths[at[len(at)-1]%s.Interval/(s.Interval/10)] = true
			}
			if len(tenths) != want {
				t.Errorf("with a jitter of %g the checks run in %d tenths of the interval, want %d", jitter, len(tenths), want)
			}
		})
	}
}

// Many checks wake keepcast less often than each by itself would.
func TestRunsBeginAtTicks(t *testing.T) {
	start := time.Now()
	s := schedule
	s.Jitter = .1
	moments := map[int64]int{}
	for range 1000 {
		moments[s.slot(start, start).UnixNano()]++
	}
	var runs []int
	for _, n := range moments {
		runs = append(runs, n)
	}
	slices.SortFunc(runs, func(a, b int) int { return b - a })
	if len(runs) < 2 || runs[0]+runs[1] < 400 { // those before the first tick have no choice
		t.Errorf("1000 runs begin at %d moments", len(runs))
	}
}

func TestBadChecks(t *testing.T) {
	for name, tc := range map[string]struct {
		check checkFunc
		want  []string
	}{
		"panics": {
			func(context.Context) error { panic("index out of range") },
			[]string{"the check panicked: index out of range (a bug in keepcast: please report it)"},
		},
		"times out": {
			func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
			[]string{"timeout after 500ms: context deadline exceeded"},
		},
		"does not end": {
			func(ctx context.Context) error { time.Sleep(10 * time.Second); return nil },
			[]string{"timeout after 500ms, and the check does not end", "the run before this one still hangs, though its timeout of 500ms is over"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, results := run(t, tc.check, schedule, 5*time.Second)
				for i, want := range tc.want {
					if results[i].Err == nil || results[i].Err.Error() != want {
						t.Errorf("run %d: got %v, want %s", i, results[i].Err, want)
					}
				}
				if v := results[len(results)-1].Verdict; v != Down {
					t.Errorf("verdict %s", v)
				}
				time.Sleep(time.Minute) // the one that does not end ends at last
			})
		})
	}
}

// A check that is woken runs at once, and once for all who wake it while it runs. That it is to
// prove itself anew is for Hurry.
func TestWake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		slow := schedule
		slow.Interval, slow.Rise = time.Hour, 1
		p := NewProbe(checkFunc(func(context.Context) error { time.Sleep(100 * time.Millisecond); return nil }), slow)
		start := time.Now()
		for _, at := range []time.Duration{2000, 2010, 2020} {
			time.AfterFunc(at*time.Millisecond, p.Wake)
		}
		var at []time.Duration
		p.Run(ctx, func(r Result) { at = append(at, r.At.Sub(start)) })
		if diff := cmp.Diff([]time.Duration{0, 2000 * time.Millisecond, 2100 * time.Millisecond}, at); diff != "" {
			t.Error(diff)
		}
	})
}

func TestNeverTwoRunsAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		running := 0
		c := checkFunc(func(context.Context) error {
			if running++; running > 1 {
				t.Error("two runs at a time")
			}
			time.Sleep(5 * time.Second) // whatever its context says
			running--
			return nil
		})
		run(t, c, schedule, time.Minute)
		time.Sleep(time.Minute)
	})
}

// What was wrong may be over long before an interval of an hour is.
func TestFailedRunsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := schedule
		s.Interval, s.Jitter = time.Hour, 0
		at, _ := run(t, checkFunc(func(context.Context) error { return errors.New("dead") }), s, time.Minute+time.Second)
		ms := time.Millisecond
		if diff := cmp.Diff([]time.Duration{0, 250 * ms, 30*time.Second + 250*ms, 60*time.Second + 250*ms}, at); diff != "" {
			t.Errorf("ran (-want +got):\n%s", diff)
		}
	})
}

// The end of a probe waits for a run that hangs, but only for a while.
func TestEndWhileARunHangs(t *testing.T) {
	for name, tt := range map[string]struct{ ends, want time.Duration }{
		"it ends in time": {1900 * time.Millisecond, 1900 * time.Millisecond},
		"it hangs on":     {time.Minute, 1600*time.Millisecond + grace},
		"it has ended":    {1500*time.Millisecond + 1, 1600 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				run(t, checkFunc(func(context.Context) error { time.Sleep(tt.ends); return nil }), schedule, 1600*time.Millisecond)
				if took := time.Since(start); took != tt.want {
					t.Errorf("ended after %s, want %s", took, tt.want)
				}
				time.Sleep(time.Minute)
			})
		})
	}
}

// watched is a Watcher that reports a change when the test says so.
type watched struct {
	checkFunc
	change chan struct{}
}

func (w watched) Watch(ctx context.Context, changed func()) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-w.change:
			changed()
		}
	}
}

func TestWatcherWakesItsCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := schedule
		s.Interval, s.Rise = time.Hour, 1
		w := watched{func(context.Context) error { return nil }, make(chan struct{})}
		go func() {
			time.Sleep(7 * time.Second)
			w.change <- struct{}{}
		}()
		at, _ := run(t, w, s, time.Minute)
		if diff := cmp.Diff([]time.Duration{0, 7 * time.Second}, at); diff != "" {
			t.Error(diff)
		}
	})
}

// ending is a Watcher whose watch works for some time, then ends.
type ending struct {
	checkFunc
	works func(n int) time.Duration
	began *[]time.Time
}

func (e ending) Watch(context.Context, func()) error {
	*e.began = append(*e.began, time.Now())
	time.Sleep(e.works(len(*e.began)))
	return errors.New("no buffer space available")
}

// A watch that ends again and again is started ever later; one that has worked for
// long is started again soon.
func TestWatchIsStartedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var began []time.Time
		works := func(n int) time.Duration { return map[int]time.Duration{8: time.Hour}[n] }
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour)
		defer cancel()
		go keepWatching(ctx, ending{works: works, began: &began}, func() {})
		time.Sleep(time.Hour + 2*time.Minute)
		synctest.Wait()
		var pauses []time.Duration
		for i, at := range began[1:min(10, len(began))] {
			pauses = append(pauses, at.Sub(began[i])-works(i+1))
		}
		const s = time.Second
		if diff := cmp.Diff([]time.Duration{s, 2 * s, 4 * s, 8 * s, 16 * s, rewatch, rewatch, s, 2 * s}, pauses); diff != "" {
			t.Errorf("pauses (-want +got):\n%s", diff)
		}
		cancel()
	})
}

// A run that begins when it is due is not late: not one at the fast interval, one on the
// grid, one that the run before held up, nor one that was woken.
func TestNotLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		n := 0
		p := NewProbe(checkFunc(func(ctx context.Context) error {
			n++
			time.Sleep([]time.Duration{0, 300 * time.Millisecond, 20 * time.Millisecond}[n%3])
			if n%7 == 0 {
				return errors.New("dead")
			}
			return nil
		}), schedule)
		for _, after := range []time.Duration{3300, 3310, 3320, 3330, 3340, 3350, 3360, 8010} {
			time.AfterFunc(after*time.Millisecond, p.Wake)
		}
		p.Run(ctx, func(r Result) {
			if r.Late != 0 {
				t.Errorf("run %d begins %s late", n, r.Late)
			}
		})
		if n < 25 {
			t.Errorf("%d runs", n)
		}
	})
}

func TestLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewProbe(checkFunc(func(context.Context) error { time.Sleep(time.Millisecond); return nil }), schedule)
		var got Result
		now := time.Now()
		p.turn(t.Context(), now.Add(-70*time.Millisecond), func(r Result) { got = r })
		if got.Late != 70*time.Millisecond {
			t.Errorf("it begins %s late", got.Late)
		}
	})
}

// closer is a Checker that keeps something between runs.
type closer struct {
	checkFunc
	closed int
}

func (c *closer) Close() error { c.closed++; return nil }

// What a check keeps between runs is let go of once when it ends.
func TestClose(t *testing.T) {
	c := &closer{checkFunc: func(context.Context) error { return nil }}
	if err := Once(t.Context(), c, time.Second); err != nil || c.closed != 1 {
		t.Errorf("got %v, closed %d times", err, c.closed)
	}
	synctest.Test(t, func(t *testing.T) {
		c := &closer{}
		c.checkFunc = func(context.Context) error {
			if c.closed > 0 {
				t.Error("closed while it runs")
			}
			return nil
		}
		run(t, c, schedule, 5*time.Second)
		if c.closed != 1 {
			t.Errorf("closed %d times", c.closed)
		}
	})
}
