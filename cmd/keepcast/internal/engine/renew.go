package engine

import (
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
)

// drop forgets the services from before whose name nobody has now.
func (e *Engine) drop(before []*service, successors map[string]*service) {
	named := map[*service]string{} // by a new name; their own, if one has that
	for _, to := range slices.Sorted(maps.Keys(successors)) {
		if was := successors[to]; named[was] == "" || was.cfg.Name == to {
			named[was] = to
		}
	}
	for _, gone := range before {
		name := gone.cfg.Name
		_, taken := successors[name]
		switch to := named[gone]; {
		case to == name:
			continue
		case to != "":
			e.log.Info("service renamed", "service", to, "was", name)
		case !taken && slices.ContainsFunc(e.cfg.Services, func(c config.Service) bool { return c.Name == name }):
			e.log.Info("service announces other addresses, and starts anew", "service", name)
		default:
			e.log.Info("service removed from the configuration", "service", name)
		}
		e.opts.Metrics.forget(name)
	}
}

// kinOf returns a function that returns the services from before that announced some of what
// a service does: first the one that it goes on from.
func kinOf(before []*service) func(old *service, cfg config.Service) []*service {
	had := map[netip.Prefix]*service{}
	for _, b := range before {
		for _, p := range b.id().announces {
			had[p] = b
		}
	}
	return func(old *service, cfg config.Service) []*service {
		var kin []*service
		if old != nil {
			kin = append(kin, old)
		}
		for _, p := range announces(cfg).id().announces {
			if b := had[p]; b != nil && !slices.Contains(kin, b) {
				kin = append(kin, b)
			}
		}
		return kin
	}
}

// renew returns the service for cfg, which carries on with the state of the first of its kin
// and with the checks of all.
func (e *Engine) renew(kin []*service, cfg *config.Service, now time.Time) *service {
	s := newService(cfg, now)
	if len(kin) > 0 {
		old := kin[0]
		s.state, s.reason, s.since, s.lingerUntil = old.state, old.reason, old.since, old.lingerUntil
		s.hold.failures, s.hold.last = old.hold.failures, old.hold.last
		s.fit, s.gone, s.decided = old.fit, old.gone, old.decided
		s.unreached, s.regraded, s.gen = old.unreached, old.regraded, old.gen
	}
	e.opts.Metrics.begin(cfg)
	for i := range cfg.Checks {
		s.checks = append(s.checks, e.renewCheck(kin, &cfg.Checks[i], s, now))
	}
	return s
}

// renewCheck returns the check of s for cfg. One that asks the same as one of its kin goes on
// undisturbed, whatever it is called. Else it goes on from what one of its name has counted,
// so that no failure is forgotten; but a service that is not announced comes back by what it
// finds with its new settings alone.
func (e *Engine) renewCheck(kin []*service, cfg *config.Check, s *service, now time.Time) *check {
	was, same := inherited(kin, cfg, s)
	joined := was != nil && (was.joined || s.state.Up() && !was.service.state.Up())
	if same && slices.Contains(kin, was.service) { // else another one goes on with it
		was.cfg, was.service, was.joined = cfg, s, joined
		was.log = e.logOf(was)
		return was
	}
	fresh := newCheck(cfg, s)
	if was != nil {
		fresh.result, fresh.void, fresh.lost = was.result, was.void, was.lost
		fresh.told, fresh.changed = was.told, was.changed
		fresh.joined = joined
		if cfg.Use == "" { // else that of the top level has done so
			inheritReport(cfg, was)
		}
	}
	e.startCheck(fresh, 0)
	if was != nil && !same {
		fresh.changed = now
	}
	return fresh
}

// inherited returns the check that a check of s goes on from, or nil, and whether it asks the
// same. Of kind push one of another name does not: what it was told was meant for that name.
func inherited(kin []*service, cfg *config.Check, s *service) (was *check, same bool) {
	for _, b := range kin {
		for i, c := range b.checks {
			named := b.cfg.Checks[i].Name == cfg.Name && b.cfg.Checks[i].Kind == cfg.Kind
			asks := b.cfg.Interface == s.cfg.Interface && reflect.DeepEqual(asked(&b.cfg.Checks[i]), asked(cfg)) && (named || cfg.Kind != "push")
			switch {
			case asks && c.service == b:
				return c, true
			case asks && !same, named && was == nil:
				was, same = c, asks
			}
		}
	}
	return was, same
}

// asked returns the settings of a check without those that are of no concern to its runs.
func asked(c *config.Check) map[string]any {
	out := maps.Clone(c.Raw)
	delete(out, "name")
	delete(out, "on_failure")
	if out["use"] != nil {
		out["use"] = true // by whatever name
	}
	return out
}

// retire ends the checks of services from before that nobody goes on with, and forgets what
// was counted for names that no check has now.
func (e *Engine) retire(before []*service) {
	now := map[[2]string]bool{}
	for _, s := range e.services {
		for _, c := range s.cfg.Checks {
			now[[2]string{s.cfg.Name, c.Name}] = true
		}
	}
	for _, s := range before {
		for i, c := range s.checks {
			if c.service == s {
				c.stop()
			}
			if name := s.cfg.Checks[i].Name; !now[[2]string{s.cfg.Name, name}] {
				e.opts.Metrics.forgetCheck(s.cfg.Name, name)
			}
		}
	}
}
