// Package api is what the running keepcast and those who ask it say to each other: the
// commands, the read-only HTTP server, and whatever reads its JSON.
package api

import (
	"cmp"
	"errors"
	"time"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/driver"
)

// ErrStopped is the answer of a keepcast that has ended.
var ErrStopped = errors.New("keepcast is stopping")

// State is a state of a service.
type State string

// The states that are decided.
const (
	Announced State = "announced" // fit: on the interface and permitted
	Degraded  State = "degraded"  // fit, but a degrade check fails: permitted with worse attributes
	Draining  State = "draining"  // drained or stopping: not announced, still delivered locally for linger
	Withdrawn State = "withdrawn" // not fit, drained, or never yet fit
)

// The states of a service that is on its way. They are only shown: nothing is decided
// by them.
const (
	Announcing  State = "announcing"  // to be announced or degraded, but no neighbor of a daemon has it yet
	Withdrawing State = "withdrawing" // to be withdrawn, but the kernel or a daemon still has it
)

// States lists every state, from the most to the least announced.
var States = [...]State{Announced, Degraded, Announcing, Draining, Withdrawing, Withdrawn}

// Up reports whether a service in this state is to be announced.
func (s State) Up() bool { return s == Announced || s == Degraded }

// Drain is the order of an operator, or of a file, to withdraw a service.
type Drain struct {
	Service string    `json:"service"`
	Reason  string    `json:"reason,omitempty"`
	Since   time.Time `json:"since"`
	Until   time.Time `json:"until,omitzero"` // zero: until resumed
	File    string    `json:"file,omitempty"` // the file in drain.d that orders it; empty: by command
	By      string    `json:"by,omitempty"`   // the user who gave the command; empty: a file, or unknown
}

// Over reports whether the drain has ended by itself.
func (d Drain) Over(now time.Time) bool { return !d.Until.IsZero() && !now.Before(d.Until) }

// String says for people what the drain is.
func (d Drain) String() string {
	s := "drained"
	if by := cmp.Or(d.File, d.By); by != "" {
		s += " by " + by
	}
	if !d.Until.IsZero() {
		s += " until " + d.Until.Format("2006-01-02 15:04:05")
	}
	if d.Reason != "" {
		s += ": " + d.Reason
	}
	return s
}

// DrainRequest is the body of POST /v1/drain. It names services, or says All.
type DrainRequest struct {
	Services []string  `json:"services,omitempty"`
	All      bool      `json:"all,omitempty"`
	Until    time.Time `json:"until,omitzero"`
	Reason   string    `json:"reason,omitempty"`
}

// ResumeRequest is the body of POST /v1/resume. It names services, or says All.
type ResumeRequest struct {
	Services []string `json:"services,omitempty"`
	All      bool     `json:"all,omitempty"`
}

// CheckNowRequest is the body of POST /v1/check-now. It names services, or checks as
// SERVICE/CHECK, or says All.
type CheckNowRequest struct {
	Services []string `json:"services,omitempty"`
	All      bool     `json:"all,omitempty"`
}

// CheckNowAnswer is the answer to it.
type CheckNowAnswer struct {
	Checks []CheckedNow `json:"checks"`
}

// CheckedNow is what a check says after it ran.
type CheckedNow struct {
	Service string `json:"service"`
	CheckStatus
	Pending bool `json:"pending,omitempty"` // it has not ended yet; the rest is of the run before
	InARow  int  `json:"in_a_row"`          // runs that ended like this one, in a row; counted up to Takes
	Takes   int  `json:"takes"`             // so many in a row make the verdict (rise, fall)
}

// ReportRequest is the body of POST /v1/report: what somebody says of a service, for a check
// of kind push. The answer is an empty object.
type ReportRequest struct {
	Check   string  `json:"check"` // SERVICE/CHECK
	Up      bool    `json:"up"`
	Seconds float64 `json:"ttl_seconds,omitempty"` // how long that holds; 0: as long as the check has it
	Reason  string  `json:"reason,omitempty"`
}

// Problem is the body of every answer that is an error.
type Problem struct {
	Error string `json:"error"`
}

// Status is what keepcast knows and desires at one moment: the body of GET /v1/status,
// and the output of `keepcast status -o json`.
type Status struct {
	Version  string          `json:"version"`
	Started  time.Time       `json:"started"`
	Stopping bool            `json:"stopping"`
	Config   ConfigStatus    `json:"config"`
	Services []ServiceStatus `json:"services"`
	Drivers  []DriverStatus  `json:"drivers"`
	// Findings are those about keepcast itself.
	Findings []driver.Finding `json:"findings,omitempty"`
}

// ConfigStatus tells which configuration is in force.
type ConfigStatus struct {
	Files  []string  `json:"files"`
	Loaded time.Time `json:"loaded"`
	Error  string    `json:"error,omitempty"` // why the last reload was refused, or the files at the start
	// LastGood: keepcast was started with files that are not valid, and goes on with the
	// configuration that was in force before.
	LastGood bool `json:"last_good,omitempty"`
}

// ServiceStatus is one service.
type ServiceStatus struct {
	Name      string          `json:"name"`
	State     State           `json:"state"`   // as observed in the kernel and the daemons
	Desired   State           `json:"desired"` // what keepcast has decided
	Reason    string          `json:"reason"`
	Since     time.Time       `json:"since"`
	Drain     *Drain          `json:"drain,omitempty"`
	DependsOn []string        `json:"depends_on,omitempty"` // other services of this host
	Addresses []AddressStatus `json:"addresses"`
	Checks    []CheckStatus   `json:"checks"`
}

// AddressStatus is one address or prefix of a service.
type AddressStatus struct {
	Address    string                 `json:"address"`               // as configured, with its length
	Prefix     string                 `json:"prefix"`                // what is announced
	PrefixOnly bool                   `json:"prefix_only,omitempty"` // one of the service's prefixes, which has no address
	Desired    string                 `json:"desired"`               // announced, delivered (locally only) or absent
	Observed   map[string]Observation `json:"observed"`              // by driver: what it had when last asked
}

// Observation is how far an announcement got with the kernel or one daemon.
type Observation struct {
	Present    bool     `json:"present"`               // it has the prefix
	Unknown    bool     `json:"unknown,omitempty"`     // it could not be asked, and may have it
	ExportedTo []string `json:"exported_to,omitempty"` // the neighbors that are sent it
	Neighbors  *int     `json:"neighbors,omitempty"`   // how many could be; nil: the daemon does not tell
	// Left: it is of a driver that left the configuration, and whose gate is not closed yet.
	Left bool `json:"left,omitempty"`
	// HeldBy are the neighbors that may still send packets for it, though it is not
	// exported to them any more: they wait for the daemon to come back.
	HeldBy []driver.Held `json:"held_by,omitempty"`
}

// CheckStatus is one check and its last result.
type CheckStatus struct {
	Name      string         `json:"name"`
	Kind      string         `json:"kind"`
	OnFailure string         `json:"on_failure"`
	Verdict   health.Verdict `json:"verdict"`
	Error     string         `json:"error,omitempty"`
	Void      bool           `json:"void,omitempty"` // keepcast itself could not run it: it says nothing of the service
	LastRun   time.Time      `json:"last_run,omitzero"`
	Seconds   float64        `json:"seconds"` // how long the last run took
}

// DriverStatus is the kernel or one routing daemon.
type DriverStatus struct {
	Name      string            `json:"name"`
	Kind      string            `json:"kind"`
	InSync    bool              `json:"in_sync"`
	Error     string            `json:"error,omitempty"`
	Since     time.Time         `json:"since,omitzero"`      // of the error, or of being in sync
	Neighbors []driver.Neighbor `json:"neighbors,omitempty"` // to whom the daemon can announce
	Findings  []driver.Finding  `json:"findings,omitempty"`  // what stands in the way of it
}

// Pending reports whether nothing is wrong, but the newest change is still on its
// way: a gate that only closes waits for others to close with it.
func (d DriverStatus) Pending() bool { return !d.InSync && d.Error == "" && !d.Since.IsZero() }

// Up counts the neighbors that are there.
func (d DriverStatus) Up() int {
	n := 0
	for _, neighbor := range d.Neighbors {
		if neighbor.Up {
			n++
		}
	}
	return n
}

// The metric of findings, which the engine and the control server export together.
const (
	FindingMetric = "keepcast_driver_finding"
	FindingHelp   = "1 for each finding about the daemon, or about keepcast itself; keepcast status says what to do about it."
)

// FindingLabels returns the labels of FindingMetric.
func FindingLabels() []string { return []string{"driver", "finding", "level", "subject"} }
