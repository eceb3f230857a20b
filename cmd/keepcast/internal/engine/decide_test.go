package engine

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver"
)

// TestDecide moves a service from one state to the next.
func TestDecide(t *testing.T) {
	const linger, hold1, lingered = 10 * time.Second, 20 * time.Second, time.Second
	now := time.Now()
	up, slow, down := fitness{fit: true, reason: "up"}, fitness{fit: true, degraded: true, reason: "slow"}, fitness{reason: "down"}
	var none intent
	drain, stop := intent{drain: &api.Drain{Reason: "CHG-1"}}, intent{stopping: true}
	both := intent{drain: drain.drain, stopping: true}
	const drained, stopping = "drained: CHG-1", "keepcast is stopping"
	type is struct {
		State    api.State
		Reason   string
		Linger   time.Duration // what is left of it
		Failures int
	}
	for name, tc := range map[string]struct {
		state  api.State
		linger time.Duration // what is left of it
		failed time.Duration // since when; 0: never
		f      fitness
		i      intent
		want   is
	}{
		"fit":                             {api.Withdrawn, 0, 0, up, none, is{api.Announced, "up", 0, 0}},
		"fit again":                       {api.Withdrawn, lingered, 0, up, none, is{api.Announced, "up", lingered, 0}},
		"slow":                            {api.Withdrawn, 0, 0, slow, none, is{api.Degraded, "slow", 0, 0}},
		"becomes slow":                    {api.Announced, 0, 0, slow, none, is{api.Degraded, "slow", 0, 0}},
		"becomes fast":                    {api.Degraded, 0, 0, up, none, is{api.Announced, "up", 0, 0}},
		"stays announced":                 {api.Announced, 0, 0, up, none, is{api.Announced, "up", 0, 0}},
		"fails":                           {api.Announced, 0, 0, down, none, is{api.Withdrawn, "down", linger, 1}},
		"fails while degraded":            {api.Degraded, 0, 0, down, none, is{api.Withdrawn, "down", linger, 1}},
		"fails a second time":             {api.Announced, 0, hold1 + 1, down, none, is{api.Withdrawn, "down", linger, 2}},
		"stays down":                      {api.Withdrawn, lingered, 0, down, none, is{api.Withdrawn, "down", lingered, 0}},
		"held down":                       {api.Withdrawn, 0, hold1 - 1, up, none, is{api.Withdrawn, "", 0, 1}},
		"not held down any more":          {api.Withdrawn, 0, hold1, up, none, is{api.Announced, "up", 0, 1}},
		"held down after a drain":         {api.Draining, lingered, 1, up, none, is{api.Withdrawn, "", lingered, 1}},
		"drained":                         {api.Announced, 0, 0, up, drain, is{api.Draining, drained, linger, 0}},
		"drained while degraded":          {api.Degraded, 0, 0, slow, drain, is{api.Draining, drained, linger, 0}},
		"drained while down":              {api.Withdrawn, lingered, 0, down, drain, is{api.Withdrawn, drained, lingered, 0}},
		"drained and down at once":        {api.Announced, 0, 0, down, drain, is{api.Draining, drained, linger, 0}},
		"draining":                        {api.Draining, lingered, 0, up, drain, is{api.Draining, drained, lingered, 0}},
		"draining ends":                   {api.Draining, 0, 0, up, drain, is{api.Withdrawn, drained, 0, 0}},
		"resumed while it drains":         {api.Draining, lingered, 0, up, none, is{api.Announced, "up", lingered, 0}},
		"resumed while it drains, failed": {api.Draining, lingered, 0, down, none, is{api.Withdrawn, "down", lingered, 0}},
		"stopping":                        {api.Announced, 0, 0, up, stop, is{api.Draining, stopping, linger, 0}},
		"stopping while drained":          {api.Draining, lingered, 0, up, both, is{api.Draining, stopping, lingered, 0}},
		"stopping while withdrawn":        {api.Withdrawn, lingered, 0, down, stop, is{api.Withdrawn, stopping, lingered, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			before := now.Add(-time.Hour)
			s := &service{cfg: &config.Service{Name: "dns"}, state: tc.state, since: before, lingerUntil: now.Add(tc.linger)}
			s.cfg.Linger = linger
			s.hold = hold{first: hold1, most: time.Minute}
			if tc.failed > 0 {
				s.hold.failures, s.hold.last = 1, now.Add(-tc.failed)
			}
			moved := s.decide(now, tc.f, tc.i)
			if tc.want.Reason == "" {
				tc.want.Reason = "fit, but held down until " + s.hold.last.Add(hold1).Format("15:04:05") + " (1 failures in a row)"
			}
			if diff := cmp.Diff(tc.want, is{s.state, s.reason, s.lingerUntil.Sub(now), s.hold.failures}); diff != "" {
				t.Error(diff)
			}
			since := before
			if moved {
				since = now
			}
			if moved != (tc.state != tc.want.State) || !s.since.Equal(since) {
				t.Errorf("moved is %t, since %s", moved, s.since)
			}
		})
	}
}

func TestPresence(t *testing.T) {
	now := time.Now()
	for name, tc := range map[string]struct {
		state  api.State
		while  string
		linger time.Duration
		want   driver.Presence
	}{
		"announced":                  {api.Announced, "absent", 0, driver.Announced},
		"degraded":                   {api.Degraded, "absent", 0, driver.Announced},
		"draining":                   {api.Draining, "absent", 0, driver.Delivered},
		"withdrawn":                  {api.Withdrawn, "deliver", 0, driver.Delivered},
		"withdrawn, absent":          {api.Withdrawn, "absent", 0, driver.Absent},
		"withdrawn, still lingering": {api.Withdrawn, "absent", 1, driver.Delivered},
	} {
		s := &service{cfg: &config.Service{}, state: tc.state, lingerUntil: now.Add(tc.linger)}
		s.cfg.WhileWithdrawn = tc.while
		if got := s.presence(now); got != tc.want {
			t.Errorf("%s: got %s, want %s", name, got, tc.want)
		}
	}
}

// A check that has no verdict yet counts for the service as it is, so the reason may be
// another once the state is.
func TestReasonFollowsState(t *testing.T) {
	b := newHarness(t)
	s := b.service("dns", address, &fakeCheck{}, &fakeCheck{})
	if err := s.Require.UnmarshalText([]byte("any")); err != nil {
		t.Fatal(err)
	}
	s.Checks[1].Rise = 1000
	synctest.Test(t, func(t *testing.T) {
		b.start()
		defer b.end()
		later(2 * time.Second)
		if state, reason := b.state("dns"); state != api.Announced || reason != "as before: 1 of 2 checks not decided yet" {
			t.Errorf("%s, %q", state, reason)
		}
	})
}
