package engine

import (
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
)

// service is a configured service and all that is known of it. Only the
// engine's goroutine touches it.
type service struct {
	cfg         *config.Service
	checks      []*check
	state       api.State
	reason      string
	since       time.Time
	lingerUntil time.Time
	hold        hold
	unreached   bool                     // the host and the daemons were not seen to follow its state yet
	regraded    bool                     // it was announced before its state was decided, with other attributes
	gen         int                      // of the desired state that its state led to
	fit         bool                     // when it was decided last
	decided     bool                     // the state that it is in, by this run of keepcast
	needs       []*service               // those that it depends on
	standing    standing                 // for those that depend on it, when it was decided last
	gone        time.Time                // when it was fit last; results that began before say nothing of it any more
	drain       *api.Drain               // set where it is shown
	shown       *atomic.Pointer[service] // a copy, for those who ask
}

// check is a configured check and its last result.
type check struct {
	cfg     *config.Check
	runs    health.Checker // what is run: that of cfg, or an earlier one that asks the same
	service *service
	result  health.Result
	void    time.Time // since when keepcast could not run it; zero: it could
	lost    bool      // that lasts, and counts as down
	told    bool      // that it can't be run, in the log
	changed time.Time // when a reload gave it other settings; zero: never
	joined  bool      // it came from a service that was not announced, to one that is
	log     *slog.Logger
	hurry   func()    // has it prove itself anew
	wake    func()    // has it run now
	woken   time.Time // when it was to run now for the last time, or is to
	wakeOne func()    // has it run then, once for all who asked for that
	waiters []waiter  // who wants to know when it has
	users   []*check  // of a check of the top level: those of services that are this one
	used    *check    // of a service: the one of the top level that it is, if any
	stop    func()    // ends its runs
}

func newCheck(cfg *config.Check, s *service) *check {
	return &check{cfg: cfg, service: s, log: slog.New(slog.DiscardHandler), hurry: func() {}, wake: func() {}, stop: func() {}}
}

// voidLasts is how long keepcast may be unable to run a check until that is a finding, and
// counts as on_void says.
const voidLasts = 30 * time.Second

// learn takes a result that came at the time now.
func (c *check) learn(r health.Result, now time.Time) {
	c.result = r
	switch {
	case !r.Void:
		c.void = time.Time{}
	case c.void.IsZero():
		c.void = r.At
	}
	c.lost = c.service.cfg.WithdrawsOnVoid() && c.voidFor(now) >= voidLasts
}

// verdict is what the check says: what its runs add up to, or down where keepcast could not
// run it for so long that on_void counts it as down. One that joined has said nothing yet of what
// is announced, and counts as down until it has a verdict.
func (c *check) verdict() health.Verdict {
	if c.lost || c.joined && c.result.Verdict == health.Unknown {
		return health.Down
	}
	return c.result.Verdict
}

// voidFor is for how long keepcast could not run the check; 0: it could.
func (c *check) voidFor(now time.Time) time.Duration {
	if c.void.IsZero() {
		return 0
	}
	return now.Sub(c.void)
}

// verdict is what a check says of the service as it is. What has no
// verdict yet changes nothing. So a restart, and a check that a reload added, move no
// route, and a service that never was fit stays withdrawn. A service that went comes back
// only by results that began since.
func (s *service) verdict(c *check) health.Verdict {
	verdict := c.verdict()
	if verdict == health.Up && !s.state.Up() && !s.proven(c) {
		return health.Unknown
	}
	return verdict
}

// proven reports whether a check has succeeded often enough since the service went, with the
// settings that it has.
func (s *service) proven(c *check) bool {
	return c.provenSince(s.gone) && c.provenSince(c.changed)
}

// provenSince reports whether it has succeeded often enough since a time; zero: ever.
func (c *check) provenSince(t time.Time) bool { return t.IsZero() || c.result.Proof.After(t) }

func newService(cfg *config.Service, now time.Time) *service {
	return &service{
		cfg: cfg, state: api.Withdrawn, reason: "no check has been up yet", since: now,
		hold:  hold{first: cfg.HoldDown, most: cfg.HoldDownMax},
		shown: &atomic.Pointer[service]{},
	}
}

// checked adds up the checks.
func (s *service) checked() fitness {
	var down, unproven, degraded, healing []string
	up, withdrawing, undecided, degrading := 0, 0, 0, 0
	for _, c := range s.checks {
		verdict := s.verdict(c)
		if verdict == health.Up && health.IsCertain(c.result.Err) {
			healing = append(healing, fmt.Sprintf("%s (patience until %s)", s.describe(c), c.result.Health.PatienceEnds().Format(time.TimeOnly)))
		}
		if c.cfg.Degrades() {
			switch {
			case verdict == health.Down || verdict == health.Unknown && s.staysDegraded(c):
				degraded = append(degraded, s.describe(c))
			case verdict == health.Unknown:
				degrading++
			}
			continue
		}
		withdrawing++
		switch {
		case verdict == health.Unknown && c.result.Verdict == health.Up:
			unproven = append(unproven, s.describe(c))
		case verdict == health.Down || verdict == health.Unknown && !s.state.Up():
			down = append(down, s.describe(c))
		default:
			up++
			if verdict == health.Unknown {
				undecided++
			}
		}
	}
	if len(down) == 0 { // else what is wrong says it all
		down = unproven
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
	if len(healing) > 0 {
		return fitness{fit: true, reason: strings.Join(healing, "; ")}
	}
	if undecided > 0 { // after a restart the service stays as it was until they decide
		return fitness{fit: true, reason: fmt.Sprintf("as before: %d of %d checks not decided yet", undecided, withdrawing)}
	}
	if degrading > 0 {
		return fitness{fit: true, reason: fmt.Sprintf("%d of %d checks up, the rest not decided yet", len(s.checks)-degrading, len(s.checks))}
	}
	return fitness{fit: true, reason: "all checks up"}
}

// staysDegraded reports whether a check without a verdict keeps the service degraded, as it
// was before a restart or a reload. One that keepcast can't run is no reason to stay so where
// this run of keepcast has seen another one fail.
func (s *service) staysDegraded(c *check) bool {
	return s.state == api.Degraded && (!s.decided || !c.result.Void)
}

// lookAgain has the checks run that failed last: one of the service is up now, so what was
// wrong may be over. A look at a certificate once an hour would keep the service degraded for
// that long, since it could not connect while the server was started.
func (s *service) lookAgain() {
	for _, c := range s.checks {
		if c.result.Err != nil {
			c.wake()
		}
	}
}

// describe says what a check found wrong, or that it has not decided yet.
func (s *service) describe(c *check) string {
	switch {
	case c.result.Void:
		return fmt.Sprintf("check %s can't be run: %v", c.cfg.Name, c.result.Err)
	case c.result.Err != nil:
		return fmt.Sprintf("check %s: %v", c.cfg.Name, c.result.Err)
	case c.result.At.IsZero():
		return fmt.Sprintf("check %s has not run yet", c.cfg.Name)
	case c.result.Verdict == health.Up && !c.provenSince(c.changed):
		return fmt.Sprintf("check %s has not succeeded %d times in a row since its settings changed", c.cfg.Name, c.cfg.Rise)
	case c.result.Verdict == health.Up && !c.provenSince(s.gone):
		return fmt.Sprintf("check %s has not succeeded %d times in a row since the service went", c.cfg.Name, c.cfg.Rise)
	case c.result.Verdict == health.Unknown || c.result.Moving:
		return fmt.Sprintf("check %s has not succeeded %d times in a row yet", c.cfg.Name, c.cfg.Rise)
	}
	return fmt.Sprintf("check %s is down", c.cfg.Name)
}
