package engine

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
)

// TestFitness adds up checks that are up, down or undecided.
func TestFitness(t *testing.T) {
	up, down, unknown := health.Up, health.Down, health.Unknown
	for name, tc := range map[string]struct {
		state   api.State
		require string
		checks  []health.Verdict // a degrading one comes last
		want    fitness
	}{
		"all up":                      {api.Withdrawn, "all", []health.Verdict{up, up, up}, fitness{true, false, "all checks up"}},
		"one down":                    {api.Announced, "all", []health.Verdict{up, down, up}, fitness{false, false, "check b is down"}},
		"both down":                   {api.Announced, "all", []health.Verdict{down, down, down}, fitness{false, false, "check a is down; check b is down"}},
		"one is enough":               {api.Announced, "any", []health.Verdict{down, up, up}, fitness{true, false, "1 of 2 checks up, 1 required (check a is down)"}},
		"slow":                        {api.Withdrawn, "all", []health.Verdict{up, up, down}, fitness{true, true, "check c is down"}},
		"slow, one is enough":         {api.Announced, "any", []health.Verdict{up, down, down}, fitness{true, true, "check c is down"}},
		"undecided while withdrawn":   {api.Withdrawn, "all", []health.Verdict{unknown, up, up}, fitness{false, false, "check a has not run yet"}},
		"undecided while draining":    {api.Draining, "all", []health.Verdict{unknown, up, up}, fitness{false, false, "check a has not run yet"}},
		"undecided while announced":   {api.Announced, "all", []health.Verdict{unknown, unknown, unknown}, fitness{true, false, "as before: 2 of 2 checks not decided yet"}},
		"undecided while degraded":    {api.Degraded, "all", []health.Verdict{unknown, unknown, unknown}, fitness{true, true, "check c has not run yet"}},
		"slowness unknown, withdrawn": {api.Withdrawn, "all", []health.Verdict{up, up, unknown}, fitness{true, false, "2 of 3 checks up, the rest not decided yet"}},
	} {
		s := &service{cfg: &config.Service{}, state: tc.state}
		if err := s.cfg.Require.UnmarshalText([]byte(tc.require)); err != nil {
			t.Fatal(err)
		}
		for i, verdict := range tc.checks {
			c := &check{cfg: &config.Check{Name: string(rune('a' + i)), OnFailure: "withdraw"}, service: s}
			if i == len(tc.checks)-1 {
				c.cfg.OnFailure = "degrade"
			}
			if c.result.Verdict = verdict; verdict != unknown {
				c.result.At = time.Now()
			}
			s.checks = append(s.checks, c)
		}
		if got := s.fitness(); got != tc.want {
			t.Errorf("%s: got %+v, want %+v", name, got, tc.want)
		}
	}
}

func TestDescribe(t *testing.T) {
	at := time.Now()
	for want, result := range map[string]health.Result{
		"check answers: connection refused":                    {Verdict: health.Down, Err: errDead, At: at},
		"check answers has not run yet":                        {},
		"check answers has not succeeded 3 times in a row yet": {Verdict: health.Unknown, At: at},
		"check answers is down":                                {Verdict: health.Down, At: at},
	} {
		c := &check{cfg: &config.Check{Name: "answers"}, result: result}
		c.cfg.Rise = 3
		if got := new(service).describe(c); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if c.result.Moving = true; result.Verdict == health.Down && result.Err == nil {
			if got := new(service).describe(c); got != "check answers has not succeeded 3 times in a row yet" {
				t.Errorf("on its way up: %s", got)
			}
		}
	}
}

// A check that comes up has those run that failed: one that looks once an hour failed with the
// others when the service was restarted, and kept it degraded for that hour.
func TestLooksAgain(t *testing.T) {
	b := newHarness(t)
	answers, certificate, fine := &fakeCheck{}, &fakeCheck{}, &fakeCheck{}
	s := b.service("web", address, answers, certificate, fine)
	for i := range s.Checks[1:] {
		s.Checks[1+i].Interval, s.Checks[1+i].OnFailure = time.Hour, "degrade"
	}
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(5 * time.Second)
		answers.set(errDead)
		certificate.set(errDead)
		later(5 * time.Second)
		b.want("web", api.Withdrawn, "check checka: connection refused")
		answers.set(nil)
		certificate.set(nil)
		fine.ran()
		later(3 * time.Second)
		b.want("web", api.Announced, "all checks up")
		if n := fine.ran(); n != 0 {
			t.Errorf("a check that is up ran %d times", n)
		}
		b.end()
	})
}

// A check that failed before it had a verdict runs at the fast interval until it has one.
func TestUndecidedIsFast(t *testing.T) {
	b := newHarness(t)
	c := &fakeCheck{err: errDead}
	b.service("web", address, c).Checks[0].Interval = time.Hour
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(250 * time.Millisecond)
		if n := c.ran(); n != 2 {
			t.Errorf("ran %d times, want 2", n)
		}
		later(time.Minute)
		if n := c.ran(); n != 2 {
			t.Errorf("ran %d times more, want 2: each half minute", n)
		}
		b.end()
	})
}

// A check that nobody can run had no opinion before a service was degraded by another one, and
// has none after that: it kept the service degraded.
func TestVoidDoesNotStayDegraded(t *testing.T) {
	b := newHarness(t)
	void, other := &fakeCheck{err: health.Void(errDead)}, &fakeCheck{}
	s := b.service("web", address, &fakeCheck{}, void, other)
	s.Checks[1].OnFailure, s.Checks[2].OnFailure = "degrade", "degrade"
	b.keep = true
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2 * time.Second)
		b.want("web", api.Announced, "2 of 3 checks up, the rest not decided yet")
		other.set(errDead)
		later(2 * time.Second)
		b.want("web", api.Degraded, "check checkc: connection refused")
		other.set(nil)
		later(2 * time.Second)
		b.want("web", api.Announced, "2 of 3 checks up, the rest not decided yet")
		other.set(errDead)
		later(2 * time.Second)
		b.end()
		other.set(nil)
		b.start()
		later(2 * time.Second)
		b.want("web", api.Degraded, "check checkb can't be run: connection refused") // as before: it may be the reason
		other.set(errDead)
		later(2 * time.Second)
		b.want("web", api.Degraded, "check checkb can't be run: connection refused; check checkc: connection refused")
		void.set(nil)
		other.set(nil)
		later(10 * time.Second)
		b.want("web", api.Announced, "all checks up")
		b.end()
	})
}

// While a check has patience, the status says with what.
func TestPatienceIsShown(t *testing.T) {
	b := newHarness(t)
	c := &fakeCheck{}
	b.service("web", address, c).Checks[0].Patience = time.Minute
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2 * time.Second)
		c.set(health.Certain(errDead))
		later(time.Second)
		_, reason := b.state("web")
		b.want("web", api.Announced, "check checka: connection refused (patience until "+reason[max(0, len(reason)-9):])
		if len(reason) < 9 || reason[len(reason)-1] != ')' {
			t.Error(reason)
		}
		later(time.Minute)
		b.want("web", api.Withdrawn, "check checka: connection refused")
		b.end()
	})
}
