// Package starter finds the routing daemon of a host, and writes a configuration
// to begin with and the lines that the daemon's own configuration needs.
package starter

import (
	_ "embed"
	"strings"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/templates"
)

//go:embed keepcast.yaml.tmpl
var configuration string

// Daemon is a routing daemon of a host, and what a configuration for it begins with.
type Daemon struct {
	Kind    string // of the driver
	Title   string // how people call it
	Running bool
	Found   string // the socket or the program that gave it away; empty: it was not found
	driver.Start
}

// Configuration returns a starter keepcast.yaml. It is valid as it stands; what
// has to be changed says so.
func (d Daemon) Configuration() ([]byte, error) {
	return templates.Execute("keepcast.yaml.tmpl", configuration, d)
}

// Indented is the settings of the driver as they stand in the list of drivers.
func (d Daemon) Indented() string {
	return strings.ReplaceAll(strings.TrimSuffix(d.Settings, "\n"), "\n", "\n    ")
}
