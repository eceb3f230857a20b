package engine

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver"
)

// saved is what survives a restart, in the runtime directory. After a reboot it
// is gone, like everything that it describes.
type saved struct {
	// Interface is that of the top level, where a service names none.
	Interface string         `json:"interface,omitempty"` // empty: saved by an older keepcast
	Services  []savedService `json:"services"`
	Leaving   []leaving      `json:"leaving,omitempty"`
	// Departing are the settings, as YAML, of drivers that left the configuration while
	// their gates were open.
	Departing []string `json:"departing,omitempty"`
	// Drains are those by command, for when the state directory was lost or replaced.
	Drains []order `json:"drains,omitempty"`
}

type savedService struct {
	Name        string         `json:"name"`
	State       api.State      `json:"state"`
	Since       time.Time      `json:"since"`
	LingerUntil time.Time      `json:"linger_until,omitzero"`
	Failures    int            `json:"failures,omitempty"`
	LastFailure time.Time      `json:"last_failure,omitzero"`
	Addresses   []netip.Prefix `json:"addresses"`
	Interface   string         `json:"interface,omitempty"`
	Prefixes    []netip.Prefix `json:"prefixes,omitempty"` // those that have no address
}

// leaving is an address or prefix that left the configuration. An address is delivered
// locally until its linger is over, and then taken off the host. Both are then
// forgotten.
type leaving struct {
	Service    string       `json:"service"`
	Prefix     netip.Prefix `json:"prefix"`
	Interface  string       `json:"interface,omitempty"`
	PrefixOnly bool         `json:"prefix_only,omitempty"` // one of the prefixes
	Until      time.Time    `json:"until"`
	Off        bool         `json:"off,omitempty"` // the kernel has let go of the address; a daemon may not have
}

// onHost returns the state without the addresses that the kernel has let go of.
func (s saved) onHost() saved {
	s.Leaving = slices.DeleteFunc(slices.Clone(s.Leaving), func(l leaving) bool { return l.Off })
	return s
}

// on returns the state with the interfaces named that are not those of now, where the top level
// names another one.
func (s saved) on(now string) saved {
	if s.Interface == "" || s.Interface == now {
		return s
	}
	for i := range s.Services {
		s.Services[i].Interface = cmp.Or(s.Services[i].Interface, s.Interface)
	}
	for i := range s.Leaving {
		s.Leaving[i].Interface = cmp.Or(s.Leaving[i].Interface, s.Interface)
	}
	return s
}

// loadState returns what the last run left, as far as it is to be believed.
func (e *Engine) loadState(now time.Time) saved {
	s, notice, err := e.disk.savedState.Load(nil)
	switch {
	case err != nil:
		e.log.Warn("starting without the saved state", "err", err)
	case notice != nil:
		e.log.Warn("saved state damaged", "err", notice)
	}
	return e.plausible(s.on(e.cfg.Interface), now)
}

// mostFailures bounds how many failures in a row are believed: far more than it takes to
// the longest hold-down.
const mostFailures = 1000

// plausible returns what is to be believed of the saved state at now. No time lies further
// ahead than it may: a clock that was ahead when the state was saved would hold down a
// healthy service, or a stop, until then. A service with a state that is not known counts
// as one that was not saved.
func (e *Engine) plausible(s saved, now time.Time) saved {
	linger, longest, former := map[string]time.Duration{}, e.cfg.Linger, e.former(s)
	for _, cfg := range e.cfg.Services {
		was := former[cfg.Name].Name
		linger[was], longest = max(linger[was], cfg.Linger), max(longest, cfg.Linger)
	}
	for i := range s.Services {
		old := &s.Services[i]
		if !slices.Contains([]api.State{api.Announced, api.Degraded, api.Draining, api.Withdrawn}, old.State) {
			e.log.Warn("saved state of a service not known: only the host says what it was", "service", old.Name, "state", old.State)
			old.State = ""
		}
		old.Since, old.LastFailure = soonest(old.Since, now), soonest(old.LastFailure, now)
		old.LingerUntil = soonest(old.LingerUntil, now.Add(linger[old.Name]))
		old.Failures = min(max(old.Failures, 0), mostFailures)
	}
	for i := range s.Leaving {
		s.Leaving[i].Until = soonest(s.Leaving[i].Until, now.Add(longest))
	}
	return s
}

// soonest returns the earlier one of t and limit.
func soonest(t, limit time.Time) time.Time {
	if t.After(limit) {
		return limit
	}
	return t
}

// savedOf returns what is kept of a service.
func savedOf(s *service) savedService {
	out := announces(*s.cfg)
	out.State, out.Since, out.LingerUntil = s.state, s.since, s.lingerUntil
	out.Failures, out.LastFailure = s.hold.failures, s.hold.last
	return out
}

// announces returns what is kept of a configured service.
func announces(cfg config.Service) savedService {
	out := savedService{Name: cfg.Name, Interface: cfg.Interface}
	for _, a := range cfg.Addresses {
		out.Addresses = append(out.Addresses, a.Prefix)
	}
	for _, n := range cfg.Prefixes {
		out.Prefixes = append(out.Prefixes, n.Prefix)
	}
	return out
}

// save has the present state written for the next start.
func (e *Engine) save() {
	s := saved{Interface: e.cfg.Interface, Leaving: slices.Clone(e.leaving), Departing: e.departingSettings(), Drains: e.drains.list()}
	for _, svc := range e.services {
		s.Services = append(s.Services, savedOf(svc))
	}
	e.disk.state.Put(s)
}

// adopt takes over what the host has and what the last run left of it, so that
// a restart moves no route. A service counts as announced when the host has one of
// its addresses; the saved state adds what the host can't tell. Of a service without an
// address that is everything.
func (e *Engine) adopt(host driver.State, s saved, now time.Time) {
	there := driver.State{Routes: host.Announced()}.Managed()
	before, down := e.former(s), withdrawn(s)
	for _, svc := range e.services {
		old := before[svc.cfg.Name]
		known := old.State != ""
		if known {
			svc.hold.failures, svc.hold.last = old.Failures, old.LastFailure
			svc.lingerUntil = old.LingerUntil
		}
		tells := known || len(svc.cfg.Addresses) > 0
		// What was announced by this keepcast and lost a part meanwhile is mended, not
		// withdrawn. But what joins it from a service that was withdrawn may be dead.
		if tells && (!known || old.State.Up()) && svc.onHost(there) && !slices.ContainsFunc(svc.id().announces, down) {
			svc.state, svc.since, svc.reason = api.Announced, now, "adopted: the host had it"
			if known {
				svc.state, svc.since = old.State, old.Since
			}
			e.log.Info("adopted", "service", svc.cfg.Name, "state", svc.state)
		} else if known && old.State == api.Draining {
			svc.state, svc.since = api.Draining, old.Since
		}
	}
	e.leaving = s.Leaving
	e.rejoin()
	for _, old := range s.Services {
		linger := time.Duration(0)
		if old.State.Up() || old.State == "" {
			linger = e.cfg.Linger
		}
		e.leave(old, now.Add(linger), now)
	}
}

// withdrawn returns a function that tells what belonged to a service that the last run left
// withdrawn.
func withdrawn(s saved) func(netip.Prefix) bool {
	down := map[netip.Prefix]bool{}
	for _, old := range s.Services {
		for _, p := range old.id().announces {
			down[p] = old.State == api.Withdrawn
		}
	}
	return func(p netip.Prefix) bool { return down[p] }
}

// onHost reports whether an address of the service is there, if it has any.
func (s *service) onHost(there map[netip.Prefix]bool) bool {
	return len(s.cfg.Addresses) == 0 || slices.ContainsFunc(s.cfg.Addresses, func(a config.Address) bool { return there[a.Masked()] })
}

// leave notes what the old service had and no configured service has now; an address is
// the same with any length. What leaves is delivered locally until the time until, and
// then removed from the host.
func (e *Engine) leave(old savedService, until, now time.Time) {
	if until.Before(now) {
		until = now // to be forgotten no sooner than what leaves later
	}
	stays := e.staying()
	for _, l := range old.leavings() {
		if !stays(l) {
			l.Until = until
			e.leaving = append(e.leaving, l)
		}
	}
}

// leavings returns everything that the service had, each as it is when it leaves.
func (old savedService) leavings() []leaving {
	var out []leaving
	for _, p := range old.Addresses {
		out = append(out, leaving{Service: old.Name, Prefix: p, Interface: old.Interface})
	}
	for _, p := range old.Prefixes {
		out = append(out, leaving{Service: old.Name, Prefix: p, PrefixOnly: true})
	}
	return out
}

// route returns what leaves as an absent route.
func (l leaving) route() driver.Route {
	return driver.Route{Prefix: l.Prefix, Service: l.Service, Interface: l.Interface, PrefixOnly: l.PrefixOnly}
}

// rejoin drops from leaving what a service has again.
func (e *Engine) rejoin() { e.leaving = slices.DeleteFunc(e.leaving, e.staying()) }

// staying returns a function that tells whether a configured service has what leaves.
func (e *Engine) staying() func(leaving) bool {
	addresses, prefixes := e.addresses(), map[netip.Prefix]bool{}
	for _, s := range e.services {
		for _, p := range s.cfg.Prefixes {
			prefixes[p.Prefix] = true
		}
	}
	return func(l leaving) bool {
		if l.PrefixOnly {
			return prefixes[l.Prefix]
		}
		return addresses[l.Prefix.Addr()]
	}
}

// addresses returns the addresses of all services.
func (e *Engine) addresses() map[netip.Addr]bool {
	out := map[netip.Addr]bool{}
	for _, s := range e.services {
		for _, a := range s.cfg.Addresses {
			out[a.Addr()] = true
		}
	}
	return out
}
