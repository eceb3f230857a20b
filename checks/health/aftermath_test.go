package health

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// On a host with a load of 30 keepcast withdrew all healthy services at once, again and
// again: their first runs were void, since it was late, but while what those had begun did not
// end, each further turn was a failure. An overload that is over for long excuses nothing,
// and neither does one from before that run.
func TestAftermathOfOverload(t *testing.T) {
	const ms, echoes = time.Millisecond, 500*time.Millisecond + grace + overloadEchoes
	for kind, check := range map[string]func(release <-chan struct{}) Checker{
		"a run that hangs":            deafFrom,
		"a process that does not die": immortal,
	} {
		for name, tt := range map[string]struct {
			delays []delay       // the time when each came, from the start of the first run
			fails  time.Duration // before that all turns are void, and soon after it the check is down
		}{
			"in time":               {nil, 0},
			"late for a fifth":      {[]delay{{at(450 * ms), 100 * ms}}, 0},
			"late once":             {[]delay{{at(450 * ms), 428 * ms}}, 350*ms + echoes},
			"late again":            {[]delay{{at(450 * ms), 428 * ms}, {at(20 * time.Second), 150 * ms}}, 19900*ms + echoes},
			"late before it began":  {[]delay{{at(0), 428 * ms}}, 0},
			"late as it began":      {[]delay{{at(50 * ms), 428 * ms}}, 0},
			"late long after it":    {[]delay{{at(10 * time.Minute), 428 * ms}}, 0},
			"late when time was up": {[]delay{{at(1200 * ms), 428 * ms}}, 1100*ms + echoes},
		} {
			t.Run(kind+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { aftermathOf(t, check, tt.delays, tt.fails) })
			})
		}
	}
}

// at is a time that is counted from the start of a test.
func at(d time.Duration) time.Time { return time.Time{}.Add(d) }

// deafFrom returns a check that does not end before it is released.
func deafFrom(release <-chan struct{}) Checker {
	return checkFunc(func(context.Context) error { <-release; return nil })
}

// immortal returns a check that leaves something behind, which does not end before it is
// released.
func immortal(release <-chan struct{}) Checker {
	var began time.Time
	return checkFunc(func(ctx context.Context) error {
		select {
		case <-release:
			return nil
		default:
		}
		if !began.IsZero() {
			return Aftermath(errors.New("process 8439 of an earlier check does not die"), began)
		}
		began = time.Now()
		<-ctx.Done()
		time.Sleep(grace - time.Millisecond)
		return ctx.Err()
	})
}

// aftermathOf runs a check at the times of the incident, while the pulse is late as delays
// say, and looks at when it fails.
func aftermathOf(t *testing.T, check func(<-chan struct{}) Checker, delays []delay, fails time.Duration) {
	t.Helper()
	release := make(chan struct{})
	defer close(release)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	start, pulse := time.Now(), new(Pulse)
	go func() {
		for _, d := range delays {
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Until(start.Add(d.at.Sub(at(0))))):
				pulse.late(d.by)
			}
		}
	}()
	s := schedule
	s.Interval = 300 * time.Millisecond
	p := NewProbe(check(release), s)
	p.Pulse = pulse
	var first time.Duration // when a turn failed
	p.Run(ctx, func(r Result) {
		since := time.Since(start)
		switch {
		case !r.Void && first == 0:
			first = since
		case r.Void && first > 0:
			t.Errorf("void again after %s", since)
		}
		if r.Verdict == Down || since > 2*time.Minute {
			stop()
		}
	})
	// No turn comes later than a timeout, its grace and the interval after the one before it.
	if most := fails + s.Timeout + grace + s.Interval; first < fails || first > most {
		t.Errorf("failed after %s, want between %s and %s", first, fails, most)
	}
}
