package engine

import (
	"fmt"
	"time"

	"github.com/keepcast/keepcast/driver"
)

// State is what keepcast means a service to be.
type State string

// The states of a service.
const (
	Announced State = "announced" // fit: on the interface and permitted
	Degraded  State = "degraded"  // fit, but a degrade check fails: permitted with worse attributes
	Draining  State = "draining"  // told to go: not announced, still delivered locally for linger
	Withdrawn State = "withdrawn" // not fit, drained, or never yet fit
)

// What is shown of a service that is on its way: nothing is decided by these.
const (
	Announcing  State = "announcing"  // to be announced or degraded, but no neighbour of a daemon has it yet
	Withdrawing State = "withdrawing" // to be withdrawn, but the kernel or a daemon still has it
)

// States lists every state, from the most to the least announced.
var States = [...]State{Announced, Degraded, Announcing, Draining, Withdrawing, Withdrawn}

// up reports whether the state is one that announces.
func (s State) up() bool { return s == Announced || s == Degraded }

// Drain is an operator's or a file's order to withdraw a service.
type Drain struct {
	Service string    `json:"service"`
	Reason  string    `json:"reason,omitempty"`
	Since   time.Time `json:"since"`
	Until   time.Time `json:"until,omitzero"` // zero: until resumed
	File    string    `json:"file,omitempty"` // the file in drain.d that orders it; empty: by command
}

// over reports whether the drain has ended by itself.
func (d Drain) over(now time.Time) bool { return !d.Until.IsZero() && !now.Before(d.Until) }

// String says for people what the drain is.
func (d Drain) String() string {
	s := "drained"
	if d.File != "" {
		s += " by " + d.File
	}
	if !d.Until.IsZero() {
		s += " until " + d.Until.Format("2006-01-02 15:04:05")
	}
	if d.Reason != "" {
		s += ": " + d.Reason
	}
	return s
}

// fitness is what the checks of a service add up to.
type fitness struct {
	fit      bool
	degraded bool
	reason   string
}

// order is everything beside the checks that decides a service's state.
type order struct {
	drain    *Drain
	stopping bool
}

// decide moves the service to the state that its fitness and the orders ask for
// at the time now, and reports whether that is another state. It is the only
// place where a state changes.
func (s *service) decide(now time.Time, f fitness, o order) (moved bool) {
	next, reason := s.target(now, f, o)
	if s.state.up() && !next.up() {
		s.lingerUntil = now.Add(s.cfg.Linger)
		if next == Withdrawn && !f.fit {
			s.hold.failed(now)
		}
	}
	if next == Draining && !now.Before(s.lingerUntil) {
		next = Withdrawn
	}
	s.reason = reason
	if next == s.state {
		return false
	}
	s.state, s.since = next, now
	return true
}

// target is where the service belongs, before linger is looked at.
func (s *service) target(now time.Time, f fitness, o order) (State, string) {
	leaving := Withdrawn
	if s.state.up() || s.state == Draining {
		leaving = Draining
	}
	switch {
	case o.stopping:
		return leaving, "keepcast is stopping"
	case o.drain != nil:
		return leaving, o.drain.String()
	case !f.fit:
		return Withdrawn, f.reason
	}
	if until := s.hold.until(); !s.state.up() && now.Before(until) {
		return Withdrawn, fmt.Sprintf("fit, but held down until %s (%d failures in a row)", until.Format("15:04:05"), s.hold.failures)
	}
	if f.degraded {
		return Degraded, f.reason
	}
	return Announced, f.reason
}

// presence is how the service's addresses are to be on the host at now.
func (s *service) presence(now time.Time) driver.Presence {
	switch {
	case s.state.up():
		return driver.Announced
	case s.state == Withdrawn && s.cfg.Absent() && !now.Before(s.lingerUntil):
		return driver.Absent
	}
	return driver.Delivered
}

// deadline is the next time at which the state or the presence may change by
// itself; zero: never.
func (s *service) deadline(now time.Time, o order) time.Time {
	var next time.Time
	for _, t := range []time.Time{s.lingerUntil, s.hold.until()} {
		next = earlier(next, t, now)
	}
	if o.drain != nil {
		next = earlier(next, o.drain.Until, now)
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
