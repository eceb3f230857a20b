package engine

import (
	"cmp"
	"maps"
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
	// The files there may have been renamed with the services: the notice of that is on its way.
	found, unread := drainDirNow(cfg.DrainDir)
	err := e.call(func() {
		if refused = config.Fixed(e.cfg, cfg); refused != nil {
			e.reloadError = refused.Error()
			e.publish()
			return
		}
		if cfg.DrainDir != "" {
			e.takeDrainDir(found, unread)
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
	kin := kinOf(before)
	common := e.renewCommon(old, now)
	for i := range cfg.Services {
		c := &cfg.Services[i]
		e.services = append(e.services, e.renew(kin(old[c.Name], *c), c, now))
	}
	e.link()
	e.retire(slices.Concat(before, []*service{common}))
	e.attach()
	e.hurryChanged(now)
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
