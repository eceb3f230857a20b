package snippet

import (
	"net/netip"

	"github.com/keepcast/keepcast/driver"
)

// Route is a route as a template is given it.
type Route struct {
	Prefix            netip.Prefix `doc:"The prefix as it is announced, host bits zero: 192.0.2.53/32."`
	Address           netip.Addr   `doc:"The address as it is on the interface; it has methods such as .Is4 and .Is6."`
	Interface         string       `doc:"The interface that carries the address."`
	Service           string       `doc:"The name of the service."`
	Presence          string       `doc:"announced, delivered (served, but not announced) or absent."`
	Degraded          bool         `doc:"Whether the service is degraded."`
	PrefixOnly        bool         `doc:"Whether it is one of the service's prefixes, which have no address."`
	driver.Attributes              // .MED, .LocalPref, .Prepend, .Communities, .LargeCommunities and .Metric
}

// RouteOf returns a route of s as a template is given it.
func RouteOf(s driver.State, r driver.Route) Route {
	return Route{
		Prefix: r.Prefix.Masked(), Address: r.Prefix.Addr(), Interface: s.InterfaceOf(r),
		Service: r.Service, Presence: r.Presence.String(), Degraded: r.Degraded,
		PrefixOnly: r.PrefixOnly, Attributes: r.Attributes,
	}
}
