package engine

import (
	"net/netip"
	"time"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver"
)

// model is what the engine has to decide, and nothing of how: the state of each
// service by the results of its checks, the drains and the time. The property test
// holds the engine to it.
type model struct {
	services map[string]*modelled
	drains   map[string]map[string]time.Time // by service, then by command or file: until when, zero for ever
	leaving  map[netip.Prefix]time.Time      // addresses of removed services, delivered until then
	stopping bool
	clock    time.Time // up to when the model has moved
}

// modelled is a service of the model.
type modelled struct {
	cfg    config.Service
	state  api.State
	checks []verdict
	linger time.Time // the end of linger
	failed time.Time // when it last fell out of an announcing state
	inARow int       // failures
	closed time.Time // since when it must not be announced
	works  bool      // it was fit when it was decided last
	gone   time.Time // when it was fit last
}

// verdict is what the results of a check add up to.
type verdict struct {
	health.Verdict
	good    bool        // the last result
	inARow  int         // results like the last one
	began   []time.Time // of those
	changed time.Time   // when it got other settings
}

// add adds a result.
func (v *verdict) add(good bool, schedule health.Schedule, now time.Time) {
	if good != v.good {
		v.inARow, v.began = 0, nil
	}
	v.good = good
	v.inARow++
	v.began = append(v.began, now)
	switch {
	case good && v.inARow >= schedule.Rise:
		v.Verdict = health.Up
	case !good && v.inARow >= schedule.Fall:
		v.Verdict = health.Down
	}
}

// since tells whether the check has succeeded rise times in a row after a time, unless that
// is zero.
func (v *verdict) since(t time.Time, rise int) bool {
	if t.IsZero() {
		return true
	}
	n := 0
	for _, at := range v.began {
		if v.good && at.After(t) {
			n++
		}
	}
	return n >= rise
}

// fit tells whether the service works, and whether other hosts do better. A check
// without a verdict says: as before.
func (s *modelled) fit() (fit, degraded bool) {
	up, of := 0, 0
	for i, c := range s.cfg.Checks {
		is := s.checks[i].Verdict
		if c.Degrades() {
			degraded = degraded || is == health.Down || is == health.Unknown && s.state == api.Degraded
			continue
		}
		of++
		v := &s.checks[i]
		proven := s.state.Up() || v.since(s.gone, c.Rise) && v.since(v.changed, c.Rise)
		if is == health.Up && proven || is == health.Unknown && s.state.Up() {
			up++
		}
	}
	return up >= s.cfg.Require.Needed(of), degraded
}

// held returns until when the service is held down: hold_down doubles with each
// failure in a row, up to hold_down_max.
func (s *modelled) held() time.Time {
	length := s.cfg.HoldDown
	for range s.inARow - 1 {
		length *= 2
	}
	if s.inARow == 0 || length == 0 {
		return time.Time{}
	}
	return s.failed.Add(min(length, s.cfg.HoldDownMax))
}

// decide moves the service to where it belongs at now.
func (m *model) decide(s *modelled, now time.Time) {
	told := m.stopping
	for _, until := range m.drains[s.cfg.Name] {
		told = told || until.IsZero() || now.Before(until)
	}
	fit, degraded := s.fit()
	if s.works && !fit {
		s.gone = now
	}
	s.works = fit
	was := s.state
	switch {
	case told && was.Up():
		s.state = api.Draining
	case told && was == api.Draining: // until linger is over
	case told || !fit || !was.Up() && now.Before(s.held()):
		s.state = api.Withdrawn
	case degraded:
		s.state = api.Degraded
	default:
		s.state = api.Announced
	}
	if was.Up() && !s.state.Up() {
		s.closed, s.linger = now, now.Add(s.cfg.Linger)
		if s.state == api.Withdrawn {
			if !s.failed.IsZero() && now.After(s.heldAtMost().Add(s.cfg.HoldDownMax)) {
				s.inARow = 0
			}
			s.failed, s.inARow = now, s.inARow+1
		}
	}
	if s.state == api.Draining && !now.Before(s.linger) {
		s.state = api.Withdrawn
	}
}

// heldAtMost is held, or the moment of the last failure if nothing is held down.
func (s *modelled) heldAtMost() time.Time {
	if held := s.held(); !held.IsZero() {
		return held
	}
	return s.failed
}

// advance moves the model to now, by way of every moment at which something changes by
// itself.
func (m *model) advance(now time.Time) {
	for {
		next := now
		for _, s := range m.services {
			moments := []time.Time{s.linger, s.held()}
			for _, until := range m.drains[s.cfg.Name] {
				moments = append(moments, until)
			}
			for _, t := range moments {
				if t.After(m.clock) && t.Before(next) {
					next = t
				}
			}
		}
		for _, s := range m.services {
			m.decide(s, next)
		}
		m.clock = next
		if !next.Before(now) {
			return
		}
	}
}

// presence is how a prefix is to be on the host at now.
func (m *model) presence(p netip.Prefix, now time.Time) driver.Presence {
	if s := m.find(p); s != nil {
		switch {
		case s.state.Up():
			return driver.Announced
		case s.state == api.Withdrawn && s.cfg.Absent() && !now.Before(s.linger):
			return driver.Absent
		}
		return driver.Delivered
	}
	if now.Before(m.leaving[p]) {
		return driver.Delivered
	}
	return driver.Absent
}

// find returns the service that has a prefix, or nil.
func (m *model) find(p netip.Prefix) *modelled {
	for _, s := range m.services {
		for _, r := range s.cfg.Routes(driver.Announced, false) {
			if r.Prefix == p {
				return s
			}
		}
	}
	return nil
}

// forbids tells whether a prefix must not be announced at now, and must not have been
// since a moment before it.
func (m *model) forbids(p netip.Prefix, now time.Time) bool {
	s := m.find(p)
	return s == nil || !s.state.Up() && now.After(s.closed)
}
