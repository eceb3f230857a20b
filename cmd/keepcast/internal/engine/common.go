package engine

import (
	"time"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
)

// A check of the top level runs once, and each service that uses it has a check of its own
// that is told the results: what follows from them is a matter of the service.

// attach gives each check that is one of the top level the run of that. One that is new to it
// has it run now, to be told soon.
func (e *Engine) attach() {
	byName, ranBefore := map[string]*check{}, map[*check]bool{}
	for _, c := range e.common.checks {
		byName[c.cfg.Name], ranBefore[c] = c, c.users != nil
		c.users = nil
	}
	for _, s := range e.services {
		for _, c := range s.checks {
			if c.cfg.Use == "" {
				continue
			}
			one := byName[c.cfg.Use]
			one.users = append(one.users, c)
			c.runs, c.hurry, c.wake = one.runs, one.hurry, one.wake
			if c.used != one && ranBefore[one] {
				one.wake()
			}
			c.used = one
		}
	}
}

// run returns the check that runs for c.
func (c *check) run() *check {
	if c.used != nil {
		return c.used
	}
	return c
}

// tell has all learn the result of a check that it belongs to.
func (e *Engine) tell(c *check, r health.Result) {
	if c.service != e.common {
		e.learn(c, r)
		return
	}
	c.result = r
	for _, user := range c.users {
		e.learn(user, r)
	}
}

// renewCommon puts the checks of the top level in force, and returns what was in force before.
// One that was a check of a service which uses it now goes on as well. Old are the services
// from before, by the names that they have now.
func (e *Engine) renewCommon(old map[string]*service, now time.Time) (before *service) {
	before = e.common
	e.common = newService(&config.Service{Checks: e.cfg.Used()}, now)
	for i := range e.common.cfg.Checks {
		cfg := &e.common.cfg.Checks[i]
		kin := []*service{before}
		for _, s := range e.cfg.Services {
			if was := old[s.Name]; was != nil && s.UsesCheck(cfg.Name) {
				kin = append(kin, was)
			}
		}
		e.common.checks = append(e.common.checks, e.renewCheck(kin, cfg, e.common, now))
	}
	return before
}

// hurryChanged has those checks prove themselves soon whose services wait for that, since their
// settings have changed at the time now.
func (e *Engine) hurryChanged(now time.Time) {
	for _, s := range e.services {
		for _, c := range s.checks {
			if c.changed.Equal(now) && !s.state.Up() {
				c.hurry()
			}
		}
	}
}
