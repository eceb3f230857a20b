// Package doctor looks a host over for what stands in the way of announcing, or
// of failing over fast: interfaces, sysctls, permissions, the routing daemons,
// and how long a failure of each service may go unseen. It changes nothing.
//
// Every finding has a stable name, which docs/reference/findings.md explains.
package doctor

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	"github.com/keepcast/keepcast/checks/sockets"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver"
)

// Report is what keepcast doctor says; its JSON form is for scripts.
type Report struct {
	Findings []driver.Finding `json:"findings"` // the worst first
	Services []Service        `json:"services"`
}

// Errors returns the number of findings of level error.
func (r Report) Errors() int {
	n := 0
	for _, f := range r.Findings {
		if f.Level == driver.LevelError {
			n++
		}
	}
	return n
}

// Facts are what is known of the host, beside the daemons.
type Facts struct {
	Sysctls fs.FS            // /proc/sys
	Network Network          // what the kernel has
	Sockets []sockets.Socket // on which services wait for clients
	Account Account          // whom keepcast runs as
	// Barred says why a socket is closed to whoever runs doctor, which tells nothing of
	// whom keepcast runs as; nil: none is.
	Barred func(socket string) error
	// Unusable is what is wrong with the files of the host that checks and drivers need.
	Unusable config.Faults
	// Running is what the running keepcast tells, nil without one.
	Running *Running
	// Together are the units, of those that checks name, that systemd stops at the
	// same time as keepcast.
	Together []string
}

// Running is what a running keepcast tells of itself.
type Running struct {
	Degraded    map[string]bool // the services that are degraded now
	Withdrawn   map[string]bool // the services that are not to be announced now
	ConfigError string          // why it refused the last reload
	LastGood    bool            // and runs on the last good configuration since its start
	Mute        error           // it is there, but does not tell
	Silent      string          // it is there, but answers nobody: what is known of that
}

// Examine looks over the host and the routing daemons that cfg names.
func Examine(ctx context.Context, cfg *config.Config, h Facts) Report {
	r := Report{Services: []Service{}, Findings: []driver.Finding{}}
	r.Findings = append(r.Findings, slices.Concat(
		h.running(), h.interfaces(cfg), h.addresses(cfg), h.arp(cfg), h.sysctls(cfg), h.permissions(cfg), h.unusable(), h.secrets(cfg), h.saved(cfg), h.stopOrder(cfg), overrides(cfg),
		daemons(ctx, cfg, h))...)
	for _, s := range cfg.Services {
		one, slow := timing(s)
		r.Services = append(r.Services, one)
		r.Findings = append(r.Findings, slow...)
	}
	addDependencies(cfg, r.Services)
	slices.SortStableFunc(r.Findings, driver.CompareFindings)
	return r
}

// Invalid returns the report on a configuration that can't be loaded. Start says what a start
// with it does.
func Invalid(err error, start string, h Facts) Report {
	r := Report{Services: []Service{}, Findings: h.running()}
	add := func(subject, text string) {
		r.Findings = append(r.Findings, driver.Finding{
			Name: "configuration", Level: driver.LevelError, Subject: subject, Text: text,
			Fix: "correct it, then reload; until then a running keepcast goes on with what it has, and " + start,
		})
	}
	faults, ok := errors.AsType[config.Faults](err)
	if !ok {
		add("keepcast", err.Error())
	}
	for _, f := range faults {
		add(f.At.String(), trimPosition(f))
	}
	slices.SortStableFunc(r.Findings, driver.CompareFindings)
	return r
}

// unusable tells of programs and files that checks and drivers need, and that are missing, or
// are not to be trusted.
func (h Facts) unusable() (out []driver.Finding) {
	for _, f := range h.Unusable {
		out = append(out, driver.Finding{
			Name: "file-unusable", Level: driver.LevelError, Subject: f.At.String(), Text: trimPosition(f),
			Fix: "correct it; until then validate and a reload refuse the configuration. A start does not, and what needs the file fails",
		})
	}
	return out
}

// trimPosition is a fault without its place.
func trimPosition(f config.Fault) string {
	if f.Path == "" {
		return f.Text
	}
	return f.Path + ": " + f.Text
}

// running says whether keepcast is there, and of one mind with the files.
func (h Facts) running() []driver.Finding {
	switch {
	case h.Running == nil:
		return []driver.Finding{{
			Name: "not-running", Level: driver.LevelInfo, Subject: "keepcast",
			Text: "does not answer on its control socket, so nothing is probed, announced or withdrawn on this host",
			Fix:  "start it: systemctl start keepcast",
		}}
	case h.Running.Silent != "":
		return []driver.Finding{{
			Name: "not-answering", Level: driver.LevelError, Subject: "keepcast",
			Text: h.Running.Silent + "; if it hangs, what is announced stays so, whatever becomes of the services",
			Fix:  "systemctl restart keepcast, or end the process and start keepcast again (systemd's watchdog does so)",
		}}
	case h.Running.Mute != nil:
		return []driver.Finding{{
			Name: "not-asked", Level: driver.LevelInfo, Subject: "keepcast",
			Text: "runs, but does not tell what it knows: " + h.Running.Mute.Error(),
			Fix:  "run doctor as root, or as a member of group keepcast",
		}}
	case h.Running.LastGood:
		return []driver.Finding{{
			Name: "reload-refused", Level: driver.LevelWarning, Subject: "keepcast",
			Text: "was started with files that are not valid, and runs on what was in force before them: " + h.Running.ConfigError,
			Fix:  "correct what it names, then reload: systemctl reload keepcast",
		}}
	case h.Running.ConfigError != "":
		fix := "correct what it names, then reload: systemctl reload keepcast"
		if config.TakesRestart(h.Running.ConfigError) {
			fix = "systemctl restart keepcast, which moves no route unless on_stop is withdraw; or take the change back and reload"
		}
		return []driver.Finding{{
			Name: "reload-refused", Level: driver.LevelWarning, Subject: "keepcast",
			Text: "runs with an older configuration, since it refused the last reload: " + h.Running.ConfigError,
			Fix:  fix,
		}}
	}
	return nil
}
