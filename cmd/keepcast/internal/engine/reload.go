package engine

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/reconcile"
)

// Reload puts a new configuration in force. Services, checks and drivers that
// did not change carry on; the rest is added, changed or taken away, and an address
// that goes is delivered for linger first. The error says why the old one stays.
func (e *Engine) Reload(cfg *config.Config) error {
	var refused error
	err := e.call(func() {
		if refused = config.Fixed(e.cfg, cfg); refused != nil {
			e.reloadError = refused.Error()
			e.publish()
			return
		}
		e.replace(cfg)
		e.loaded, e.reloadError, e.lastGood = time.Now(), "", false
		e.decide()
	})
	return cmp.Or(err, refused)
}

// ReloadFailed notes why a reload was refused before it came here.
func (e *Engine) ReloadFailed(why error) error {
	return e.call(func() {
		e.reloadError = why.Error()
		e.publish()
	})
}

// replace puts cfg in force.
func (e *Engine) replace(cfg *config.Config) {
	now := time.Now()
	before := e.services
	e.cfg, e.services = cfg, nil
	old := successions(before, identities(cfg.Services))
	e.drop(before, old) // first: another service may have the name now
	for _, c := range cfg.Services {
		e.services = append(e.services, e.renew(old[c.Name], c, now))
	}
	e.moveDrains(before, renames(old))
	for _, s := range before {
		until := s.lingerUntil
		if s.state.Up() {
			until = now.Add(s.cfg.Linger)
		}
		e.leave(savedOf(s), until, now)
	}
	e.rejoin()
	e.setManaged()
	e.find()
	maps.DeleteFunc(e.reports, func(_ string, r reconcile.Report) bool { return !e.configured(r) })
	for _, name := range e.expected() {
		e.opts.Metrics.beginDriver(name)
		if _, told := e.reports[name]; !told {
			e.behind[name] = now
		}
	}
	e.reconciler.SetDrivers(driversOf(cfg))
	e.disk.keep(cfg)
}

// drop forgets the services from before whose name nobody has now.
func (e *Engine) drop(before []*service, successors map[string]*service) {
	named := map[*service]string{} // by their new names
	for to, was := range successors {
		named[was] = to
	}
	for _, gone := range before {
		name := gone.cfg.Name
		switch to := named[gone]; to {
		case name:
			continue
		case "":
			gone.stopChecks(func(*check) bool { return false })
			if slices.ContainsFunc(e.cfg.Services, func(c config.Service) bool { return c.Name == name }) && successors[name] == nil {
				e.log.Info("service announces other addresses, and starts anew", "service", name)
			} else {
				e.log.Info("service removed from the configuration", "service", name)
			}
		default:
			e.log.Info("service renamed", "service", to, "was", name)
		}
		e.opts.Metrics.forget(name)
	}
}

// renew returns the service for cfg, which carries on with the state and the checks of the
// old one, if there is one.
func (e *Engine) renew(old *service, cfg config.Service, now time.Time) *service {
	s := newService(cfg, now)
	kept := map[string]*check{}
	if old != nil {
		s.state, s.reason, s.since, s.lingerUntil = old.state, old.reason, old.since, old.lingerUntil
		s.hold.failures, s.hold.last = old.hold.failures, old.hold.last
		s.fit, s.gone = old.fit, old.gone
		s.unreached, s.regraded, s.gen = old.unreached, old.regraded, old.gen
		for _, c := range old.checks {
			kept[c.cfg.Name] = c
		}
	}
	e.opts.Metrics.begin(cfg)
	for _, c := range cfg.Checks {
		s.checks = append(s.checks, e.renewCheck(kept[c.Name], c, s, now))
	}
	if old != nil {
		old.stopChecks(s.has)
		for _, c := range old.checks {
			if !s.names(c.cfg.Name) {
				e.opts.Metrics.forgetCheck(old.cfg.Name, c.cfg.Name)
			}
		}
	}
	return s
}

// renewCheck returns the check of s for cfg. One that is the same goes on undisturbed. One
// that changed goes on from what it has counted, so that no failure is forgotten; but a
// service that is not announced comes back by what it finds with its new settings alone.
func (e *Engine) renewCheck(was *check, cfg config.Check, s *service, now time.Time) *check {
	same := was != nil && was.service.cfg.Interface == s.cfg.Interface && reflect.DeepEqual(was.cfg.Raw, cfg.Raw)
	if same && was.service.cfg.Name == s.cfg.Name {
		was.service = s
		return was
	}
	fresh := newCheck(cfg, s)
	carried := was != nil && was.cfg.Kind == cfg.Kind
	if carried {
		fresh.result, fresh.void, fresh.lost = was.result, was.void, was.lost
		fresh.told, fresh.changed = was.told, was.changed
	}
	e.startCheck(fresh)
	if carried && !same {
		fresh.changed = now
		if !s.state.Up() {
			fresh.hurry()
		}
	}
	return fresh
}

// names reports whether the service has a check of that name.
func (s *service) names(name string) bool {
	return slices.ContainsFunc(s.checks, func(c *check) bool { return c.cfg.Name == name })
}

func (s *service) has(c *check) bool {
	return slices.Contains(s.checks, c)
}

// stopChecks ends the checks that keep does not want.
func (s *service) stopChecks(keep func(*check) bool) {
	for _, c := range s.checks {
		if !keep(c) {
			c.stop()
		}
	}
}
