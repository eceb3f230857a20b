package doctor

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"time"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/pace"
)

// examineTimeout is how long one routing daemon may take to be looked over.
const examineTimeout = 15 * time.Second

// daemons has every driver look over its daemon, all at once.
func daemons(ctx context.Context, cfg *config.Config, h Facts) []driver.Finding {
	if len(cfg.Drivers) == 0 {
		return []driver.Finding{{
			Name: "no-driver", Level: driver.LevelInfo, Subject: "drivers",
			Text: "none is configured: a routing daemon on this host has to announce whatever is on the interface, and nothing checks that it does",
		}}
	}
	found := make([][]driver.Finding, len(cfg.Drivers))
	_ = pace.SideBySide(cfg.Drivers, func(i int, d config.Driver) error { // what goes wrong is among the findings
		ctx, cancel := context.WithTimeout(ctx, examineTimeout)
		defer cancel()
		if found[i] = h.barred(d); len(found[i]) == 0 {
			found[i] = examine(ctx, d, h.desired(cfg, d.Name))
		}
		if broken := unrenderable(cfg, d); broken != nil { // which some drivers find, too
			found[i] = append(slices.DeleteFunc(found[i], func(f driver.Finding) bool { return f.Name == "template" }), broken...)
		}
		for j := range found[i] {
			found[i][j].Subject = subject(cfg, d, found[i][j].Subject)
		}
		return nil
	})
	return slices.Concat(found...)
}

// barred says that whoever runs doctor may not ask a daemon. Whether keepcast may is told
// by permissions.
func (h Facts) barred(d config.Driver) []driver.Finding {
	e, ok := d.Driver.(driver.Examiner)
	if !ok || h.Barred == nil {
		return nil
	}
	for _, socket := range e.Places().Sockets {
		if err := h.Barred(socket); errors.Is(err, fs.ErrPermission) {
			return []driver.Finding{{
				Name: "not-examined", Level: driver.LevelInfo,
				Text: "this user may not ask it, at " + socket + ", so nothing is known of it", Fix: "run doctor as root",
			}}
		}
	}
	return nil
}

// examine looks one daemon over, if its driver can.
func examine(ctx context.Context, d config.Driver, desired driver.State) []driver.Finding {
	if o, ok := d.Driver.(driver.Opener); ok {
		defer o.Close() //nolint:errcheck // it was only read from
	}
	if e, ok := d.Driver.(driver.Examiner); ok {
		return e.Examine(ctx, desired)
	}
	return nil
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

// desired is what the driver is meant to have once every service is up: what stands
// in the way of that is to be found before the first one is. Degraded is what the
// running keepcast says is.
func (h Facts) desired(cfg *config.Config, name string) driver.State {
	return degraded(cfg, cfg.State(name, driver.Announced), func(service string) bool { return h.Running != nil && h.Running.Degraded[service] })
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
