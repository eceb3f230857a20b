package engine

import (
	"fmt"
	"strings"

	"github.com/keepcast/keepcast/checks/health"
)

// link has each service know those that it depends on, and puts these first in the order in
// which they are decided. The configuration has no circles.
func (e *Engine) link() {
	e.inOrder = nil
	linked := map[*service]bool{}
	var link func(s *service)
	link = func(s *service) {
		if linked[s] {
			return
		}
		linked[s] = true
		for _, name := range s.cfg.DependsOn {
			need := e.service(name)
			link(need)
			s.needs = append(s.needs, need)
		}
		e.inOrder = append(e.inOrder, s)
	}
	for _, s := range e.services {
		link(s)
	}
}

// sum is what a service is to those that depend on it.
type sum struct {
	verdict health.Verdict // Unknown: nothing says yet whether it is fit, as after a restart
	reason  string         // why it is not Up
}

// fitness adds up the checks, and those that the service depends on. As with a check, one that
// has not decided yet changes nothing.
func (s *service) fitness() fitness {
	own := s.checked()
	var unfit, undecided []string
	for _, need := range s.needs {
		switch {
		case need.sum.verdict == health.Up:
		case need.sum.verdict == health.Unknown && s.state.Up():
			undecided = append(undecided, need.cfg.Name)
		default:
			unfit = append(unfit, fmt.Sprintf("depends on service %s: %s", need.cfg.Name, need.sum.reason))
		}
	}
	switch {
	case len(unfit) > 0:
		if s.ownVerdict() == health.Down { // else what it waits for says it all
			unfit = append(unfit, own.reason)
		}
		return fitness{reason: strings.Join(unfit, "; ")}
	case len(undecided) > 0 && own.fit && !own.degraded:
		own.reason = fmt.Sprintf("as before: it depends on service %s, which has not decided yet", strings.Join(undecided, ", "))
	}
	return own
}

// sumOf returns what the service is to those that depend on it, by its fitness. Unlike that it
// takes nothing from the state that the service is in: one that is drained may be fit.
func (s *service) sumOf(f fitness) sum {
	verdict := s.ownVerdict()
	for _, need := range s.needs {
		switch {
		case need.sum.verdict == health.Down:
			verdict = health.Down
		case need.sum.verdict == health.Unknown && verdict == health.Up:
			verdict = health.Unknown
		}
	}
	if f.fit && verdict != health.Up { // it is as it was before
		f.reason = "its checks have not decided yet"
	}
	return sum{verdict, f.reason}
}

// ownVerdict is what the checks that withdraw the service add up to.
func (s *service) ownVerdict() health.Verdict {
	up, down, withdrawing := 0, 0, 0
	for _, c := range s.checks {
		if c.cfg.Degrades() {
			continue
		}
		withdrawing++
		switch s.verdict(c) {
		case health.Up:
			up++
		case health.Down:
			down++
		}
	}
	switch needed := s.cfg.Require.Needed(withdrawing); {
	case withdrawing-down < needed:
		return health.Down
	case up >= needed:
		return health.Up
	}
	return health.Unknown
}
