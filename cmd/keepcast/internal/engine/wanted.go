package engine

import (
	"time"

	"github.com/keepcast/keepcast/driver"
)

// wanted returns the whole state that the host is to have.
func (e *Engine) wanted(now time.Time) driver.State {
	want := driver.State{Interface: e.cfg.Interface}
	for _, s := range e.services {
		presence := s.presence(now)
		if e.finished {
			presence = driver.Absent
		}
		want.Routes = append(want.Routes, s.cfg.Routes(presence, s.state == Degraded)...)
	}
	for _, l := range e.leaving {
		r := l.route()
		if now.Before(l.Until) && !l.GateOnly && !e.finished {
			r.Presence = driver.Delivered
		}
		want.Routes = append(want.Routes, r)
	}
	return want
}

// drivers returns the services that name their drivers.
func (e *Engine) drivers() map[string][]string {
	out := map[string][]string{}
	for _, s := range e.services {
		if len(s.cfg.Drivers) > 0 {
			out[s.cfg.Name] = s.cfg.Drivers
		}
	}
	return out
}
