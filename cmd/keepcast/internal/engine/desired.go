package engine

import (
	"net/netip"
	"slices"
	"time"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/reconcile"
	"github.com/keepcast/keepcast/driver"
)

// desired returns the whole state that the host is to have.
func (e *Engine) desired(now time.Time) driver.State {
	desired := driver.State{Interface: e.cfg.Interface}
	for _, s := range e.services {
		presence := s.presence(now)
		if e.finished {
			presence = driver.Absent
		}
		desired.Routes = append(desired.Routes, s.cfg.Routes(presence, s.state == api.Degraded)...)
	}
	for _, l := range e.leaving {
		r := l.route()
		if now.Before(l.Until) && !l.PrefixOnly && !e.finished {
			r.Presence = driver.Delivered
		}
		desired.Routes = append(desired.Routes, r)
	}
	return desired
}

// off returns the leaving addresses that the kernel has let go of.
func (e *Engine) off() map[netip.Prefix]bool {
	out := map[netip.Prefix]bool{}
	for _, l := range e.leaving {
		if l.Off {
			out[l.Prefix] = true
		}
	}
	return out
}

// announcers returns the drivers of the services that not all drivers announce.
func (e *Engine) announcers() map[string][]string {
	out := map[string][]string{}
	for _, s := range e.services {
		if len(s.cfg.Drivers) > 0 {
			out[s.cfg.Name] = s.cfg.Drivers
		}
	}
	return out
}

// driversOf returns the drivers of a configuration as the reconciler takes them.
func driversOf(cfg *config.Config) []reconcile.Driver {
	var out []reconcile.Driver
	for _, d := range cfg.Drivers {
		out = append(out, reconciled(d))
	}
	return out
}

// reconciled returns a driver as the reconciler takes it.
func reconciled(d config.Driver) reconcile.Driver {
	r := reconcile.Driver{Name: d.Name, Driver: d.Driver, FollowsAddress: d.FollowsAddress, NeedsInterface: d.NeedsInterface, Settings: d.Raw}
	if e, ok := d.Driver.(driver.Examiner); ok {
		places := e.Places()
		r.Places = slices.Concat(places.Files, places.Sockets)
	}
	return r
}
