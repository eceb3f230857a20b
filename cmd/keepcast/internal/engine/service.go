package engine

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/keepcast/keepcast/checks"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
)

// service is a configured service and all that is known of it. Only the
// engine's goroutine touches it.
type service struct {
	cfg         config.Service
	checks      []*check
	state       api.State
	reason      string
	since       time.Time
	lingerUntil time.Time
	hold        hold
	drain       *api.Drain               // set where it is shown
	shown       *atomic.Pointer[service] // a copy, for those who ask
}

// check is a configured check and its last result.
type check struct {
	cfg     config.Check
	service *service
	result  checks.Result
	stop    func() // ends its goroutine
}

func newService(cfg config.Service, now time.Time) *service {
	return &service{
		cfg: cfg, state: api.Withdrawn, reason: "no check has been up yet", since: now,
		hold:  hold{first: cfg.HoldDown, most: cfg.HoldDownMax},
		shown: &atomic.Pointer[service]{},
	}
}

// fitness adds up the checks. A check that has not made up its mind yet changes
// nothing: it counts for the service as it is. So a restart, and a check that a
// reload added, move no route, and a service that never was fit stays withdrawn.
func (s *service) fitness() fitness {
	var down, degraded []string
	up, withdrawing := 0, 0
	for _, c := range s.checks {
		verdict := c.result.Verdict
		bad := verdict == checks.Down || verdict == checks.Unknown && !s.state.Up()
		if c.cfg.Degrades() {
			if verdict == checks.Down || verdict == checks.Unknown && s.state == api.Degraded {
				degraded = append(degraded, c.describe())
			}
			continue
		}
		withdrawing++
		if bad {
			down = append(down, c.describe())
		} else {
			up++
		}
	}
	need := s.cfg.Require.Needed(withdrawing)
	switch {
	case up < need:
		return fitness{reason: strings.Join(down, "; ")}
	case len(degraded) > 0:
		return fitness{fit: true, degraded: true, reason: strings.Join(degraded, "; ")}
	case len(down) > 0:
		return fitness{fit: true, reason: fmt.Sprintf("%d of %d checks up, %d required (%s)", up, withdrawing, need, strings.Join(down, "; "))}
	}
	return fitness{fit: true, reason: "all checks up"}
}

// describe says what the check found wrong, or that it has not decided yet.
func (c *check) describe() string {
	switch {
	case c.result.Err != nil:
		return fmt.Sprintf("check %s: %v", c.cfg.Name, c.result.Err)
	case c.result.At.IsZero():
		return fmt.Sprintf("check %s has not run yet", c.cfg.Name)
	case c.result.Verdict == checks.Unknown || c.result.Moving:
		return fmt.Sprintf("check %s has not succeeded %d times in a row yet", c.cfg.Name, c.cfg.Rise)
	}
	return fmt.Sprintf("check %s is down", c.cfg.Name)
}
