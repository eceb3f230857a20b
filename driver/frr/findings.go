package frr

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"github.com/keepcast/keepcast/driver"
)

// errorsOf returns the findings of level error as one error, for Apply.
func errorsOf(found []driver.Finding) error {
	var errs []error
	for _, f := range found {
		if f.Level == driver.LevelError {
			errs = append(errs, f)
		}
	}
	return errors.Join(errs...)
}

// findings are those about the configuration of all VRFs: what the operator has to add
// to it, and what the daemon can't do.
func (d *daemon) findings(run config, desired driver.State, m managed) []driver.Finding {
	var out []driver.Finding
	for _, vrf := range m.vrfsOf(run, desired) {
		out = append(out, foundIn(vrf, d.vrfFindings(run.inVRF(vrf), m.inVRF(vrf, desired)))...)
	}
	return append(out, otherAS(d.name, run, desired, m)...)
}

// vrfFindings are those about one VRF. Of findings with the same name and the same fix
// it keeps the first.
func (d *daemon) vrfFindings(run config, desired driver.State) []driver.Finding {
	var out []driver.Finding
	for _, find := range []func(*daemon, config, driver.State, driver.Route) []driver.Finding{d.gate, d.losses} {
		for _, r := range desired.Announced() {
			if find == nil || !d.carries(r.Prefix.Addr()) {
				continue
			}
			for _, f := range find(d, run, desired, r) {
				same := func(o driver.Finding) bool { return o.Name == f.Name && o.Fix == f.Fix }
				if !slices.ContainsFunc(out, same) {
					out = append(out, f)
				}
			}
		}
	}
	return out
}

// unreached returns a finding if the daemon has no neighbor at all for something that is
// to be announced.
func (d *daemon) unreached(asked driver.State, neighbors []driver.Neighbor) []driver.Finding {
	for _, r := range asked.Announced() {
		takes := func(n driver.Neighbor) bool { return n.Takes(r.Prefix) }
		if !d.carries(r.Prefix.Addr()) || slices.ContainsFunc(neighbors, takes) {
			continue
		}
		return []driver.Finding{{
			Name: "no-neighbor", Level: driver.LevelError, Subject: d.name,
			Text: "has no neighbor for " + familyOf(r.Prefix.Addr()) + ", so " + r.Prefix.Masked().String() + " leaves this host by no way of it",
			Fix:  cmp.Or(d.neighborFix, bgpNeighborFix(r.Prefix.Addr())),
		}}
	}
	return nil
}

// runsISIS tells whether IS-IS runs on the interface that has the address of r.
func (c config) runsISIS(desired driver.State, r driver.Route) bool {
	return !r.PrefixOnly && slices.Contains(c.isis[desired.InterfaceOf(r)], ipOf(r.Prefix.Addr()))
}

// networkGate says that bgpd of FRR has nothing to put a network line into.
func networkGate(d *daemon, run config, _ driver.State, r driver.Route) []driver.Finding {
	if run.router != "" {
		return nil
	}
	f := driver.Finding{
		Name: "router-bgp-missing", Level: driver.LevelError, Subject: d.name,
		Text: "it has no router bgp to announce " + r.Prefix.Masked().String() + " in",
		Fix:  "add 'router bgp ASN' with its neighbors to frr.conf",
	}
	for vrf, bgp := range run.instances() {
		if bgp.router != "" {
			f.Text += ", only one for VRF " + vrf
			f.Fix += ", or put the interface of the service into VRF " + vrf
			break
		}
	}
	return []driver.Finding{f}
}

// networkLosses says what bgpd of FRR announces otherwise than it should.
func networkLosses(d *daemon, run config, _ driver.State, r driver.Route) []driver.Finding {
	var out []driver.Finding
	if run.router != "" && run.unchecked && !r.PrefixOnly {
		out = append(out, driver.Finding{
			Name: "import-check-off", Level: driver.LevelWarning, Subject: d.name,
			Text: "it announces " + r.Prefix.Masked().String() + " whether the address is there or not, so that a withdrawal depends on it taking commands",
			Fix:  "add 'bgp network import-check' under '" + run.router + "' to frr.conf, and take an 'frr version' before 7.4, which turns it off, out of it",
		})
	}
	if run.router != "" && r.Attributes.Prepend > 0 && !run.leadsOut(ebgpMap) {
		out = append(out, driver.Finding{
			Name: "prepend-unused", Level: driver.LevelWarning, Subject: d.name,
			Text: "the path of " + r.Prefix.Masked().String() + " is not made longer, for no neighbor has the route-map " + ebgpMap,
			Fix:  "add 'neighbor X route-map " + ebgpMap + " out' for each eBGP neighbor to frr.conf, or 'call " + ebgpMap + "' as the last entry of its own route-map",
		})
	}
	return out
}

// leadsOut tells whether anything goes through a route-map of keepcast's on its way to a
// neighbor.
func (c config) leadsOut(routeMap string) bool { return c.out[routeMap] || c.called[routeMap] }

// redistributionGate says what the operator's configuration lacks that leads a route
// through keepcast's list or route-map. In isisd an interface that runs IS-IS is as good,
// for an address.
func redistributionGate(d *daemon, run config, desired driver.State, r driver.Route) []driver.Finding {
	gate := gateOf(r.Prefix.Addr())
	redistributed := slices.ContainsFunc(run.redistribute, func(l redistribution) bool {
		named := l.routeMap == gate
		if d.filters { // and takes no route-map
			named = slices.Contains(strings.Fields(l.line), strings.ToLower(familyOf(r.Prefix.Addr())))
		}
		return named && l.connected() != r.PrefixOnly
	})
	missing := []string{}
	if !redistributed && !run.runsISIS(desired, r) {
		missing = append(missing, d.redistribution(r.Prefix.Addr(), r.PrefixOnly))
	}
	if d.listFilters() && !run.filtered[gate] {
		missing = append(missing, strings.TrimPrefix(ipOf(r.Prefix.Addr())+" ", "ip ")+"distribute-list prefix "+gate+" out INTERFACE")
	}
	if len(missing) == 0 {
		return nil
	}
	return []driver.Finding{{
		Name: "gate-unused", Level: driver.LevelError, Subject: d.name,
		Text: "it does not announce " + r.Prefix.Masked().String() + " by the gate " + gate,
		Fix:  "add '" + strings.Join(missing, "' and '") + "' under '" + d.block() + "' to frr.conf",
	}}
}

// metricLosses says that a route can't have a metric of its own. isisd announces an
// address of an interface that runs IS-IS, passively or not, with the interface's, beside
// what it redistributes.
func metricLosses(d *daemon, run config, desired driver.State, r driver.Route) []driver.Finding {
	isis := run.runsISIS(desired, r)
	if r.Attributes.Metric == nil || !d.listFilters() && !isis {
		return nil
	}
	f := driver.Finding{
		Name: "metric-ignored", Level: driver.LevelWarning, Subject: d.name,
		Text: "it can't announce " + r.Prefix.Masked().String() + " with a metric of its own",
		Fix:  "withdraw instead of degrading, or use another protocol",
	}
	if isis {
		on := desired.InterfaceOf(r)
		f.Text += ", for it runs IS-IS on " + on + " and so announces it with the metric of that interface, too"
		f.Fix = "take 'ip router isis' and 'ipv6 router isis' off " + on + " and redistribute connected instead, or withdraw instead of degrading"
	}
	return []driver.Finding{f}
}
