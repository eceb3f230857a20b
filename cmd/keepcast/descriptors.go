package main

import (
	"log/slog"
	"sync/atomic"
	"syscall"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/control"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/doctor"
	"github.com/keepcast/keepcast/driver"
)

// descriptors compares those that the configuration in force needs with those that there may
// be: a process that has none left can neither probe nor be told to drain.
type descriptors struct {
	limit   func() (uint64, error)
	log     *slog.Logger
	finding atomic.Pointer[driver.Finding] // while there are too few
}

// compare does so for a configuration that comes in force.
func (d *descriptors) compare(cfg *config.Config) {
	limit, err := d.limit()
	if err != nil {
		d.log.Warn("it is not known how many descriptors keepcast may have", "err", err)
		return
	}
	is := doctor.Descriptors(cfg, control.Connections(cfg.Listen), limit)
	if was := d.finding.Swap(is); is != nil && (was == nil || *was != *is) {
		d.log.Warn("too few descriptors", "err", is.Text, "fix", is.Fix)
	}
}

// descriptorLimit is how many this process may have. The runtime of Go has raised that to
// the hard limit.
func descriptorLimit() (uint64, error) {
	var limit syscall.Rlimit
	err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit)
	return limit.Cur, err
}
