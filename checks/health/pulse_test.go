package health

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// late notes a beat that comes now, late by so much.
func (p *Pulse) late(by time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.note(time.Now(), by)
}

// beats returns a Pulse whose beats came late by these times, one after the other.
func beats(late ...time.Duration) *Pulse {
	p := new(Pulse)
	for _, by := range late {
		time.Sleep(beat + by)
		p.late(by)
	}
	return p
}

func TestPulseLate(t *testing.T) {
	const ms = time.Millisecond
	for name, tt := range map[string]struct {
		late  []time.Duration
		since time.Duration // before now
		want  time.Duration
	}{
		"in time":            {[]time.Duration{0, 0, 0}, time.Second, 0},
		"as usual":           {[]time.Duration{ms, ms, ms}, time.Second, 0},
		"the longest":        {[]time.Duration{10 * ms, 50 * ms, 30 * ms}, time.Second, 50 * ms},
		"the last":           {[]time.Duration{10 * ms, 30 * ms, 50 * ms}, time.Second, 50 * ms},
		"before that":        {[]time.Duration{500 * ms, 0, 0}, 40 * ms, 0},
		"longest before":     {[]time.Duration{500 * ms, 30 * ms}, 100 * ms, 50 * ms}, // 50 ms of the first were after it
		"in its midst":       {[]time.Duration{500 * ms}, 100 * ms, 100 * ms},
		"two as long":        {[]time.Duration{30 * ms, 30 * ms}, 40 * ms, 30 * ms},
		"long ago":           {[]time.Duration{time.Second, 0, kept, 3 * ms}, time.Hour, kept},
		"not at all so soon": {nil, time.Second, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := beats(tt.late...)
				if got := p.Late(time.Now().Add(-tt.since)); got != tt.want {
					t.Errorf("got %s, want %s", got, tt.want)
				}
			})
		})
	}
}

// The delays that a Pulse keeps say the same as all delays would, and they are few.
func TestPulseKeepsEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := new(Pulse)
		var all []delay
		for range 2000 {
			by := time.Duration(rand.IntN(100)) * time.Millisecond
			time.Sleep(beat + by)
			p.late(by)
			all = append(all, delay{time.Now(), by})
			since := time.Now().Add(-time.Duration(rand.IntN(5000)) * time.Millisecond)
			var want time.Duration
			for _, d := range all {
				if own := min(d.by, d.at.Sub(since)); d.by >= noted && own > want {
					want = own
				}
			}
			if got := p.Late(since); got != want {
				t.Fatalf("since %s: got %s, want %s", time.Since(since), got, want)
			}
		}
		if len(p.delay) > 100 {
			t.Errorf("%d delays are kept", len(p.delay))
		}
	})
}

// A pulse that does not get to beat is late, and one that beats is not. One that rests
// knows nothing new, and what it noted stays.
func TestPulseBeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, began := new(Pulse), time.Now()
		want := func(what string, want time.Duration) {
			t.Helper()
			if got := p.Late(began); got != want {
				t.Errorf("%s: %s late, want %s", what, got, want)
			}
		}
		late := func(by time.Duration) { // as if it had not been woken since
			p.mu.Lock()
			defer p.mu.Unlock()
			p.due = p.due.Add(-by)
		}
		for range 2 { // it can start again
			p.start()
			p.start()
			time.Sleep(first + time.Minute + beat/2)
			want("beating", 0)
			p.stop()
			time.Sleep(time.Minute)
			want("beating for one of two", 0)
			late(time.Second)
			want("not woken", time.Second-beat/2)
			time.Sleep(beat)
			want("woken", time.Second)
			p.stop()
			time.Sleep(time.Minute)
			want("at rest", time.Second)
			began = time.Now()
		}
		time.Sleep(2 * time.Second)
		p.start()
		late(time.Second)
		p.start()
		want("not woken when one more started", time.Second-first)
		if got := p.Late(time.Now()); got != 0 {
			t.Errorf("since now it was %s late", got)
		}
		p.stop()
		p.stop()
		want("stopped before it was woken", 0)
		p.beat() // which was under way
		want("woken when it was stopped", 0)
		if p.timer.Stop() {
			t.Error("it is to be woken at rest")
		}
		p = nil
		p.start()
		want("no pulse", 0)
		p.stop()
	})
}

// The pulse of an idle host rests: to beat for nothing took a percent of a processor. It beats
// during a run, however long that takes, and from a failure to the next success, since it may
// be asked about the aftermath.
func TestPulseRests(t *testing.T) {
	dead, void := errors.New("dead"), Void(errors.New("no descriptor"))
	for _, outcomes := range [][]error{{nil, nil, dead, nil}, {nil, dead, nil, void}, {nil, void, dead, nil, dead}} {
		synctest.Test(t, func(t *testing.T) {
			pulse, n := new(Pulse), 0
			beats := func() bool {
				pulse.mu.Lock()
				defer pulse.mu.Unlock()
				return !pulse.due.IsZero()
			}
			ctx, stop := context.WithCancel(t.Context())
			p := NewProbe(checkFunc(func(context.Context) error {
				if time.Sleep(200 * time.Millisecond); !beats() {
					t.Error("it rests during a run")
				}
				return outcomes[n]
			}), schedule)
			p.Pulse = pulse
			p.Run(ctx, func(r Result) {
				if beats() != (r.Err != nil) {
					t.Errorf("after a run that ended with %v: beats %v", r.Err, beats())
				}
				if n++; n == len(outcomes) {
					stop()
				}
			})
			if beats() || pulse.users != 0 {
				t.Errorf("it beats for %d when the check has ended", pulse.users)
			}
		})
	}
}

// overdue is a context whose time is up, which does not say so yet.
type overdue struct{ context.Context }

func (overdue) Deadline() (time.Time, bool) { return time.Now(), true }

// A dial that times out may return before the context says that time is up. It was taken
// for a failure of the service then, also where keepcast itself was late.
func TestTimeoutBeforeTheContextEnds(t *testing.T) {
	p := NewProbe(checkFunc(func(context.Context) error { return errors.New("i/o timeout") }), schedule)
	p.Pulse = beats(101 * time.Millisecond)
	err := p.checked(overdue{t.Context()}, time.Now().Add(-time.Second))
	if want := "keepcast itself was 101ms late, for want of processor time: timeout after 500ms: i/o timeout"; !IsVoid(err) || err.Error() != want {
		t.Errorf("got %v", err)
	}
}

// While the processor was short, thousands of http checks of a healthy server ended with
// "timeout after 1s", and half of the services were withdrawn. A service that really
// hangs must fail all the same where keepcast was only a little late.
func TestTimeoutWhileKeepcastIsLate(t *testing.T) {
	hangs := checkFunc(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	refuses := checkFunc(func(ctx context.Context) error { <-ctx.Done(); return errors.New("") })
	deaf := checkFunc(func(context.Context) error { time.Sleep(3 * time.Second); return nil })
	dead := checkFunc(func(context.Context) error { time.Sleep(400 * time.Millisecond); return errors.New("dead") })
	for name, tt := range map[string]struct {
		check Checker
		late  time.Duration // at the end of each run
		want  []string
	}{
		"a fifth":           {hangs, 100 * time.Millisecond, []string{"down timeout after 500ms: context deadline exceeded"}},
		"more than that":    {hangs, 101 * time.Millisecond, []string{"void keepcast itself was 101ms late, for want of processor time: timeout after 500ms: context deadline exceeded"}},
		"much more":         {refuses, 400 * time.Millisecond, []string{"void keepcast itself was 400ms late, for want of processor time: timeout after 500ms: "}},
		"failed in time":    {dead, 400 * time.Millisecond, []string{"down dead"}},
		"does not end":      {deaf, 0, []string{"down timeout after 500ms, and the check does not end", "down the run before this one still hangs, though its timeout of 500ms is over"}},
		"does not end, but": {deaf, 400 * time.Millisecond, []string{"void keepcast itself was 400ms late, for want of processor time: timeout after 500ms, and the check does not end", "void keepcast itself was 400ms late, for want of processor time: the run before this one still hangs, though its timeout of 500ms is over"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pulse := new(Pulse)
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				go func() {
					for ctx.Err() == nil {
						time.Sleep(50 * time.Millisecond)
						pulse.late(tt.late)
					}
				}()
				s := schedule
				s.Fall = 1
				var got []string
				p := NewProbe(tt.check, s)
				p.Pulse = pulse
				p.Run(ctx, func(r Result) {
					what := r.Verdict.String()
					if r.Void {
						what = "void"
						if r.Verdict != Unknown {
							t.Errorf("a void run makes the verdict %s", r.Verdict)
						}
					}
					if got = append(got, fmt.Sprint(what, " ", r.Err)); len(got) == len(tt.want) {
						stop()
					}
				})
				if diff := cmp.Diff(strings.Join(tt.want, "\n"), strings.Join(got, "\n")); diff != "" {
					t.Error(diff)
				}
				time.Sleep(time.Minute) // the one that is deaf ends at last
			})
		})
	}
}

// A delay that is older than any timeout is of no use, and forgotten with the next one.
func TestPulseForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := beats(2*time.Second, time.Second)
		time.Sleep(kept + 1)
		p.late(noted)
		if len(p.delay) != 1 || p.delay[0].by != noted {
			t.Errorf("kept: %v", p.delay)
		}
	})
}

// A timeout for which keepcast itself was late says nothing of the service. A thousand
// checks on a busy processor withdrew half of the services that they checked.
func TestLateIsVoid(t *testing.T) {
	for name, tc := range map[string]struct {
		late time.Duration
		want bool
	}{
		"late for a fifth": {101 * time.Millisecond, true},
		"late for less":    {99 * time.Millisecond, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			pulse := &Pulse{}
			p := NewProbe(checkFunc(func(ctx context.Context) error {
				<-ctx.Done()
				pulse.late(tc.late)
				return errors.New("timed out")
			}), schedule)
			p.Pulse = pulse
			r := p.run(t.Context())
			if r.Void != tc.want {
				t.Errorf("%s: %+v", name, r)
			}
			if want := "keepcast itself was 101ms late, for want of processor time: timeout after 500ms: timed out"; tc.want && r.Err.Error() != want {
				t.Errorf("%s: got %v", name, r.Err)
			}
		})
	}
}

// A failure that is no timeout stays one, however late keepcast was.
func TestLateFailure(t *testing.T) {
	pulse := &Pulse{}
	p := NewProbe(checkFunc(func(context.Context) error {
		pulse.late(time.Hour)
		return errors.New("connection refused")
	}), schedule)
	p.Pulse = pulse
	if r := p.run(t.Context()); r.Void {
		t.Errorf("%+v", r)
	}
}
