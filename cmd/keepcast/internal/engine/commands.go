package engine

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/keepcast/keepcast/checks"
	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
)

// post hands the loop something that happened.
func (e *Engine) post(f func()) {
	select {
	case e.events <- f:
	case <-e.quit:
	}
}

// call has the loop run f and waits for it.
func (e *Engine) call(f func()) error {
	done := make(chan struct{})
	e.post(func() {
		f()
		close(done)
	})
	select {
	case <-done:
		return nil
	case <-e.quit:
		return api.ErrStopped
	}
}

// Drain withdraws services until they are resumed. If until is not zero, the drain ends
// then. It survives a restart and a reboot. No names: all services. By is who orders it.
func (e *Engine) Drain(names []string, until time.Time, reason, by string) error {
	return e.changeDrains(names, nil, func(name string) {
		e.order(e.service(name), api.Drain{Reason: reason, Since: time.Now(), Until: until, By: by})
		log := e.log.With("service", name)
		if !until.IsZero() {
			log = log.With("until", until)
		}
		log.Info("drain ordered", "reason", reason, "by", by)
	})
}

// Resume ends the drains of services, and those that wait for a service to come back. A drain
// by a file in drain.d stays, and is an error: it ends when the file is removed. No names:
// all of them.
func (e *Engine) Resume(names []string) error {
	var byFile []string
	var dir string
	err := e.changeDrains(names, e.waitingDrains, func(name string) {
		dir = e.cfg.DrainDir
		if _, ok := e.drains.commanded[name]; ok {
			delete(e.drains.commanded, name)
			e.log.Info("drain ended by command", "service", name)
		}
		if d, ok := e.drains.files[name]; ok {
			byFile = append(byFile, d.File)
		}
	})
	if err == nil && slices.Contains(byFile, dir) {
		return fmt.Errorf("still drained: %s can't be read, so its drains are not known", dir)
	}
	if err == nil && len(byFile) > 0 {
		return fmt.Errorf("still drained by %s: remove that file to resume", config.Few(byFile))
	}
	return err
}

// saveTimeout is how long one who orders a drain waits until it is on the disk.
const saveTimeout = 5 * time.Second

// changeDrains changes the commanded drains of the named services and saves them. Others
// returns what may be named beside the services. The loop does not wait for the disk; the
// one who orders does.
func (e *Engine) changeDrains(names []string, others func() []string, change func(name string)) error {
	var unknown error
	var number uint64
	ordered := time.Now()
	err := e.call(func() {
		if names, unknown = e.known(names, others); unknown != nil {
			return
		}
		for _, name := range names {
			change(name)
			e.drains.ordered[name] = true
		}
		e.happened(ordered)
		e.find()
		e.decide()
		number = e.saveDrains()
	})
	if err != nil || unknown != nil {
		return cmp.Or(err, unknown)
	}
	if err := e.disk.drains.Wait(number, saveTimeout); err != nil {
		return fmt.Errorf("done, but not saved, so that a restart forgets it: %w", err)
	}
	return nil
}

// known returns the names, or for none those of all services and all others. It fails on a
// name that is none of them.
func (e *Engine) known(names []string, others func() []string) ([]string, error) {
	var services []string
	for _, s := range e.services {
		services = append(services, s.cfg.Name)
	}
	all := services
	if others != nil {
		all = slices.Concat(services, others())
	}
	if len(names) == 0 {
		return all, nil
	}
	for _, name := range names {
		if !slices.Contains(all, name) {
			return nil, fmt.Errorf("no service %q%s", name, config.Hint(name, "running", services))
		}
	}
	return names, nil
}

// service returns the service of a name, or nil.
func (e *Engine) service(name string) *service {
	for _, s := range e.services {
		if s.cfg.Name == name {
			return s
		}
	}
	return nil
}

// At the start so many checks begin together, and as many more after such a time. A thousand at
// once would hold each other up, and take memory that is never needed again.
const (
	startedTogether = 32
	startedAfter    = 10 * time.Millisecond
)

// startCheck runs a check from after a time until it is stopped. It goes on from the health of
// its last result. One that is of the top level runs there.
func (e *Engine) startCheck(c *check, after time.Duration) {
	if c.cfg.Use != "" {
		c.log = e.logOf(c)
		return
	}
	ctx, stop := context.WithCancel(e.checking)
	c.stop, c.runs = stop, c.cfg.Checker
	on := e.cfg.ProbesOn(*c.service.cfg, *c.cfg)
	ctx = checks.WithDevice(ctx, func() (string, error) { return e.opts.VRF(on) })
	probe := health.CarryOn(c.cfg.Checker, c.cfg.Schedule, c.result.Health)
	probe.Pulse, c.hurry, c.wake = e.opts.Pulse, probe.Hurry, probe.Wake
	c.log = e.logOf(c)
	follower := e.opts.Sockets.Follow(probe.Wake)
	ctx = checks.WithFollower(ctx, follower)
	e.running.Add(1)
	probe.Start(ctx, after, func(r health.Result) {
		e.post(func() {
			if ctx.Err() == nil { // else it was stopped meanwhile
				e.tell(c, r)
			}
		})
		if r.Err == nil {
			follower.Learn()
		}
	}, func() {
		follower.Close()
		e.running.Done()
	})
}

func (e *Engine) logOf(c *check) *slog.Logger {
	return e.log.With("service", c.service.cfg.Name, "check", c.cfg.Name)
}

// learn takes the result of a check.
func (e *Engine) learn(c *check, r health.Result) {
	now, before, was, first := time.Now(), c.service.fitness(), c.result.Verdict, c.result.At.IsZero()
	failed := c.result.Err != nil
	stood := c.service.verdictForOthers()
	c.learn(r, now)
	c.tellWaiters()
	c.told = c.told && r.Void
	e.opts.Metrics.checked(c.service.cfg.Name, c.cfg.Name, r)
	c.log.Debug("checked", "err", r.Err, "verdict", r.Verdict, "void", r.Void, "took", r.Took)
	switch {
	case r.Void && (c.told || first || e.stopping): // the first one may come before the address does, the last one after it went
	case r.Void:
		c.told = true
		c.log.Warn("check can't be run, which says nothing of the service", "err", r.Err)
	case r.Verdict == was:
	case r.Verdict == health.Up:
		e.afterwards(func() { c.log.Info("check up") })
	default:
		e.afterwards(func() { c.log.Info("check down", "err", r.Err) })
	}
	if r.Err == nil && r.Verdict == health.Up && (failed || was != health.Up) {
		c.service.lookAgain()
	}
	if c.service.fitness() != before || c.service.verdictForOthers() != stood {
		e.happened(r.At.Add(r.Took))
	}
	e.show(c.service, now)
}

// happened notes that something is to be decided that happened at a time.
func (e *Engine) happened(at time.Time) {
	if e.undecided = true; e.since.IsZero() || at.Before(e.since) {
		e.since = at
	}
}

// setManaged tells the guard which addresses are managed.
func (e *Engine) setManaged() {
	managed := e.addresses()
	e.managed.Store(&managed)
}

// guard refuses to probe a managed address that is not on this host: another
// host would answer. It is called by the checks' goroutines.
func (e *Engine) guard() checks.Guard {
	return checks.OnlyLocal(func(a netip.Addr) bool { return (*e.managed.Load())[a] }, e.opts.Local)
}
