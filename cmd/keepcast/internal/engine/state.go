package engine

import (
	"fmt"
	"time"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/driver"
)

// fitness is what the checks of a service, and those that it depends on, add up to.
type fitness struct {
	fit      bool
	degraded bool
	reason   string
}

// intent is everything beside the checks that decides the state of a service.
type intent struct {
	drain    *api.Drain
	stopping bool
}

func (e *Engine) intent(s *service, now time.Time) intent {
	return intent{drain: e.drains.active(s.cfg.Name, now), stopping: e.stopping}
}

// decide moves the service to the state that its fitness and the intent ask for at the
// time now, and reports whether that is another state. While the engine runs, a state
// changes only here. A service that is not fit any more has all its checks look anew.
func (s *service) decide(now time.Time, f fitness, i intent) (moved bool) {
	if s.fit && !f.fit {
		s.gone = now
		for _, c := range s.checks {
			c.hurry()
		}
	}
	s.fit = f.fit
	next, reason := s.target(now, f, i)
	if s.state.Up() && !next.Up() {
		s.lingerUntil = now.Add(s.cfg.Linger)
		if next == api.Withdrawn && !f.fit {
			s.hold.failed(now)
		}
	}
	if next == api.Draining && !now.Before(s.lingerUntil) {
		next = api.Withdrawn
	}
	s.reason = reason
	if next == s.state {
		return false
	}
	s.state, s.since, s.decided = next, now, true
	return true
}

// target is the state where the service belongs, before linger is looked at.
func (s *service) target(now time.Time, f fitness, i intent) (api.State, string) {
	leaving := api.Withdrawn
	if s.state.Up() || s.state == api.Draining {
		leaving = api.Draining
	}
	switch {
	case i.stopping:
		return leaving, "keepcast is stopping"
	case i.drain != nil:
		return leaving, i.drain.String()
	case !f.fit:
		return api.Withdrawn, f.reason
	}
	if until := s.hold.until(); !s.state.Up() && now.Before(until) {
		return api.Withdrawn, fmt.Sprintf("fit, but held down until %s (%d failures in a row)", until.Format("15:04:05"), s.hold.failures)
	}
	if f.degraded {
		return api.Degraded, f.reason
	}
	return api.Announced, f.reason
}

// presence is how the service's addresses are to be on the host at now.
func (s *service) presence(now time.Time) driver.Presence {
	switch {
	case s.state.Up():
		return driver.Announced
	case s.state == api.Withdrawn && s.cfg.Absent() && !now.Before(s.lingerUntil):
		return driver.Absent
	}
	return driver.Delivered
}

// deadline is the next time at which the state or the presence may change by itself;
// zero: never.
func (s *service) deadline(now time.Time, i intent) time.Time {
	var next time.Time
	for _, t := range []time.Time{s.lingerUntil, s.hold.until()} {
		next = earlier(next, t, now)
	}
	if i.drain != nil {
		next = earlier(next, i.drain.Until, now)
	}
	return next
}

// earlier returns the earlier one of best and t, leaving out what is past or zero.
func earlier(best, t, now time.Time) time.Time {
	if t.IsZero() || !t.After(now) || (!best.IsZero() && best.Before(t)) {
		return best
	}
	return t
}
