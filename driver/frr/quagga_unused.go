package frr

import (
	"slices"

	"github.com/keepcast/keepcast/driver"
)

// unused returns a finding for each way in which attributes of routes come to
// nothing, for the first such route.
func (d *quaggaDaemon) unused(run quaggaConfig, want driver.State) []driver.Finding {
	var out []driver.Finding
	for _, r := range want.Announced() {
		for _, f := range d.unusedOf(run, want, r) {
			same := func(o driver.Finding) bool { return o.Name == f.Name && o.Fix == f.Fix }
			if d.role.carries(r.Prefix.Addr()) && !slices.ContainsFunc(out, same) {
				out = append(out, f)
			}
		}
	}
	return out
}

// unusedOf returns what of the attributes of one route comes to nothing.
func (d *quaggaDaemon) unusedOf(run quaggaConfig, want driver.State, r driver.Route) []driver.Finding {
	p, a := r.Prefix.Masked(), r.Attributes
	f := driver.Finding{Level: driver.LevelWarning, Subject: d.vty.Daemon}
	if d.vty.Daemon == "isisd" && a.Metric != nil {
		f.Name, f.Text = "metric-ignored", "can't announce "+p.String()+" with a metric of its own: it has that of "+want.InterfaceOf(r)
		f.Fix = "withdraw instead of degrading, or use another protocol"
		return []driver.Finding{f}
	}
	if d.vty.Daemon != "bgpd" {
		return nil
	}
	var out []driver.Finding
	if len(a.LargeCommunities) > 0 {
		f.Name, f.Subject = "attribute-unsupported", d.vty.Daemon+" "+p.String()
		f.Text, f.Fix = "is announced without its large communities, which Quagga cannot set", "use communities"
		out = append(out, f)
	}
	if run.keepsBack(r) {
		f.Name, f.Subject = "attributes-unused", d.vty.Daemon+" "+frrGateOf(p.Addr())
		f.Text = p.String() + " is announced without its attributes: no neighbor has the route-map that sets them"
		f.Fix = nested(append(quaggaBlocks([]string{run.router, frrFamily(p.Addr())}), "neighbor A route-map "+frrGateOf(p.Addr())+"-EBGP out"))
		out = append(out, f)
	}
	if a.Prepend > 0 && d.as == 0 {
		f.Name, f.Subject = "prepend-unused", d.vty.Daemon
		f.Text = "the path of " + p.String() + " is not made longer: the driver's setting as is 0"
		f.Fix = "as: " + run.as() + "\nin the driver's settings, the own AS number"
		out = append(out, f)
	}
	return out
}

// keepsBack tells whether a route has attributes of BGP that no route-map sets on
// the way out.
func (c quaggaConfig) keepsBack(r driver.Route) bool {
	a, gate := r.Attributes, frrGateOf(r.Prefix.Addr())
	has := a.MED != nil || a.LocalPref != nil || a.Prepend > 0 || len(a.Communities) > 0
	return has && !c.used[gate+"-EBGP"] && !c.used[gate+"-OUT"]
}

// degrades tells whether a degraded route is announced otherwise, now that what is
// wanted is loaded. isisd announces all addresses of an interface alike.
func (d *quaggaDaemon) degrades(run quaggaConfig, r driver.Route) bool {
	switch d.vty.Daemon {
	case "isisd":
		return false
	case "bgpd":
		return !run.keepsBack(r)
	}
	return true
}
