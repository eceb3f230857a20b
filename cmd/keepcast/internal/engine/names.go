package engine

import (
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
)

// A service is what it announces, whatever its name. So what has the same addresses and the
// same checks under another name goes on as it was, also where two services swapped names.
// Only what no service goes on from that way goes on under its name.

// successions returns, by the names that services have now, what of before they go on from.
// Like tells whether one that announces the same is the same service.
func successions[T any](before []T, now []config.Service, of func(T) savedService, like func(T, config.Service) bool) map[string]T {
	announcing, named, out := map[string]T{}, map[string]T{}, map[string]T{}
	for _, old := range before {
		announcing[of(old).substance()], named[of(old).Name] = old, old
	}
	for _, c := range now {
		if old, known := announcing[announces(c).substance()]; known && like(old, c) {
			out[c.Name] = old
			delete(named, of(old).Name)
		}
	}
	for _, c := range now {
		old, known := named[c.Name]
		if _, already := out[c.Name]; known && !already {
			out[c.Name] = old
		}
	}
	return out
}

// substance is what a service announces. No two services of a configuration announce the
// same.
func (s savedService) substance() string { return fmt.Sprint(s.Addresses, s.Prefixes) }

// predecessors returns, by the names that services have in cfg, what they go on from.
func predecessors(before []*service, cfg *config.Config) map[string]*service {
	return successions(before, cfg.Services, savedOf, (*service).checksLike)
}

// checksLike reports whether the service has the checks of cfg.
func (s *service) checksLike(cfg config.Service) bool {
	return slices.EqualFunc(s.checks, cfg.Checks, func(c *check, other config.Check) bool { return reflect.DeepEqual(c.cfg.Raw, other.Raw) })
}

// former returns what the last run saved of each service, by the names that they have now.
func (e *Engine) former(last saved) map[string]savedService {
	itself := func(s savedService) savedService { return s }
	return successions(last.Services, e.cfg.Services, itself, func(savedService, config.Service) bool { return true })
}

// followRenames moves the drains of the services that were renamed while keepcast did not
// run.
func (e *Engine) followRenames(last saved) {
	renamed := map[string]string{}
	for to, old := range e.former(last) {
		if old.Name != to {
			renamed[old.Name] = to
		}
	}
	e.moveDrains(renamed)
}

// moveDrains has the drains of services follow these to other names. A drain by a file that
// has the former name becomes one by command, unless there is a file of the new name: a
// service that is drained does not come back because it is called otherwise.
func (e *Engine) moveDrains(renamed map[string]string) {
	moved := map[string]api.Drain{}
	for from, to := range renamed {
		d, commanded := e.drains.commanded[from]
		file, byFile := e.drains.files[from]
		_, again := e.drains.files[to]
		switch {
		case commanded:
			e.log.Info("drain follows the service to its new name", "service", to, "was", from)
		case !byFile || again:
			continue
		case file.File == e.cfg.DrainDir: // it can't be read
			file.Service = to
			e.drains.files[to] = file
			continue
		default:
			e.log.Warn("service was drained by a file with its former name, and stays drained until keepcast resume", "service", to, "was", from, "file", file.File)
			d = file
			d.File, d.Reason = "", fmt.Sprintf("by %s when the service was called %s", file.File, from)
		}
		d.Service = to
		moved[to] = d
	}
	before := e.drains.list()
	for from, to := range renamed { // whoever had the new name has it no more
		delete(e.drains.commanded, from)
		delete(e.drains.commanded, to)
	}
	maps.Copy(e.drains.commanded, moved)
	if after := e.drains.list(); !slices.Equal(before, after) {
		e.disk.drains.Put(after)
	}
}
