package engine

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/reconcile"
)

// A driver that left the configuration is departing until its gate is closed. Its settings
// are saved meanwhile: who comes after this keepcast knows the driver by nothing else.

// departingSettings returns the settings of the departing drivers, each as YAML.
func (e *Engine) departingSettings() (list []string) {
	for _, name := range slices.Sorted(maps.Keys(e.departing)) {
		if text, err := (config.Driver{Raw: e.departing[name].Settings}).Text(); err == nil { // it was YAML before
			list = append(list, text)
		}
	}
	return list
}

// departed returns the drivers whose gates the last run left open, but for those whose
// daemon has a driver in cfg now. Each is given to open first. The error names those that
// can't be made any more; their gates stay as they are.
func departed(last saved, cfg *config.Config, open func(config.Driver)) (left []config.Driver, err error) {
	configured := driversOf(cfg)
	for _, text := range last.Departing {
		d, bad := config.DriverOf(text)
		if bad != nil {
			err = errors.Join(err, fmt.Errorf("a driver that left the configuration before, and whose gate may be open: %w", bad))
			continue
		}
		if slices.ContainsFunc(configured, reconciled(d).SameDaemon) {
			continue
		}
		open(d)
		left = append(left, d)
	}
	return left, err
}

// resume has the reconciler keep the drivers of the configuration in sync, and close the
// gates that the last run left open.
func (e *Engine) resume(last saved) {
	drivers := driversOf(e.cfg)
	left, err := departed(last, e.cfg, e.opts.Open)
	if err != nil {
		e.log.Error("a gate can't be closed", "err", err)
	}
	for _, d := range left {
		r := reconciled(d)
		r.Leaving = true
		e.departing[d.Name] = reconcile.Report{Driver: d.Name, Settings: d.Raw, Leaving: true}
		drivers = append(drivers, r)
	}
	e.reconciler.SetDrivers(drivers)
}
