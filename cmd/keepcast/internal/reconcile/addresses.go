package reconcile

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/keepcast/keepcast/driver"
)

// unclaimed tells of addresses that keepcast would have put where they are, and that no
// service has: so they are left alone. One may be of a service that was taken out of the
// configuration while keepcast was not running, and whose saved state is lost. There is one
// finding for each interface, and one for what is delivered, however many there are.
func unclaimed(observed, desired driver.State) (found []driver.Finding) {
	claimed := map[netip.Addr]bool{}
	for _, r := range desired.Routes {
		claimed[r.Prefix.Addr()] = true
	}
	on := map[string][]netip.Prefix{} // by interface
	var delivered []netip.Prefix
	for _, r := range observed.Routes {
		switch addr := r.Prefix.Addr(); {
		case claimed[addr] || addr.IsLoopback() || addr.IsLinkLocalUnicast():
		case r.Presence == driver.Delivered:
			delivered = append(delivered, r.Prefix)
		default:
			on[observed.InterfaceOf(r)] = append(on[observed.InterfaceOf(r)], r.Prefix)
		}
	}
	for _, iface := range slices.Sorted(maps.Keys(on)) {
		found = append(found, unclaimedOn(iface, on[iface]))
	}
	if len(delivered) > 0 {
		found = append(found, driver.Finding{
			Name: "address-unclaimed", Level: driver.LevelInfo, Subject: "delivered",
			Text: "no service has what a route of keepcast delivers on this host: " + listed(delivered),
			Fix:  "where another keepcast of this host has it, that is as it should be; else, for each: ip route del local ADDRESS table all proto 250",
		})
	}
	return found
}

// unclaimedOn tells of the addresses of one interface that no service has.
func unclaimedOn(iface string, addresses []netip.Prefix) driver.Finding {
	f := driver.Finding{
		Name: "address-unclaimed", Level: driver.LevelWarning, Subject: iface,
		Text: "has addresses that no service has, and keepcast leaves them alone: " + listed(addresses),
		Fix: fmt.Sprintf("what a service had that is gone: ip address del ADDRESS dev %s; what is yours: put it on an interface that keepcast does not use;"+
			" what another keepcast of this host announces: give each keepcast an interface of its own (the setting interface)", iface),
	}
	if iface == "lo" { // the host's own addresses are there, too
		f.Level = driver.LevelInfo
	}
	return f
}

// lookInterval is how often the host is asked for the addresses that somebody else manages.
const lookInterval = 5 * time.Second

// look asks for the addresses that somebody else is to put on the host. A daemon that goes
// by the address announces nothing without it, and what another one draws here reaches
// nobody. A route that delivers it locally, such as one that is left of a keepcast that
// managed the addresses, is not the address.
func (r *Reconciler) look() {
	there, err := r.opts.Addresses()
	missing := map[place][]netip.Prefix{}
	for _, route := range r.now.State.Announced() {
		if route.PrefixOnly {
			continue
		}
		at := place{route.Service, r.neededOn(route)}
		if !slices.ContainsFunc(there, func(on driver.Route) bool { return at.has(route, on) }) {
			missing[at] = append(missing[at], route.Prefix)
		}
	}
	var found driver.State
	if err == nil {
		for at, addresses := range missing {
			found.Findings = append(found.Findings, at.without(addresses))
		}
	}
	r.seen(found, err)
	r.report()
}

// place is where the addresses of a service are to be: on an interface, "" for any.
type place struct{ service, iface string }

// neededOn returns the interface that an announced address must be on, "" where any does.
func (r *Reconciler) neededOn(route driver.Route) string {
	for name, w := range r.workers {
		if w.driver.NeedsInterface && r.now.announcedBy(route.Service, name) {
			return r.now.State.InterfaceOf(route)
		}
	}
	return ""
}

// has reports whether an address of the host is what a route needs.
func (p place) has(route, on driver.Route) bool {
	if p.iface == "" {
		return on.Prefix.Addr() == route.Prefix.Addr()
	}
	return on.Prefix == route.Prefix && on.Interface == p.iface
}

// without says that addresses are not where they are to be.
func (p place) without(addresses []netip.Prefix) driver.Finding {
	where := "this host"
	if p.iface != "" {
		where = p.iface + ", from where alone a daemon announces them"
	}
	return driver.Finding{
		Name: "address-missing", Level: driver.LevelError, Subject: p.service,
		Text: fmt.Sprintf("is to be announced, but with manage_addresses: false somebody else puts its addresses on %s, and has not: %s", where, listed(addresses)),
		Fix:  "add what is missing in the network configuration of this host, or leave it to keepcast (manage_addresses: true)",
	}
}

// seen notes what the host was found to have, and the findings about it that have lasted.
func (r *Reconciler) seen(observed driver.State, err error) {
	looked := Report{Err: r.kernel.Err, Unobserved: err, Observed: observedOf(observed, err)}
	r.found.look(&looked, time.Now())
	r.kernel.Observed = looked.Observed
}
