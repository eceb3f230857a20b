package frr

import (
	"strings"

	"github.com/keepcast/keepcast/driver"
)

// quaggaGate says what keeps a route from the redistribution of Quagga's bgpd or ospfd.
func quaggaGate(d *daemon, run config, _ driver.State, r driver.Route) []driver.Finding {
	p, gate := r.Prefix.Masked(), gateOf(r.Prefix.Addr())
	if d.bgp != nil && run.router == "" {
		return []driver.Finding{{
			Name: "router-bgp-missing", Level: driver.LevelError, Subject: d.name, Text: "has no router bgp",
			Fix: "router bgp ASN\n redistribute connected route-map " + mark + "\n neighbor A remote-as N\n neighbor A advertisement-interval 1",
		}}
	}
	if d.bgp != nil && r.PrefixOnly {
		return nil // by a network line
	}
	for _, l := range run.redistribute {
		if l.routeMap == gate && (strings.Fields(l.line)[1] == "connected") == !r.PrefixOnly {
			return nil
		}
	}
	blocks := []string{d.block()}
	if d.bgp != nil {
		blocks = d.dialect.headers([]string{run.router, familyHeader(p.Addr())})
	}
	return []driver.Finding{{
		Name: "gate-unused", Level: driver.LevelError, Subject: d.name + " " + gate, Text: "does not announce " + p.String(),
		Fix: nested(append(blocks, d.redistribution(p.Addr(), r.PrefixOnly))),
	}}
}

// quaggaInterfaceGate says why Quagga's isisd does not announce a route: its interface
// does not take part in IS-IS.
func quaggaInterfaceGate(d *daemon, run config, desired driver.State, r driver.Route) []driver.Finding {
	p, iface := r.Prefix.Masked(), desired.InterfaceOf(r)
	switch {
	case r.PrefixOnly:
		return []driver.Finding{{
			Name: "prefix-only", Level: driver.LevelError, Subject: d.name + " " + p.String(),
			Text: "cannot announce a prefix that has no address: its redistribution never takes one back",
			Fix:  "take isisd out of the service's drivers, or give the prefix an address",
		}}
	case run.runsISIS(desired, r):
		return nil
	}
	return []driver.Finding{{
		Name: "gate-unused", Level: driver.LevelError, Subject: d.name + " " + iface + " " + ipOf(p.Addr()), Text: "does not announce " + p.String(),
		Fix: "interface " + iface + "\n " + ipOf(p.Addr()) + " router isis NAME\n isis passive",
	}}
}

// quaggaMetricLosses says that Quagga's isisd announces all addresses of an interface
// alike.
func quaggaMetricLosses(d *daemon, _ config, desired driver.State, r driver.Route) []driver.Finding {
	if r.Attributes.Metric == nil {
		return nil
	}
	return []driver.Finding{{
		Name: "metric-ignored", Level: driver.LevelWarning, Subject: d.name,
		Text: "can't announce " + r.Prefix.Masked().String() + " with a metric of its own: it has that of " + desired.InterfaceOf(r),
		Fix:  "withdraw instead of degrading, or use another protocol",
	}}
}

// quaggaBGPLosses says which attributes of a route have no effect in Quagga's bgpd.
func quaggaBGPLosses(d *daemon, run config, _ driver.State, r driver.Route) []driver.Finding {
	var out []driver.Finding
	p, gate := r.Prefix.Masked(), gateOf(r.Prefix.Addr())
	if len(r.Attributes.LargeCommunities) > 0 {
		out = append(out, driver.Finding{
			Name: "attribute-unsupported", Level: driver.LevelWarning, Subject: d.name + " " + p.String(),
			Text: "is announced without its large communities, which Quagga cannot set", Fix: "use communities",
		})
	}
	if !quaggaDegrades(run, r) {
		out = append(out, driver.Finding{
			Name: "attributes-unused", Level: driver.LevelWarning, Subject: d.name + " " + gate,
			Text: p.String() + " is announced without its attributes: no neighbor has the route-map that sets them",
			Fix:  nested(append(d.dialect.headers([]string{run.router, familyHeader(p.Addr())}), "neighbor A route-map "+gate+"-EBGP out")),
		})
	}
	if r.Attributes.Prepend > 0 && d.as == 0 {
		out = append(out, driver.Finding{
			Name: "prepend-unused", Level: driver.LevelWarning, Subject: d.name,
			Text: "the path of " + p.String() + " is not made longer: the driver's setting as is 0",
			Fix:  "as: " + run.as() + "\nin the driver's settings, the own AS number",
		})
	}
	return out
}

// quaggaDegrades tells whether the attributes of a route, if it has any of BGP's, are set
// on its way to a neighbor.
func quaggaDegrades(run config, r driver.Route) bool {
	a, gate := r.Attributes, gateOf(r.Prefix.Addr())
	has := a.MED != nil || a.LocalPref != nil || a.Prepend > 0 || len(a.Communities) > 0
	return !has || run.leadsOut(gate+"-EBGP") || run.leadsOut(gate+"-OUT")
}
