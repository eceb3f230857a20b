package frr

import (
	"fmt"
	"net/netip"
	"slices"
)

// Refuses implements driver.Limited. What a daemon redistributes leaves the default route
// out: zebra's clients make one for "default-information originate" alone, and keepcast
// gates what is redistributed. A network line of bgpd takes it like any other prefix.
func (s *suite) Refuses(p netip.Prefix) error {
	if p.Bits() > 0 {
		return nil
	}
	for _, d := range s.dialect.specs {
		if slices.Contains(s.settings().daemons, d.name) && d.carries(p.Addr()) && (d.redistribute != "" || d.interfaceGate) {
			return fmt.Errorf("%s never redistributes a default route: have bgpd of FRR or BIRD announce it, and name that driver in drivers", d.name)
		}
	}
	return nil
}
