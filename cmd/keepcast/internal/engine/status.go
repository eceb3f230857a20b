package engine

import (
	"net/netip"
	"time"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/reconcile"
	"github.com/keepcast/keepcast/driver"
)

// status is taken by the engine's goroutine.
func (e *Engine) status() api.Status {
	now := time.Now()
	s := api.Status{
		Version: e.opts.Version, Started: e.started, Stopping: e.stopping,
		Config:   api.ConfigStatus{Files: e.cfg.Files, Loaded: e.loaded, Error: e.reloadError},
		Services: []api.ServiceStatus{}, Drivers: []api.DriverStatus{},
	}
	for _, svc := range e.services {
		s.Services = append(s.Services, e.serviceStatus(svc, now))
	}
	if e.opts.Kernel != nil {
		s.Drivers = append(s.Drivers, e.driverStatus(reconcile.KernelName, reconcile.KernelName))
	}
	for _, d := range e.cfg.Drivers {
		s.Drivers = append(s.Drivers, e.driverStatus(d.Name, d.Kind))
	}
	return s
}

func (e *Engine) serviceStatus(s *service, now time.Time) api.ServiceStatus {
	out := api.ServiceStatus{
		Name: s.cfg.Name, Desired: s.state, Reason: s.reason, Since: s.since,
		Drain: e.drains.active(s.cfg.Name, now), Checks: []api.CheckStatus{},
	}
	for _, r := range s.cfg.Routes(s.presence(now), false) {
		out.Addresses = append(out.Addresses, e.addressStatus(s, r))
	}
	out.State = shown(s.state, out.Addresses)
	for _, c := range s.checks {
		status := api.CheckStatus{
			Name: c.cfg.Name, Kind: c.cfg.Kind, OnFailure: c.cfg.OnFailure, Verdict: c.result.Verdict,
			LastRun: c.result.At, Seconds: c.result.Took.Seconds(),
		}
		if c.result.Err != nil {
			status.Error = c.result.Err.Error()
		}
		out.Checks = append(out.Checks, status)
	}
	return out
}

func (e *Engine) addressStatus(s *service, r driver.Route) api.AddressStatus {
	out := api.AddressStatus{
		Address: r.Prefix.String(), Prefix: r.Prefix.Masked().String(), PrefixOnly: r.PrefixOnly,
		Desired: r.Presence.String(), Observed: map[string]api.Observation{},
	}
	// The kernel has addresses, a daemon has prefixes: both are masked here.
	if e.opts.Kernel != nil && !r.PrefixOnly {
		out.Observed[reconcile.KernelName] = observation(e.reports[reconcile.KernelName].Observed, r.Prefix.Masked())
	}
	for _, d := range e.cfg.Drivers {
		if s.cfg.Uses(d.Name) {
			out.Observed[d.Name] = observation(e.reports[d.Name].Observed, r.Prefix.Masked())
		}
	}
	return out
}

// observation is how far the announcement of a prefix got, by what was observed.
func observation(o reconcile.Observed, p netip.Prefix) api.Observation {
	r, present := o.Routes[p]
	out := api.Observation{Present: present, Unknown: !present && !o.Whole, ExportedTo: r.ExportedTo}
	if o.Neighbors != nil {
		all, _ := o.Takers(p)
		out.Neighbors = &all
	}
	return out
}

// shown returns the state as observed. It is announced only once every daemon that has
// a neighbor has exported it to one. It is withdrawn only once the kernel and each
// daemon are known not to have it.
func shown(desired api.State, addresses []api.AddressStatus) api.State {
	for _, a := range addresses {
		switch {
		case desired == api.Withdrawn && left(a):
			return api.Withdrawing
		case desired.Up() && !announced(a):
			return api.Announcing
		}
	}
	return desired
}

// left reports whether anything of the announcement is still there, or may be.
func left(a api.AddressStatus) bool {
	for _, o := range a.Observed {
		if o.Present || o.Unknown {
			return true
		}
	}
	return false
}

// announced reports whether every daemon that has a neighbor of the family has exported
// it to one. If there are daemons and none has such a neighbor, it is not announced.
func announced(a api.AddressStatus) bool {
	daemon, telling := false, false
	for name, o := range a.Observed {
		daemon = daemon || name != reconcile.KernelName
		// One that has no neighbor for the family says so by a finding.
		if !o.Unknown && o.Neighbors != nil && *o.Neighbors == 0 {
			continue
		}
		if !o.Present || o.Neighbors != nil && len(o.ExportedTo) == 0 {
			return false
		}
		telling = telling || name != reconcile.KernelName
	}
	return !daemon || telling
}

func (e *Engine) driverStatus(name, kind string) api.DriverStatus {
	r := e.reports[name]
	out := api.DriverStatus{
		Name: name, Kind: kind, InSync: r.InSync && r.Unobserved == nil, Since: r.Since,
		Neighbors: r.Observed.Neighbors, Findings: r.Observed.Findings,
	}
	switch {
	case r.Err != nil:
		out.Error = r.Err.Error()
	case r.Unobserved != nil:
		out.Error = "can't be asked what it announces: " + r.Unobserved.Error()
	}
	return out
}
