package engine

import (
	"slices"
	"time"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
)

// stopLimit bounds what a stop waits for beyond linger.
const stopLimit = 10 * time.Second

// withdrawAll drains everything, waits for linger, and takes it off the host. It gives up
// stopLimit later on a daemon that is not in sync.
func (e *Engine) withdrawAll() {
	e.stopping = true
	e.log.Info("withdrawing all services")
	e.decide()
	e.loop(nil, time.Time{}, func() bool {
		return !slices.ContainsFunc(e.services, func(s *service) bool { return s.state == api.Draining })
	})
	e.finished = true
	e.decide()
	e.loop(nil, time.Now().Add(stopLimit), e.followed)
	if !e.followed() {
		e.log.Error("stopping although not everything is withdrawn: see the errors before")
	}
}

// followed reports whether the kernel and every daemon have done what was posted last, and
// no driver that left has still a gate to close.
func (e *Engine) followed() bool {
	return len(e.departing) == 0 && !slices.ContainsFunc(e.expected(), func(name string) bool {
		r := e.reports[name]
		return !r.InSync || r.Gen < e.posted.Gen
	})
}
