package engine

import (
	"errors"
	"net/netip"
	"slices"

	"github.com/keepcast/keepcast/driver"
)

// sight is what the kernel or a daemon had when it was last asked.
type sight struct {
	routes     map[netip.Prefix]driver.Route // announced there, by masked prefix
	neighbours []driver.Neighbour            // nil: it does not tell them
	findings   []driver.Finding
	whole      bool // what is not among the routes is not there; else nobody knows
}

// sightOf is what a driver observed; err is what kept it from seeing all.
func sightOf(s driver.State, err error) sight {
	out := sight{routes: map[netip.Prefix]driver.Route{}, neighbours: s.Neighbours, findings: slices.Clone(s.Findings)}
	out.whole = err == nil || errors.Is(err, driver.ErrNotRunning)
	for _, r := range s.Announced() {
		out.routes[r.Prefix.Masked()] = r
	}
	slices.SortFunc(out.findings, driver.CompareFindings)
	out.findings = slices.CompactFunc(out.findings, func(a, b driver.Finding) bool { return driver.CompareFindings(a, b) == 0 })
	return out
}

// Sight is how far an announcement got with the kernel or one daemon.
type Sight struct {
	Present    bool     `json:"present"`               // it has the prefix
	Unknown    bool     `json:"unknown,omitempty"`     // it could not be asked, and may have it
	ExportedTo []string `json:"exported_to,omitempty"` // the neighbours that are sent it
	Neighbours *int     `json:"neighbours,omitempty"`  // how many could be; nil: the daemon does not tell
	up         int      // of these
}

// of returns how far the announcement of p got.
func (s sight) of(p netip.Prefix) Sight {
	r, present := s.routes[p]
	out := Sight{Present: present, Unknown: !present && !s.whole, ExportedTo: r.ExportedTo}
	if s.neighbours == nil {
		return out
	}
	count := 0
	for _, n := range s.neighbours {
		if n.Takes(p) {
			count++
		}
		if n.Takes(p) && n.Up {
			out.up++
		}
	}
	out.Neighbours = &count
	return out
}

// announced reports whether the prefix is really announced there: sent to a
// neighbour, or where none are told, there.
func (s Sight) announced() bool {
	return s.Present && (s.Neighbours == nil || len(s.ExportedTo) > 0)
}

// counts reports whether the daemon could announce the prefix at all. One that has
// no neighbour for its family could not, and says so by a finding.
func (s Sight) counts() bool { return s.Unknown || s.Neighbours == nil || *s.Neighbours > 0 }

// agree reports whether what is seen is what is wanted, as far as the daemon can
// bring it about: a neighbour that is down is not its doing.
func (s sight) agree(want driver.State) bool {
	wanted := announcedBy(want)
	for _, r := range want.Routes {
		p := r.Prefix.Masked()
		there := s.of(p)
		if there.Present != wanted[p] {
			return false
		}
		if wanted[p] && there.up > 0 && len(there.ExportedTo) == 0 {
			return false
		}
	}
	return true
}

// missed returns the announced addresses that are not among what is seen.
func (s sight) missed(want driver.State) []driver.Route {
	return slices.DeleteFunc(want.Announced(), func(r driver.Route) bool {
		_, seen := s.routes[r.Prefix.Masked()]
		return r.GateOnly || seen
	})
}
