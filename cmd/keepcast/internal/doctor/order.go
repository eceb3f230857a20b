package doctor

import (
	"context"
	"slices"
	"time"

	"github.com/keepcast/keepcast/checks"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver"
)

// keepcastUnit is the unit of the package.
const keepcastUnit = "keepcast.service"

// StopTogether returns the units that checks name and that systemd stops at the same
// time as keepcast; none where keepcast is no unit of systemd's.
func StopTogether(ctx context.Context, cfg *config.Config) []string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if (&checks.Systemd{Unit: keepcastUnit}).Check(ctx) != nil {
		return nil
	}
	var out []string
	for _, s := range cfg.Services {
		for _, unit := range unitsOf(s) {
			if slices.Contains(out, unit.Unit) {
				continue
			}
			if after, err := unit.StopsAfter(ctx, keepcastUnit); err == nil && !after {
				out = append(out, unit.Unit)
			}
		}
	}
	return out
}

// unitsOf returns the units without which a service is withdrawn.
func unitsOf(s config.Service) []*checks.Systemd {
	var out []*checks.Systemd
	for _, c := range s.Checks {
		if unit, ok := c.Checker.(*checks.Systemd); ok && !c.Degrades() {
			out = append(out, unit)
		}
	}
	return out
}

// stopOrder says which services are stopped while they are still announced.
func (h Facts) stopOrder(cfg *config.Config) []driver.Finding {
	var out []driver.Finding
	for _, s := range cfg.Services {
		for _, unit := range unitsOf(s) {
			if !slices.Contains(h.Together, unit.Unit) {
				continue
			}
			out = append(out, driver.Finding{
				Name: "stops-together", Level: driver.LevelWarning, Subject: s.Name,
				Text: "at a shutdown systemd stops " + unit.Unit + " at the same time as keepcast, so that it still gets requests when it is gone",
				Fix:  "systemctl edit keepcast\n\n[Unit]\nAfter=" + unit.Unit,
			})
		}
	}
	return out
}
