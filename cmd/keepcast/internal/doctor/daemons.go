package doctor

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver"
)

// patience is how long one routing daemon may take to be looked over.
const patience = 15 * time.Second

// daemons has every driver look over its daemon, all at once.
func daemons(ctx context.Context, cfg *config.Config, h Host) []driver.Finding {
	if len(cfg.Drivers) == 0 {
		return []driver.Finding{{
			Name: "no-driver", Level: driver.Note, Subject: "drivers",
			Text: "none is configured: a routing daemon on this host has to announce whatever is on the interface, and nothing checks that it does",
		}}
	}
	found := make([][]driver.Finding, len(cfg.Drivers))
	var all sync.WaitGroup
	for i, d := range cfg.Drivers {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			found[i] = daemon(ctx, d, h.wanted(cfg, d.Name))
			if broken := unrenderable(cfg, d); broken != nil { // which some drivers find, too
				found[i] = append(slices.DeleteFunc(found[i], func(f driver.Finding) bool { return f.Name == "template" }), broken...)
			}
			for j := range found[i] {
				found[i][j].Subject = subject(cfg, d, found[i][j].Subject)
			}
		})
	}
	all.Wait()
	return slices.Concat(found...)
}

// daemon looks one over. A driver that can't do more is asked what is announced.
func daemon(ctx context.Context, d config.Driver, want driver.State) []driver.Finding {
	if c, ok := d.Driver.(driver.Closer); ok {
		defer c.Close() //nolint:errcheck // it was only read from
	}
	var out []driver.Finding
	if e, ok := d.Driver.(driver.Examiner); ok {
		out = e.Examine(ctx, want)
	} else if seen, err := d.Driver.Observe(ctx); err != nil {
		out = []driver.Finding{{
			Name: "daemon-unreachable", Level: driver.Breaks, Subject: d.Name,
			Text: "can't be asked what it announces: " + err.Error(),
			Fix:  "see that the daemon runs, and that the settings of the driver name it",
		}}
	} else {
		out = seen.Findings
	}
	return out
}

// subject names the driver with a subject that could be of several.
func subject(cfg *config.Config, d config.Driver, of string) string {
	others := slices.ContainsFunc(cfg.Drivers, func(o config.Driver) bool { return o.Kind == d.Kind && o.Name != d.Name })
	switch {
	case of == "":
		return d.Name
	case others && of != d.Name:
		return d.Name + ": " + of
	}
	return of
}

// wanted is what the driver is meant to have once every service is up: what stands
// in the way of that is to be found before the first one is. Degraded is what the
// running keepcast says is.
func (h Host) wanted(cfg *config.Config, of string) driver.State {
	return degraded(cfg, cfg.State(of, driver.Announced), func(service string) bool { return h.Running != nil && h.Running.Degraded[service] })
}

// degraded is a state in which the announced services that which names are degraded.
func degraded(cfg *config.Config, state driver.State, which func(service string) bool) driver.State {
	state.Routes = slices.Clone(state.Routes)
	for i, r := range state.Routes {
		if s, err := cfg.ServiceByName(r.Service); err == nil && r.Presence == driver.Announced && which(r.Service) {
			state.Routes[i].Degraded, state.Routes[i].Attributes = true, s.Degraded
		}
	}
	return state
}
