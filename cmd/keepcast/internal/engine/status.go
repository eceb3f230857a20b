package engine

import (
	"time"

	"github.com/keepcast/keepcast/checks"
	"github.com/keepcast/keepcast/driver"
)

// Status is what keepcast knows and wants at one moment. Its JSON form is the
// read-only API and the output of `keepcast status -o json`.
type Status struct {
	Version  string          `json:"version"`
	Started  time.Time       `json:"started"`
	Stopping bool            `json:"stopping"`
	Config   ConfigStatus    `json:"config"`
	Services []ServiceStatus `json:"services"`
	Drivers  []DriverStatus  `json:"drivers"`
}

// ConfigStatus tells which configuration is in force.
type ConfigStatus struct {
	Files  []string  `json:"files"`
	Loaded time.Time `json:"loaded"`
	Error  string    `json:"error,omitempty"` // why the last reload was refused
}

// ServiceStatus is one service.
type ServiceStatus struct {
	Name      string          `json:"name"`
	State     State           `json:"state"`  // what is so, as far as the kernel and the daemons tell
	Wanted    State           `json:"wanted"` // what keepcast has decided
	Reason    string          `json:"reason"`
	Since     time.Time       `json:"since"`
	Drain     *Drain          `json:"drain,omitempty"`
	Addresses []AddressStatus `json:"addresses"`
	Checks    []CheckStatus   `json:"checks"`
}

// AddressStatus is one address of a service.
type AddressStatus struct {
	Address  string           `json:"address"`             // as configured, with its length
	Prefix   string           `json:"prefix"`              // what is announced
	GateOnly bool             `json:"gate_only,omitempty"` // a network that the daemon originates itself
	Wanted   string           `json:"wanted"`              // announced, delivered (locally only) or absent
	Seen     map[string]Sight `json:"seen"`                // by driver: what it had when last asked
}

// CheckStatus is one check and its last result.
type CheckStatus struct {
	Name      string         `json:"name"`
	Kind      string         `json:"kind"`
	OnFailure string         `json:"on_failure"`
	Verdict   checks.Verdict `json:"verdict"`
	Error     string         `json:"error,omitempty"`
	LastRun   time.Time      `json:"last_run,omitzero"`
	Seconds   float64        `json:"seconds"` // how long the last run took
}

// DriverStatus is the kernel or one routing daemon.
type DriverStatus struct {
	Name       string             `json:"name"`
	Kind       string             `json:"kind"`
	InSync     bool               `json:"in_sync"`
	Error      string             `json:"error,omitempty"`
	Since      time.Time          `json:"since,omitzero"`       // of the error, or of being in step
	Neighbours []driver.Neighbour `json:"neighbours,omitempty"` // to whom the daemon can announce
	Findings   []driver.Finding   `json:"findings,omitempty"`   // what stands in the way of it
}

// Pending reports whether nothing is wrong, but the newest change is still on
// its way: a gate that only closes waits for others to close with it.
func (d DriverStatus) Pending() bool { return !d.InSync && d.Error == "" && !d.Since.IsZero() }

// Up counts the neighbours that are there.
func (d DriverStatus) Up() int {
	n := 0
	for _, neighbour := range d.Neighbours {
		if neighbour.Up {
			n++
		}
	}
	return n
}

// status is taken by the engine's goroutine.
func (e *Engine) status() Status {
	now := time.Now()
	s := Status{
		Version: e.opts.Version, Started: e.started, Stopping: e.stopping,
		Config:   ConfigStatus{Files: e.cfg.Files, Loaded: e.loaded, Error: e.reloadError},
		Services: []ServiceStatus{}, Drivers: []DriverStatus{},
	}
	for _, svc := range e.services {
		s.Services = append(s.Services, e.serviceStatus(svc, now))
	}
	if e.opts.Kernel != nil {
		s.Drivers = append(s.Drivers, e.driverStatus(kernelName, kernelName))
	}
	for _, d := range e.cfg.Drivers {
		s.Drivers = append(s.Drivers, e.driverStatus(d.Name, d.Kind))
	}
	return s
}

func (e *Engine) serviceStatus(s *service, now time.Time) ServiceStatus {
	out := ServiceStatus{
		Name: s.cfg.Name, Wanted: s.state, Reason: s.reason, Since: s.since,
		Drain: e.drains.of(s.cfg.Name, now), Checks: []CheckStatus{},
	}
	for _, r := range s.cfg.Routes(s.presence(now), false) {
		out.Addresses = append(out.Addresses, e.addressStatus(s, r))
	}
	out.State = shown(s.state, out.Addresses)
	for _, c := range s.checks {
		status := CheckStatus{
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

func (e *Engine) addressStatus(s *service, r driver.Route) AddressStatus {
	out := AddressStatus{
		Address: r.Prefix.String(), Prefix: r.Prefix.Masked().String(), GateOnly: r.GateOnly,
		Wanted: r.Presence.String(), Seen: map[string]Sight{},
	}
	// The kernel has addresses, a daemon has prefixes: both are masked here.
	if e.opts.Kernel != nil && !r.GateOnly {
		out.Seen[kernelName] = e.hostView[kernelName].sight.of(r.Prefix.Masked())
	}
	for _, d := range e.cfg.Drivers {
		if s.cfg.Uses(d.Name) {
			out.Seen[d.Name] = e.hostView[d.Name].sight.of(r.Prefix.Masked())
		}
	}
	return out
}

// shown is the state that is really so: announced only once every daemon that
// could has told a neighbour, and withdrawn only once it is known of each that it
// does not have it any more.
func shown(wanted State, addresses []AddressStatus) State {
	for _, a := range addresses {
		switch {
		case wanted == Withdrawn && a.left():
			return Withdrawing
		case wanted.up() && !a.announced():
			return Announcing
		}
	}
	return wanted
}

// left reports whether anything of the announcement is still there, or may be.
func (a AddressStatus) left() bool {
	for _, seen := range a.Seen {
		if seen.Present || seen.Unknown {
			return true
		}
	}
	return false
}

// announced reports whether everything that could announce it does. A daemon
// without a neighbour for its family could not, but one that could there must be.
func (a AddressStatus) announced() bool {
	daemons, telling := 0, 0
	for name, seen := range a.Seen {
		if name != kernelName {
			daemons++
		}
		if !seen.counts() {
			continue
		}
		if !seen.announced() {
			return false
		}
		if name != kernelName {
			telling++
		}
	}
	return daemons == 0 || telling > 0
}

func (e *Engine) driverStatus(name, kind string) DriverStatus {
	d := e.hostView[name]
	out := DriverStatus{
		Name: name, Kind: kind, InSync: d.inSync && d.unseen == nil, Since: d.since,
		Neighbours: d.sight.neighbours, Findings: d.sight.findings,
	}
	switch {
	case d.err != nil:
		out.Error = d.err.Error()
	case d.unseen != nil:
		out.Error = "can't be asked what it announces: " + d.unseen.Error()
	}
	return out
}
