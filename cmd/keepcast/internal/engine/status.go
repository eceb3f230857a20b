package engine

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/reconcile"
	"github.com/keepcast/keepcast/driver"
)

// Status returns what keepcast knows and desires now. It asks nobody.
func (e *Engine) Status() (api.Status, error) {
	if err := e.ended(); err != nil {
		return api.Status{}, err
	}
	p := e.published.Load()
	if p == nil {
		return api.Status{}, errStarting
	}
	return p.status(e.opts, e.started, time.Now()), nil
}

func (p *published) status(opts Options, started, now time.Time) api.Status {
	s := api.Status{
		Version: opts.Version, Started: started, Stopping: p.stopping,
		Config:   api.ConfigStatus{Files: p.cfg.Files, Loaded: p.loaded, Error: p.reloadError, LastGood: p.lastGood},
		Services: []api.ServiceStatus{}, Drivers: []api.DriverStatus{}, Findings: slices.Clone(p.found),
	}
	managed := opts.Kernel != nil
	for _, svc := range p.services {
		shown := svc.shown.Load()
		s.Services = append(s.Services, p.serviceStatus(shown, managed, now))
		s.Findings = append(s.Findings, shown.findings(now)...)
	}
	if managed {
		s.Drivers = append(s.Drivers, p.driverStatus(reconcile.KernelName, reconcile.KernelName, now))
	} else {
		s.Findings = append(s.Findings, p.reports[reconcile.KernelName].Observed.Findings...)
	}
	for _, d := range p.cfg.Drivers {
		s.Drivers = append(s.Drivers, p.driverStatus(d.Name, d.Kind, now))
	}
	for _, name := range slices.Sorted(maps.Keys(p.departing)) {
		s.Drivers = append(s.Drivers, departing(p.departing[name], p.departingName(name)))
	}
	return s
}

func (p *published) serviceStatus(s *service, managed bool, now time.Time) api.ServiceStatus {
	out := api.ServiceStatus{
		Name: s.cfg.Name, Desired: s.state, Reason: s.reason, Since: s.since, Drain: s.drain, DependsOn: s.cfg.DependsOn, Checks: []api.CheckStatus{},
	}
	for _, r := range s.cfg.Routes(s.presence(now), false) {
		out.Addresses = append(out.Addresses, p.addressStatus(s, r, managed))
	}
	out.State = shown(s.state, out.Addresses)
	for _, c := range s.checks {
		out.Checks = append(out.Checks, c.status())
	}
	return out
}

func (c *check) status() api.CheckStatus {
	status := api.CheckStatus{
		Name: c.cfg.Name, Kind: c.cfg.Kind, OnFailure: c.cfg.OnFailure, Verdict: c.verdict(),
		Void: c.result.Void, LastRun: c.result.At, Seconds: c.result.Took.Seconds(),
	}
	if c.result.Err != nil {
		status.Error = c.result.Err.Error()
	}
	return status
}

// findings tells of the checks that keepcast itself can't run.
func (s *service) findings(now time.Time) (found []driver.Finding) {
	for _, c := range s.checks {
		if c.voidFor(now) < voidLasts {
			continue
		}
		means := "what is announced stays, and what is not does not come"
		if s.cfg.WithdrawsOnVoid() {
			means = "it counts as down"
		}
		found = append(found, driver.Finding{
			Name: "check-void", Level: driver.LevelError, Subject: s.cfg.Name + "/" + c.cfg.Name,
			Text: fmt.Sprintf("keepcast can't run this check since %s: %v; by on_void: %s", c.void.Format(time.TimeOnly), c.result.Err, means),
			Fix:  "look for what is wanting: descriptors (LimitNOFILE), processes (TasksMax), memory, processor time, the system bus (D-Bus), or the address on this host",
		})
	}
	return found
}

func (p *published) addressStatus(s *service, r driver.Route, managed bool) api.AddressStatus {
	out := api.AddressStatus{
		Address: r.Prefix.String(), Prefix: r.Prefix.Masked().String(), PrefixOnly: r.PrefixOnly,
		Desired: r.Presence.String(), Observed: map[string]api.Observation{},
	}
	// The kernel has addresses, a daemon has prefixes: both are masked here.
	if managed && !r.PrefixOnly {
		out.Observed[reconcile.KernelName] = observation(p.reports[reconcile.KernelName].Observed, r.Prefix.Masked())
	}
	for _, d := range p.cfg.Drivers {
		if s.cfg.Uses(d.Name) {
			out.Observed[d.Name] = observation(p.reports[d.Name].Observed, r.Prefix.Masked())
		}
	}
	// Which services a driver that left had is not known any more.
	for name, report := range p.departing {
		if o := observation(report.Observed, r.Prefix.Masked()); left(o) {
			o.Left = true
			out.Observed[p.departingName(name)] = o
		}
	}
	return out
}

// departingName is what a departing driver is called: another one may have its name by now.
func (p *published) departingName(name string) string {
	if slices.ContainsFunc(p.cfg.Drivers, func(d config.Driver) bool { return d.Name == name }) {
		return name + " (left)"
	}
	return name
}

// observation is how far the announcement of a prefix got, by what was observed.
func observation(o reconcile.Observed, p netip.Prefix) api.Observation {
	r, present := o.Routes[p]
	out := api.Observation{Present: present, Unknown: !present && !o.Whole, ExportedTo: r.ExportedTo}
	if o.Neighbors != nil {
		all, _ := o.Takers(p)
		out.Neighbors = &all
	}
	for _, h := range o.Held {
		if h.Prefix == p && !h.Over(time.Now()) {
			out.HeldBy = append(out.HeldBy, h)
		}
	}
	return out
}

// shown returns the state as observed. It is announced only once every daemon that has
// a neighbor has exported it to one. It is withdrawn only once the kernel and each
// daemon are known not to have it, and no neighbor holds it for a daemon that is gone.
func shown(desired api.State, addresses []api.AddressStatus) api.State {
	for _, a := range addresses {
		switch {
		case desired == api.Withdrawn && slices.ContainsFunc(slices.Collect(maps.Values(a.Observed)), left):
			return api.Withdrawing
		case desired.Up() && !announced(a):
			return api.Announcing
		}
	}
	return desired
}

// left reports whether an announcement is still there, or may be.
func left(o api.Observation) bool { return o.Present || o.Unknown || len(o.HeldBy) > 0 }

// announced reports whether every daemon that can be asked and has a neighbor of the
// family has exported it to one. If there are daemons and none has, it is not announced.
func announced(a api.AddressStatus) bool {
	daemon, telling := false, false
	for name, o := range a.Observed {
		if name == reconcile.KernelName {
			if !o.Present {
				return false
			}
			continue
		}
		daemon = daemon || !o.Left
		// One that can't be asked, or has no neighbor for the family, says so by an error
		// or a finding of its own. What another daemon exports is announced all the same.
		if o.Unknown || o.Left || o.Neighbors != nil && *o.Neighbors == 0 {
			continue
		}
		if !o.Present || o.Neighbors != nil && len(o.ExportedTo) == 0 {
			return false
		}
		telling = true
	}
	return !daemon || telling
}

// pendingMost is how long a driver may take to report on a change until that is an error:
// changing takes milliseconds, and to wait for others to change with it tells at once.
const pendingMost = 2 * time.Second

// silentMost is how long nothing may be heard of a driver. It is asked more often.
const silentMost = reconcile.Interval + 15*time.Second

// driverStatus tells of a driver what it reported. What it has not reported on, it is not
// in sync with.
func (p *published) driverStatus(name, kind string, now time.Time) api.DriverStatus {
	r := p.reports[name]
	since, behind := p.behind[name]
	silent := !r.At.IsZero() && now.Sub(r.At) > silentMost
	out := api.DriverStatus{
		Name: name, Kind: kind, InSync: r.InSync && r.Unobserved == nil && !behind && !silent, Since: r.Since,
		Neighbors: r.Observed.Neighbors, Findings: r.Observed.Findings,
	}
	switch {
	case r.Err != nil:
		out.Error = r.Err.Error()
	case r.Unobserved != nil:
		out.Error = "can't be asked what it announces: " + r.Unobserved.Error()
	case behind && now.Sub(since) > pendingMost:
		out.Error, out.Since = fmt.Sprintf("no answer to a change since %s: it hangs, or a file that it needs does", since.Format(time.TimeOnly)), since
	case silent:
		out.Error, out.Since = fmt.Sprintf("not heard of since %s: it hangs, or a file that it needs does", r.At.Format(time.TimeOnly)), r.At
	}
	return out
}

// departing tells of a driver that left the configuration while its gate may be open.
func departing(r reconcile.Report, name string) api.DriverStatus {
	kind, _ := r.Settings["kind"].(string)
	out := api.DriverStatus{
		Name: name, Kind: kind, Since: r.Since, Neighbors: r.Observed.Neighbors, Findings: r.Observed.Findings,
		Error: "left the configuration, its gate is being closed",
	}
	if r.Err != nil {
		out.Error = "left the configuration, but its gate can't be closed: " + r.Err.Error()
	}
	return out
}
