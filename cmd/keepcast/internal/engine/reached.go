package engine

import (
	"time"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/driver"
)

// tellReached logs which of some services have got to the state that was decided for them:
// until then a neighbor may not have heard of it.
func (e *Engine) tellReached(services []*service) {
	now, p := time.Now(), e.published.Load()
	for _, s := range services {
		if s.unreached && p.reached(s, e.opts.Kernel != nil, now) {
			s.unreached = false
			e.log.Info("service state reached", "service", s.cfg.Name, "state", s.state, "after", now.Sub(s.since).Round(time.Millisecond))
		}
	}
}

// reached reports whether the host and the daemons are seen to follow what was decided of a
// service. It is draining once nobody has it any more, though its linger is not over.
func (p *published) reached(s *service, managed bool, now time.Time) bool {
	status := p.serviceStatus(s, managed, now)
	switch {
	case status.State != s.state:
		return false
	case s.state == api.Draining:
		return shown(api.Withdrawn, status.Addresses) == api.Withdrawn
	case s.state.Up():
		return !p.stale(s)
	}
	return true
}

// stale reports whether a daemon that has the service may have it with the attributes from
// before: what it exports tells nothing of them.
func (p *published) stale(s *service) bool {
	for _, d := range p.cfg.Drivers {
		r := p.reports[d.Name]
		if !s.cfg.Uses(d.Name) || r.Gen >= s.gen && (r.Err == nil || !s.regraded) {
			continue
		}
		for _, route := range s.cfg.Routes(driver.Absent, false) {
			if _, has := r.Observed.Routes[route.Prefix.Masked()]; has {
				return true
			}
		}
	}
	return false
}
