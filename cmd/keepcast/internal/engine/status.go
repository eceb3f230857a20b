package engine

import (
	"time"

	"github.com/keepcast/keepcast/checks"
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
	State     State           `json:"state"`
	Reason    string          `json:"reason"`
	Since     time.Time       `json:"since"`
	Drain     *Drain          `json:"drain,omitempty"`
	Addresses []AddressStatus `json:"addresses"`
	Checks    []CheckStatus   `json:"checks"`
}

// AddressStatus is one address of a service.
type AddressStatus struct {
	Address  string          `json:"address"`  // as configured, with its length
	Prefix   string          `json:"prefix"`   // what is announced
	Wanted   string          `json:"wanted"`   // announced, delivered (locally only) or absent
	Observed map[string]bool `json:"observed"` // by driver: whether it had the prefix when last asked
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
	Name   string    `json:"name"`
	Kind   string    `json:"kind"`
	InSync bool      `json:"in_sync"`
	Error  string    `json:"error,omitempty"`
	Since  time.Time `json:"since,omitzero"` // of the error, or of being in step
}

// Pending reports whether nothing is wrong, but the newest change is still on
// its way: a gate that only closes waits for others to close with it.
func (d DriverStatus) Pending() bool { return !d.InSync && d.Error == "" && !d.Since.IsZero() }

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
		Name: s.cfg.Name, State: s.state, Reason: s.reason, Since: s.since,
		Drain: e.drains.of(s.cfg.Name, now), Checks: []CheckStatus{},
	}
	for _, a := range s.cfg.Addresses {
		address := AddressStatus{
			Address: a.String(), Prefix: a.Masked().String(), Wanted: s.presence(now).String(),
			Observed: map[string]bool{},
		}
		for name, d := range e.hostView {
			// The kernel has addresses, a daemon has prefixes: both are masked here.
			address.Observed[name] = d.observed[a.Masked()]
		}
		out.Addresses = append(out.Addresses, address)
	}
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

func (e *Engine) driverStatus(name, kind string) DriverStatus {
	d := e.hostView[name]
	out := DriverStatus{Name: name, Kind: kind, InSync: d.inSync, Since: d.since}
	if d.err != nil {
		out.Error = d.err.Error()
	}
	return out
}
