package engine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/keepcast/keepcast/checks/health"
)

// link has each service know those that it depends on, and puts these first in the order in
// which they are decided. The configuration has no circles.
func (e *Engine) link() {
	var inOrder []*service
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
		inOrder = append(inOrder, s)
	}
	for _, s := range e.services {
		link(s)
	}
	e.inOrder = inOrder
}

// standing is what a service is to those that depend on it.
type standing struct {
	verdict health.Verdict // Unknown: nothing says yet whether it is fit, as after a restart
	causes  []cause        // why it is not Up, mostCauses at most
}

// cause is a service that is not fit by its own checks, and why. Those that depend on it, in
// however many steps and ways, name it once.
type cause struct{ service, reason string }

// mostCauses bounds what a reason names.
const mostCauses = 4

// fitness adds up the checks, and those that the service depends on. As with a check, one that
// has not decided yet changes nothing.
func (s *service) fitness() fitness {
	own := s.checked()
	var unfit, undecided []string
	var told []cause
	for _, need := range s.needs {
		switch {
		case need.standing.verdict == health.Up:
		case need.standing.verdict == health.Unknown && s.state.Up():
			undecided = append(undecided, need.cfg.Name)
		default:
			before := len(told)
			told = more(told, need.standing.causes)
			for _, c := range told[before:] {
				unfit = append(unfit, c.by(need))
			}
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

// more adds causes that are not there yet, as far as there is room.
func more(all, causes []cause) []cause {
	for _, c := range causes {
		if len(all) < mostCauses && !slices.Contains(all, c) {
			all = append(all, c)
		}
	}
	return all
}

// by words a cause for a service that depends on another one for it.
func (c cause) by(need *service) string {
	if c.service == need.cfg.Name {
		return fmt.Sprintf("depends on service %s: %s", c.service, c.reason)
	}
	return fmt.Sprintf("depends on service %s, that on %s: %s", need.cfg.Name, c.service, c.reason)
}

// stands returns what the service is to those that depend on it.
func (s *service) stands() standing {
	out := standing{verdict: s.verdictForOthers()}
	own := s.ownVerdict()
	if own == health.Down {
		out.causes = []cause{{s.cfg.Name, s.checked().reason}}
	}
	for _, need := range s.needs {
		out.causes = more(out.causes, need.standing.causes)
	}
	if own == health.Unknown && len(out.causes) == 0 { // else what it waits for says it all
		reason := "its checks have not decided yet"
		if f := s.checked(); !f.fit {
			reason = f.reason
		}
		out.causes = []cause{{s.cfg.Name, reason}}
	}
	return out
}

// verdictForOthers is the verdict of the service. Unlike its fitness it takes nothing from the
// state that the service is in: one that is drained may be fit.
func (s *service) verdictForOthers() health.Verdict {
	verdict := s.ownVerdict()
	for _, need := range s.needs {
		switch {
		case need.standing.verdict == health.Down:
			return health.Down
		case need.standing.verdict == health.Unknown && verdict == health.Up:
			verdict = health.Unknown
		}
	}
	return verdict
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
