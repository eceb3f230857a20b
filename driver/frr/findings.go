package frr

import (
	"slices"
	"strings"

	"github.com/keepcast/keepcast/driver"
)

// findings returns what stands between keepcast's gate in the daemon and the
// neighbors: what the operator has to add to frr.conf, and what the daemon can't do.
func (d *frrDaemon) findings(run frrConfig, want driver.State) []driver.Finding {
	announced := slices.DeleteFunc(want.Announced(), func(r driver.Route) bool { return !d.role.carries(r.Prefix.Addr()) })
	if len(announced) == 0 {
		return nil
	}
	if d.role.again == againNetwork {
		return d.findingsBGP(run, announced)
	}
	found := []driver.Finding{}
	for _, r := range announced {
		f := d.unused(run, want, r)
		if f == nil || slices.ContainsFunc(found, func(o driver.Finding) bool { return o.Fix == f.Fix }) {
			continue
		}
		found = append(found, *f)
	}
	if i := slices.IndexFunc(announced, func(r driver.Route) bool { return r.Attributes.Metric != nil && d.ignoresMetric(run, want, r) }); i >= 0 {
		f := driver.Finding{
			Name: "metric-ignored", Level: driver.LevelWarning, Subject: d.vty.Daemon,
			Text: "it can't announce " + announced[i].Prefix.Masked().String() + " with a metric of its own",
			Fix:  "withdraw instead of degrading, or use another protocol",
		}
		if d.vty.Daemon == "isisd" {
			f.Text += ", for it runs IS-IS on " + want.InterfaceOf(announced[i]) + " and so announces it with the metric of that interface, too"
			f.Fix = "take 'ip router isis' and 'ipv6 router isis' off " + want.InterfaceOf(announced[i]) + " and redistribute connected instead, or withdraw instead of degrading"
		}
		found = append(found, f)
	}
	return found
}

// ignoresMetric tells whether a route can't have a metric of its own. isisd announces
// an address of an interface that runs IS-IS, passively or not, with the
// interface's, beside what it redistributes.
func (d *frrDaemon) ignoresMetric(run frrConfig, want driver.State, r driver.Route) bool {
	return d.role.again == againNothing || d.blind() || run.runsISIS(want, r)
}

// runsISIS tells whether IS-IS runs on the interface that has the address of r.
func (c frrConfig) runsISIS(want driver.State, r driver.Route) bool {
	family := "ip"
	if r.Prefix.Addr().Is6() {
		family = "ipv6"
	}
	return !r.PrefixOnly && slices.Contains(c.isis[want.InterfaceOf(r)], family)
}

// findingsBGP are those of bgpd.
func (d *frrDaemon) findingsBGP(run frrConfig, announced []driver.Route) []driver.Finding {
	first := announced[0].Prefix.Masked()
	if run.router == "" {
		f := driver.Finding{
			Name: "router-bgp-missing", Level: driver.LevelError, Subject: d.vty.Daemon,
			Text: "it has no router bgp to announce " + first.String() + " in",
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
	var found []driver.Finding
	if i := slices.IndexFunc(announced, func(r driver.Route) bool { return !r.PrefixOnly }); i >= 0 && run.unchecked {
		found = append(found, driver.Finding{
			Name: "import-check-off", Level: driver.LevelWarning, Subject: d.vty.Daemon,
			Text: "it announces " + announced[i].Prefix.Masked().String() + " whether the address is there or not, so that a withdrawal depends on it taking commands",
			Fix:  "add 'bgp network import-check' under '" + run.router + "' to frr.conf, and take an 'frr version' before 7.4, which turns it off, out of it",
		})
	}
	if i := slices.IndexFunc(announced, func(r driver.Route) bool { return r.Attributes.Prepend > 0 }); i >= 0 && !run.ebgpUsed && !run.ebgpCalled {
		found = append(found, driver.Finding{
			Name: "prepend-unused", Level: driver.LevelWarning, Subject: d.vty.Daemon,
			Text: "the path of " + announced[i].Prefix.Masked().String() + " is not made longer, for no neighbor has the route-map " + frrEBGP,
			Fix:  "add 'neighbor X route-map " + frrEBGP + " out' for each eBGP neighbor to frr.conf, or 'call " + frrEBGP + "' as the last entry of its own route-map",
		})
	}
	return found
}

// unused returns a finding if the operator's configuration does not lead a route
// through keepcast's list or route-map, so that it would not be announced. In isisd
// an interface that runs IS-IS is as good, for an address.
func (d *frrDaemon) unused(run frrConfig, want driver.State, r driver.Route) *driver.Finding {
	gate, family, babel := frrGateOf(r.Prefix.Addr()), "ip", "ipv4"
	if r.Prefix.Addr().Is6() {
		family, babel = "ipv6", "ipv6"
	}
	redistributed := slices.ContainsFunc(run.redistribute, func(l frrRedistribute) bool {
		named := l.routeMap == gate
		if d.role.again == againNothing {
			named = slices.Contains(strings.Fields(l.line), babel)
		}
		return named && l.connected() != r.PrefixOnly
	})
	missing := []string{}
	if !redistributed && !run.runsISIS(want, r) {
		missing = append(missing, d.redistributeLine(gate, r.PrefixOnly))
	}
	if (d.role.again == againNothing || d.blind()) && !run.filtered[gate] {
		missing = append(missing, strings.TrimPrefix(family+" ", "ip ")+"distribute-list prefix "+gate+" out INTERFACE")
	}
	if len(missing) == 0 {
		return nil
	}
	return &driver.Finding{
		Name: "gate-unused", Level: driver.LevelError, Subject: d.vty.Daemon,
		Text: "it does not announce " + r.Prefix.Masked().String() + " by the gate " + gate,
		Fix:  "add '" + strings.Join(missing, "' and '") + "' under '" + d.router() + "' to frr.conf",
	}
}

// router returns the block that an operator has to write in.
func (d *frrDaemon) router() string {
	switch d.vty.Daemon {
	case "isisd":
		return "router isis NAME"
	case "ripd":
		return "router rip"
	case "ripngd":
		return "router ripng"
	case "babeld":
		return "router babel"
	}
	return "router " + strings.TrimSuffix(d.vty.Daemon, "d")
}

// redistributeLine returns the line that an operator has to write.
func (d *frrDaemon) redistributeLine(gate string, prefixOnly bool) string {
	source := "connected"
	if prefixOnly {
		source = "static"
	}
	family := "ipv4"
	if gate != frrMark {
		family = "ipv6"
	}
	switch d.vty.Daemon {
	case "isisd":
		return "redistribute " + family + " " + source + " level-2 route-map " + gate
	case "babeld":
		return "redistribute " + family + " " + source
	}
	return "redistribute " + source + " route-map " + gate
}
