package driver

import "slices"

// unused returns a finding for each way in which attributes of routes come to
// nothing, for the first such route.
func (d *quaggaDaemon) unused(run quaggaConfig, want State) []Finding {
	var out []Finding
	for _, r := range want.Announced() {
		for _, f := range d.unusedOf(run, want, r) {
			same := func(o Finding) bool { return o.Name == f.Name && o.Fix == f.Fix }
			if d.role.carries(r.Prefix.Addr()) && !slices.ContainsFunc(out, same) {
				out = append(out, f)
			}
		}
	}
	return out
}

// unusedOf returns what of the attributes of one route comes to nothing.
func (d *quaggaDaemon) unusedOf(run quaggaConfig, want State, r Route) []Finding {
	p, a := r.Prefix.Masked(), r.Attributes
	f := Finding{Level: Risks, Subject: d.vty.daemon}
	if d.vty.daemon == "isisd" && a.Metric != nil {
		f.Name, f.Text = "metric-ignored", "can't announce "+p.String()+" with a metric of its own: it has that of "+want.On(r)
		f.Fix = "withdraw instead of degrading, or use another protocol"
		return []Finding{f}
	}
	if d.vty.daemon != "bgpd" {
		return nil
	}
	var out []Finding
	if len(a.LargeCommunities) > 0 {
		f.Name, f.Subject = "attribute-unsupported", d.vty.daemon+" "+p.String()
		f.Text, f.Fix = "is announced without its large communities, which Quagga cannot set", "use communities"
		out = append(out, f)
	}
	if run.keepsBack(r) {
		f.Name, f.Subject = "attributes-unused", d.vty.daemon+" "+frrGateOf(p.Addr())
		f.Text = p.String() + " is announced without its attributes: no neighbor has the route-map that sets them"
		f.Fix = nested(append(quaggaBlocks([]string{run.router, frrFamily(p.Addr())}), "neighbor A route-map "+frrGateOf(p.Addr())+"-EBGP out"))
		out = append(out, f)
	}
	if a.Prepend > 0 && d.as == 0 {
		f.Name, f.Subject = "prepend-unused", d.vty.daemon
		f.Text = "the path of " + p.String() + " is not made longer: the driver's setting as is 0"
		f.Fix = "as: " + run.as() + "\nin the driver's settings, the own AS number"
		out = append(out, f)
	}
	return out
}

// keepsBack tells whether a route has attributes of BGP that no route-map sets on
// the way out.
func (c quaggaConfig) keepsBack(r Route) bool {
	a, gate := r.Attributes, frrGateOf(r.Prefix.Addr())
	has := a.MED != nil || a.LocalPref != nil || a.Prepend > 0 || len(a.Communities) > 0
	return has && !c.used[gate+"-EBGP"] && !c.used[gate+"-OUT"]
}

// degrades tells whether a degraded route is announced otherwise, now that what is
// wanted is loaded. isisd announces all addresses of an interface alike.
func (d *quaggaDaemon) degrades(run quaggaConfig, r Route) bool {
	switch d.vty.daemon {
	case "isisd":
		return false
	case "bgpd":
		return !run.keepsBack(r)
	}
	return true
}
