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
		e.loaded, e.reloadError = time.Now(), ""
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

func (e *Engine) replace(cfg *config.Config) {
	now := time.Now()
	before := e.services
	e.cfg, e.services = cfg, nil
	old := map[string]*service{}
	for _, s := range before {
		old[s.cfg.Name] = s
	}
	for _, c := range cfg.Services {
		e.services = append(e.services, e.renew(old[c.Name], c, now))
		delete(old, c.Name)
	}
	for _, s := range before {
		until := s.lingerUntil
		if s.state.Up() {
			until = now.Add(s.cfg.Linger)
		}
		e.leave(savedOf(s), until, now)
	}
	for _, gone := range old {
		gone.stopChecks(func(*check) bool { return false })
		e.opts.Metrics.forget(gone.cfg.Name)
		e.log.Info("service removed from the configuration", "service", gone.cfg.Name)
	}
	e.rejoin()
	e.setManaged()
	maps.DeleteFunc(e.reports, func(_ string, r reconcile.Report) bool { return !e.configured(r) })
	for _, name := range e.expected() {
		e.opts.Metrics.beginDriver(name)
		if _, told := e.reports[name]; !told {
			e.behind[name] = now
		}
	}
	maps.DeleteFunc(e.behind, func(name string, _ time.Time) bool { return !slices.Contains(e.expected(), name) })
	e.reconciler.SetDrivers(driversOf(cfg))
	e.saveInForce()
}

// renew returns the service for cfg, which carries on with the state and the
// unchanged checks of the old one, if there is one.
func (e *Engine) renew(old *service, cfg config.Service, now time.Time) *service {
	s := newService(cfg, now)
	kept := map[string]*check{}
	if old != nil {
		s.state, s.reason, s.since, s.lingerUntil = old.state, old.reason, old.since, old.lingerUntil
		s.hold.failures, s.hold.last = old.hold.failures, old.hold.last
		for _, c := range old.checks {
			kept[c.cfg.Name] = c
		}
	}
	for _, c := range cfg.Checks {
		if was := kept[c.Name]; was != nil && reflect.DeepEqual(was.cfg.Raw, c.Raw) {
			was.service = s
			s.checks = append(s.checks, was)
			continue
		}
		fresh := &check{cfg: c, service: s}
		s.checks = append(s.checks, fresh)
		e.startCheck(fresh)
	}
	if old != nil {
		old.stopChecks(s.has)
	}
	return s
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
