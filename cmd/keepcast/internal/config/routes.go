package config

import (
	"slices"

	"github.com/keepcast/keepcast/driver"
)

// Routes returns the addresses and prefixes of the service with a presence, and
// when they are announced with the attributes that they then have.
func (s *Service) Routes(presence driver.Presence, degraded bool) []driver.Route {
	like := driver.Route{Service: s.Name, Interface: s.Interface, Presence: presence}
	if presence == driver.Announced {
		like.Degraded, like.Attributes = degraded, s.Announce
		if degraded {
			like.Attributes = s.Degraded
		}
	}
	var out []driver.Route
	for _, a := range s.Addresses {
		r := like
		r.Prefix = a.Prefix
		out = append(out, r)
	}
	for _, p := range s.Prefixes {
		r := like
		r.Prefix, r.PrefixOnly = p.Prefix, true
		if presence == driver.Delivered {
			r.Presence = driver.Absent // there is no address to deliver to
		}
		out = append(out, r)
	}
	return out
}

// Uses reports whether the driver of that name announces the service.
func (s *Service) Uses(driver string) bool {
	return len(s.Drivers) == 0 || slices.Contains(s.Drivers, driver)
}

// State returns the whole state of a driver in which every service that it
// announces has that presence.
func (c *Config) State(of string, presence driver.Presence) driver.State {
	out := driver.State{Interface: c.Interface}
	for _, s := range c.Services {
		if s.Uses(of) {
			out.Routes = append(out.Routes, s.Routes(presence, false)...)
		} else {
			out.Routes = append(out.Routes, s.Routes(driver.Absent, false)...)
		}
	}
	return out
}
