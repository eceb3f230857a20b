package engine

import (
	"testing"
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
		"slowness unknown, withdrawn": {api.Withdrawn, "all", []health.Verdict{up, up, unknown}, fitness{true, false, "all checks up"}},
	} {
		s := &service{state: tc.state}
		if err := s.cfg.Require.UnmarshalText([]byte(tc.require)); err != nil {
			t.Fatal(err)
		}
		for i, verdict := range tc.checks {
			c := &check{cfg: config.Check{Name: string(rune('a' + i)), OnFailure: "withdraw"}, service: s}
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
		c := &check{cfg: config.Check{Name: "answers"}, result: result}
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
