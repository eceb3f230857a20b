package health

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// mortal is a service that is fit until it dies. A run sees it as it is when
// the run starts, and takes its time to say so.
type mortal struct {
	took  func() time.Duration
	onRun func()
	fails func() error
	dead  context.Context // done when it dies, for watches
	die   func()
	died  atomic.Int64 // when, by the clock of the bubble; 0: alive
}

func newMortal(took func() time.Duration) *mortal {
	m := &mortal{took: took}
	ctx, cancel := context.WithCancel(context.Background())
	m.dead = ctx
	m.die = func() {
		if m.died.CompareAndSwap(0, time.Now().UnixNano()) {
			cancel()
		}
	}
	return m
}

func (m *mortal) Check(ctx context.Context) error {
	dead := m.died.Load() != 0
	m.onRun()
	<-time.NewTimer(m.took()).C // never beyond the timeout
	if dead {
		return m.fails()
	}
	return nil
}

// watchedMortal also tells of its death.
type watchedMortal struct{ *mortal }

func (m watchedMortal) Watch(ctx context.Context, changed func()) error {
	select {
	case <-m.dead.Done():
		changed()
		<-ctx.Done()
	case <-ctx.Done():
	}
	return nil
}

// mourn returns the time from a death to the verdict. The service dies right
// after the start of a run, or after a time of its own where dies is not 0.
func mourn(t *testing.T, s Schedule, dies time.Duration, took func() time.Duration, watched bool) time.Duration {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	m := newMortal(took)
	defer m.die()
	runs, failed := 0, 0
	m.fails = func() error { // those that count come first
		if failed++; failed < s.Fall {
			return errors.New("dead")
		}
		return Certain(errors.New("dead"))
	}
	m.onRun = func() {
		if runs++; dies == 0 && runs > s.Rise+3 {
			m.die()
		}
	}
	if dies > 0 {
		defer time.AfterFunc(dies, m.die).Stop()
	}
	var c Checker = m
	if watched {
		c = watchedMortal{m}
	}
	var after time.Duration
	NewProbe(c, s).Run(ctx, func(r Result) {
		if died := m.died.Load(); r.Verdict == Down && died != 0 {
			after = time.Since(time.Unix(0, died))
			cancel()
		}
	})
	cancel()
	return after
}

// schedules are usual ones and those in which runs miss their slots.
var schedules = map[string]Schedule{
	"default":      {Interval: time.Second, FastInterval: 250 * time.Millisecond, Timeout: 500 * time.Millisecond, Jitter: .1, Rise: 3, Fall: 2},
	"fall 1":       {Interval: time.Second, FastInterval: 250 * time.Millisecond, Timeout: 500 * time.Millisecond, Jitter: .1, Rise: 1, Fall: 1},
	"no jitter":    {Interval: time.Second, FastInterval: 700 * time.Millisecond, Timeout: 500 * time.Millisecond, Rise: 1, Fall: 3},
	"slow timeout": {Interval: time.Second, FastInterval: 250 * time.Millisecond, Timeout: 3500 * time.Millisecond, Jitter: .2, Rise: 1, Fall: 2},
	"just missed":  {Interval: time.Second, FastInterval: 250 * time.Millisecond, Timeout: 950 * time.Millisecond, Jitter: .5, Rise: 1, Fall: 2},
	"same":         {Interval: time.Second, FastInterval: time.Second, Timeout: time.Second, Jitter: .1, Rise: 1, Fall: 2},
	"all jitter":   {Interval: time.Second, FastInterval: 250 * time.Millisecond, Timeout: 300 * time.Millisecond, Jitter: 1, Rise: 1, Fall: 2},
	"patience":     {Interval: time.Second, FastInterval: 250 * time.Millisecond, Timeout: 500 * time.Millisecond, Jitter: .1, Rise: 1, Fall: 3, Patience: 2*time.Second + 1},
	"slow fast":    {Interval: time.Minute, FastInterval: time.Hour, Timeout: 10 * time.Second, Jitter: .1, Rise: 1, Fall: 3},
}

// The figure holds whatever the service does, and is reached but for the luck
// of the jitter.
func TestWorstCase(t *testing.T) {
	for name, s := range schedules {
		for _, watched := range []bool{false, true} {
			t.Run(name+map[bool]string{true: " told"}[watched], func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					figure := s.WorstCase(watched)
					var worst time.Duration
					for range 400 {
						slow := func() time.Duration { return s.Timeout }
						worst = max(worst, mourn(t, s, 0, slow, watched))
						any := func() time.Duration { return rand.N(s.Timeout + 1) }
						worst = max(worst, mourn(t, s, 5*s.Interval+rand.N(3*s.Interval), any, watched))
					}
					luck := time.Duration(s.Jitter * float64(s.Interval) / 2)
					if watched {
						luck = 0
					}
					if s.Patience > 0 {
						luck++ // the last run that does not count begins right before it is over
					}
					if worst > figure || worst < figure-luck {
						t.Errorf("seen after %s at the worst, computed %s", worst, figure)
					}
				})
			})
		}
	}
}

func TestWorstCaseFigures(t *testing.T) {
	for name, want := range map[string][2]time.Duration{
		"default":      {2100 * time.Millisecond, 1500 * time.Millisecond},
		"fall 1":       {1600 * time.Millisecond, time.Second},
		"no jitter":    {2900 * time.Millisecond, 2400 * time.Millisecond},
		"slow timeout": {11200 * time.Millisecond, 10500 * time.Millisecond},
		"just missed":  {4350 * time.Millisecond, 2850 * time.Millisecond},
		"same":         {4100 * time.Millisecond, 3 * time.Second},
		"all jitter":   {2900 * time.Millisecond, 900 * time.Millisecond},
		"patience":     {5100*time.Millisecond + 1, 4500*time.Millisecond + 1},
	} {
		s := schedules[name]
		if got := [2]time.Duration{s.WorstCase(false), s.WorstCase(true)}; got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
