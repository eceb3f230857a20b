package reconcile

import (
	"errors"
	"net/netip"
	"slices"

	"github.com/keepcast/keepcast/driver"
)

// Observed is what the kernel or a daemon had when it was last asked.
type Observed struct {
	Routes    map[netip.Prefix]driver.Route // announced there, by masked prefix
	Neighbors []driver.Neighbor             // nil: it does not tell them
	Findings  []driver.Finding
	Held      []driver.Held  // what neighbors may still send packets for beyond that
	Recall    []netip.Prefix // as in driver.State
	Whole     bool           // a route that is missing here is not there; else it is unknown
}

// observedOf is what a driver observed; err is what kept it from observing all.
func observedOf(s driver.State, err error) Observed {
	out := Observed{
		Routes: map[netip.Prefix]driver.Route{}, Neighbors: s.Neighbors, Findings: slices.Clone(s.Findings), Held: s.Held, Recall: s.Recall,
	}
	out.Whole = err == nil || errors.Is(err, driver.ErrNotRunning)
	for _, r := range s.Announced() {
		out.Routes[r.Prefix.Masked()] = r
	}
	slices.SortFunc(out.Findings, driver.CompareFindings)
	out.Findings = slices.CompactFunc(out.Findings, func(a, b driver.Finding) bool { return driver.CompareFindings(a, b) == 0 })
	return out
}

// Takers counts the neighbors that can be sent p, and those of them that are up.
func (o Observed) Takers(p netip.Prefix) (all, up int) {
	for _, n := range o.Neighbors {
		if !n.Takes(p) {
			continue
		}
		all++
		if n.Up {
			up++
		}
	}
	return all, up
}

// agrees reports whether what is observed is what is desired, as far as the daemon can
// bring it about: a neighbor that is down is not its doing.
func (o Observed) agrees(desired driver.State) bool {
	announced := announcedBy(desired)
	for _, r := range desired.Routes {
		p := r.Prefix.Masked()
		route, present := o.Routes[p]
		if present != announced[p] {
			return false
		}
		if _, up := o.Takers(p); present && up > 0 && len(route.ExportedTo) == 0 {
			return false
		}
	}
	return true
}

// missed returns the announced addresses that are not among what is observed.
func (o Observed) missed(desired driver.State) []driver.Route {
	return slices.DeleteFunc(desired.Announced(), func(r driver.Route) bool {
		_, present := o.Routes[r.Prefix.Masked()]
		return r.PrefixOnly || present
	})
}

// kept returns the routes that are among what is observed, and not to be announced.
func (o Observed) kept(desired driver.State) []driver.Route {
	announced := announcedBy(desired)
	return slices.DeleteFunc(slices.Clone(desired.Routes), func(r driver.Route) bool {
		_, present := o.Routes[r.Prefix.Masked()]
		return !present || announced[r.Prefix.Masked()]
	})
}
