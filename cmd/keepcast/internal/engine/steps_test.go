package engine

import (
	"errors"
	"reflect"
	"slices"
	"testing/synctest"
	"time"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver"
)

// begin starts an engine, as keepcast starts; the model adopts what is on the host.
func (w *world) begin() {
	w.mu.Lock()
	w.model.clock = time.Now()
	for _, s := range w.model.services {
		had := true
		for _, a := range s.cfg.Addresses {
			had = had && w.has(a.Prefix)
		}
		if s.state.Up() && !had {
			s.state = api.Withdrawn
		}
		s.checks, s.works, s.gone = make([]verdict, len(s.cfg.Checks)), false, time.Time{}
	}
	for _, by := range w.model.drains {
		delete(by, "file") // the engine is told of them by a command of the test
	}
	w.mu.Unlock()
	w.start()
	synctest.Wait()
}

// finish stops the engine.
func (w *world) finish() {
	w.stop()
	if err := <-w.done; err != nil {
		w.fault("run: %v", err)
	}
}

// configure has the model follow a configuration.
func (w *world) configure(cfg *config.Config) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	w.model.advance(now)
	before := w.model.services
	w.model.services = map[string]*modelled{}
	for _, s := range cfg.Services {
		m := &modelled{cfg: s, state: api.Withdrawn, checks: make([]verdict, len(s.Checks))}
		if old := before[s.Name]; old != nil {
			verdicts := m.checks
			*m = *old
			m.cfg, m.checks = s, verdicts
			for i, c := range s.Checks {
				if j := slices.IndexFunc(old.cfg.Checks, func(o config.Check) bool { return o.Name == c.Name }); j >= 0 {
					m.checks[i] = old.checks[j]
					if !reflect.DeepEqual(old.cfg.Checks[j].Raw, c.Raw) {
						m.checks[i].changed = now
					}
				}
			}
		}
		w.model.services[s.Name] = m
		for _, a := range s.Addresses {
			delete(w.model.leaving, a.Prefix)
		}
	}
	for name, old := range before {
		if w.model.services[name] != nil {
			continue
		}
		for _, a := range old.cfg.Addresses {
			w.model.leaving[a.Prefix] = old.linger
			if old.state.Up() {
				w.model.leaving[a.Prefix] = now.Add(old.cfg.Linger)
			}
		}
	}
	w.model.advance(now)
	w.cfg = cfg
}

// happen lets a step happen.
func (w *world) happen(s step) {
	service := &w.all[s.Service]
	d := w.daemons[[]string{"bird", "other", "other"}[s.N]]
	p := service.Addresses[0].Prefix
	switch s.What {
	case "check":
		name := service.Name + service.Checks[s.N%len(service.Checks)].Name
		w.mu.Lock()
		w.good[name] = !w.good[name]
		w.mu.Unlock()
	case "drain":
		w.drain(service.Name, "command", time.Time{})
	case "drain for":
		w.drain(service.Name, "command", time.Now().Add(time.Duration(s.Delay)*time.Second))
	case "resume":
		w.resume(service.Name)
	case "file":
		w.drain(service.Name, "file", time.Time{})
	case "stop and start":
		w.finish()
		w.begin()
	case "reload without", "reload with", "reload checks", "reload times":
		w.reload(s)
	case "kernel fails":
		w.kernel.set(func() { w.kernel.fail = errors.New("no buffer space available") })
	case "kernel works":
		w.healKernel()
	case "address goes", "address comes":
		w.disturb(p, map[string]driver.Presence{"address goes": driver.Absent, "address comes": driver.Announced}[s.What])
	case "daemon fails":
		d.set(func() { d.fail = errors.New("refused") })
	case "daemon hangs":
		d.set(func() { d.hang = true })
	case "daemon is mute":
		d.set(func() { d.mute = errors.New("no answer") })
	case "daemon works":
		w.heal(d)
	case "daemon restarts":
		d.set(func() { d.have = driver.State{} })
		d.tell(nil)
	case "watch ends":
		d.tell(errors.New("the connection broke"))
	}
}

// drain orders a drain by command or file. A file that is there already goes.
func (w *world) drain(service, by string, until time.Time) {
	w.mu.Lock()
	known := w.model.services[service] != nil
	w.model.advance(time.Now())
	drains := w.model.drains[service]
	if _, drained := drains[by]; drained && by == "file" {
		delete(drains, by)
	} else if known || by == "file" {
		drains[by] = until
	}
	w.model.advance(time.Now())
	files := map[string]api.Drain{}
	for name, by := range w.model.drains {
		if _, drained := by["file"]; drained {
			files[name] = api.Drain{Service: name, File: "drain.d/" + name}
		}
	}
	w.mu.Unlock()
	if by == "file" {
		w.engine.drainFiles(drainDir{drains: files}, nil)
		return
	}
	err := w.engine.Drain([]string{service}, until, "", "")
	if (err == nil) != known {
		w.fault("drain %s: %v", service, err)
	}
}

func (w *world) resume(service string) {
	w.mu.Lock()
	until, waits := w.model.drains[service]["command"] // for the service to come back
	waits = waits && (until.IsZero() || time.Now().Before(until))
	known := w.model.services[service] != nil || waits
	_, byFile := w.model.drains[service]["file"]
	w.model.advance(time.Now())
	if known {
		delete(w.model.drains[service], "command")
	}
	w.model.advance(time.Now())
	w.mu.Unlock()
	if err := w.engine.Resume([]string{service}); (err == nil) != (known && !byFile) {
		w.fault("resume %s: %v", service, err)
	}
}

// reload changes the configuration: a service leaves or comes back, its checks are new,
// or its times.
func (w *world) reload(s step) {
	cfg := copied(w.cfg)
	name := w.all[s.Service].Name
	at := slices.IndexFunc(cfg.Services, func(c config.Service) bool { return c.Name == name })
	switch {
	case s.What == "reload with" && at < 0:
		cfg.Services = append(cfg.Services, w.all[s.Service])
	case at < 0:
	case s.What == "reload without":
		cfg.Services = slices.Delete(cfg.Services, at, at+1)
	case s.What == "reload checks":
		c := &cfg.Services[at].Checks[s.N%len(cfg.Services[at].Checks)]
		w.newChecker(&cfg.Services[at], c)
	case s.What == "reload times":
		cfg.Services[at].HoldDown = []time.Duration{0, 1007 * time.Millisecond, 4003 * time.Millisecond}[s.N]
	}
	w.configure(cfg)
	if err := w.engine.Reload(cfg); err != nil {
		w.fault("reload: %v", err)
	}
}
