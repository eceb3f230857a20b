package reconcile

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/keepcast/keepcast/driver"
)

// unclaimed tells of addresses that keepcast would have put where they are, and that no
// service has: so they are left alone. One may be of a service that was taken out of the
// configuration while keepcast was not running, and whose saved state is lost.
func unclaimed(observed, desired driver.State) []driver.Finding {
	claimed := map[netip.Addr]bool{}
	for _, r := range desired.Routes {
		claimed[r.Prefix.Addr()] = true
	}
	var out []driver.Finding
	for _, r := range observed.Routes {
		addr, on := r.Prefix.Addr(), observed.InterfaceOf(r)
		if claimed[addr] || addr.IsLoopback() || addr.IsLinkLocalUnicast() {
			continue
		}
		f := driver.Finding{
			Name: "address-unclaimed", Level: driver.LevelWarning, Subject: r.Prefix.String(),
			Text: fmt.Sprintf("is on %s, and no service has it: keepcast leaves it alone", on),
			Fix:  fmt.Sprintf("if a service had it that is gone: ip address del %s dev %s; if it is yours, put it on an interface that keepcast does not use", r.Prefix, on),
		}
		switch {
		case r.Presence == driver.Delivered:
			f.Level, f.Text = driver.LevelInfo, "is delivered on this host by a route of keepcast, and no service has it"
			f.Fix = fmt.Sprintf("unless another keepcast of this host has it: ip route del local %s table all proto 250", addr)
		case on == "lo": // the host's own addresses are there, too
			f.Level = driver.LevelInfo
		}
		out = append(out, f)
	}
	return out
}

// lookInterval is how often the host is asked for the addresses that somebody else manages.
const lookInterval = 5 * time.Second

// look asks for the addresses that somebody else is to put on the host. A daemon that goes
// by the address announces nothing without it, and what another one draws here reaches
// nobody.
func (r *Reconciler) look() {
	missing := map[string][]netip.Prefix{} // by service
	var unknown error
	var found driver.State
	for _, route := range r.now.State.Announced() {
		if route.PrefixOnly {
			continue
		}
		switch err := r.opts.Local(route.Prefix.Addr()); {
		case errors.Is(err, driver.ErrElsewhere):
			missing[route.Service] = append(missing[route.Service], route.Prefix)
		case err != nil:
			unknown = err
		}
	}
	for service, addresses := range missing {
		found.Findings = append(found.Findings, driver.Finding{
			Name: "address-missing", Level: driver.LevelError, Subject: service,
			Text: fmt.Sprintf("is to be announced, but with manage_addresses: false somebody else puts its addresses on this host, and has not: %s", listed(addresses)),
			Fix:  "add what is missing in the network configuration of this host, or leave it to keepcast (manage_addresses: true)",
		})
	}
	r.seen(found, unknown)
	r.report()
}

// seen notes what the host was found to have, and the findings about it that have lasted.
func (r *Reconciler) seen(observed driver.State, err error) {
	looked := Report{Err: r.kernel.Err, Unobserved: err, Observed: observedOf(observed, err)}
	r.found.look(&looked, time.Now())
	r.kernel.Observed = looked.Observed
}
