package drivertest

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/community"
)

// Addresses returns the addresses of the suite, with the lengths that they have on the
// interface.
func Addresses() []string {
	return []string{V4, "192.0.2.54/32", "203.0.113.1/24", V6, "2001:db8:54::54/128"}
}

// Networks returns the prefixes of the suite that have no address.
func Networks() []string { return []string{"198.51.100.128/25", "2001:db8:aa::/48"} }

// prefix reads a prefix, which it returns masked.
func prefix(text string) netip.Prefix { return netip.MustParsePrefix(text).Masked() }

// network returns a prefix-only route.
func network(prefix string) driver.Route {
	r := Route(prefix, driver.Announced)
	r.PrefixOnly = true
	return r
}

// with returns a route with attributes.
func with(r driver.Route, degraded bool, a driver.Attributes) driver.Route {
	r.Degraded, r.Attributes = degraded, a
	return r
}

// plain are attributes of a service that is not degraded.
func plain() driver.Attributes {
	med := uint32(7)
	return driver.Attributes{MED: &med, Communities: []community.Standard{{High: 65001, Low: 100}, {High: 65535, Low: 65281}}}
}

// state returns the state with these routes. The others of the suite are absent in it, for
// it names them all.
func (tr *trial) state(routes ...driver.Route) driver.State {
	s := driver.State{Interface: tr.Interface, Routes: routes}
	named := s.Managed()
	for _, p := range Addresses() {
		if !named[prefix(p)] {
			s.Routes = append(s.Routes, Route(p, driver.Absent))
		}
	}
	for _, p := range Networks() {
		if !named[prefix(p)] {
			r := network(p)
			r.Presence = driver.Absent
			s.Routes = append(s.Routes, r)
		}
	}
	return s
}

// examples returns three states that differ much: all is announced, some of it, nothing.
func (tr *trial) examples() []driver.State {
	var all []driver.Route
	for _, r := range tr.state().Routes {
		r.Presence = driver.Announced
		all = append(all, r)
	}
	some := []driver.Route{
		with(Route(V4, driver.Announced), true, Worse()), Route("192.0.2.54/32", driver.Delivered),
		with(Route("203.0.113.1/24", driver.Announced), false, plain()),
		with(Route(V6, driver.Announced), true, driver.Attributes{}), with(network(Networks()[1]), true, Worse()),
	}
	return []driver.State{tr.state(all...), tr.state(some...), tr.state(Route(V4, driver.Delivered), Route(V6, driver.Delivered))}
}

// random returns any state.
func (tr *trial) random(rnd *rand.Rand) driver.State {
	var routes []driver.Route
	for _, r := range tr.state().Routes {
		r.Presence = driver.Presence(rnd.IntN(3))
		if r.Presence == driver.Announced {
			kinds := []driver.Route{r, r, with(r, true, Worse()), with(r, true, driver.Attributes{}), with(r, false, plain())}
			r = kinds[rnd.IntN(len(kinds))]
		}
		routes = append(routes, r)
	}
	rnd.Shuffle(len(routes), func(i, j int) { routes[i], routes[j] = routes[j], routes[i] })
	return driver.State{Interface: tr.Interface, Routes: routes}
}

// reversed returns the same state in another order.
func reversed(s driver.State) driver.State {
	s.Routes = slices.Clone(s.Routes)
	slices.Reverse(s.Routes)
	return s
}

// medOf returns the MED of a route, 0 without one.
func medOf(r driver.Route) uint32 {
	if r.Attributes.MED == nil {
		return 0
	}
	return *r.Attributes.MED
}

// words tells of a state what is announced and delivered, for errors.
func words(s driver.State) string {
	var out []string
	for _, r := range s.Routes {
		if r.Presence == driver.Absent {
			continue
		}
		w := r.Presence.String() + " " + r.Prefix.String()
		if r.Degraded {
			w += " degraded"
		}
		if !r.Attributes.IsZero() {
			w += " with attributes"
		}
		out = append(out, w)
	}
	slices.Sort(out)
	return "[" + strings.Join(out, ", ") + "]"
}
