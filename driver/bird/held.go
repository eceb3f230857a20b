package bird

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/keepcast/keepcast/driver"
)

// The reasons for which a neighbor waits for a host that says no more.
const (
	gracefulRestart = "graceful restart"
	deadInterval    = "dead interval"
)

// heldBy returns what neighbors may hold beyond what is observed.
func (b *Driver) heldBy(ctx context.Context, observed driver.State, protocols []protocol, neighbors []neighbor) ([]driver.Held, error) {
	exported := map[netip.Prefix][]string{}
	for _, r := range observed.Routes {
		exported[r.Prefix.Masked()] = r.ExportedTo
	}
	sessions, timers := map[string]driver.Session{}, deadTimers{}
	for _, n := range neighbors {
		i := slices.IndexFunc(protocols, func(p protocol) bool { return p.name == n.via })
		switch {
		case n.off, n.Protocol == "bgp" && !n.Up && protocols[i].toldToClose():
			sessions[n.Name] = driver.Session{}
		case n.Up && n.Protocol == "bgp":
			sessions[n.Name] = protocols[i].graceful()
		case n.Up && n.Protocol == "ospf":
			dead, err := b.deadTimer(ctx, n, timers)
			if err != nil {
				return nil, err
			}
			sessions[n.Name] = driver.Session{IPv4: dead, IPv6: dead, Reason: deadInterval}
		}
	}
	return b.holders.Note(time.Now(), sessions, exported), nil
}

// toldToClose reports whether one side has told the other that it closes the session, which
// ends graceful restart.
func (p protocol) toldToClose() bool {
	why := p.details["Last error"]
	return strings.HasPrefix(why, "Received:") || strings.HasPrefix(why, "Error:")
}

// graceful returns how long the neighbor of a session keeps routes, as both agreed.
func (p protocol) graceful() driver.Session {
	restart, stale := p.waits()
	s := driver.Session{Reason: gracefulRestart}
	families := p.details["Local capabilities AF supported"]
	if strings.Contains(families, "ipv4") {
		s.IPv4 = restart + stale
	}
	if strings.Contains(families, "ipv6") {
		s.IPv6 = restart + stale
	}
	return s
}

// waits returns for how long this host asks its neighbor to wait, as far as that does so:
// by graceful restart, and by long-lived graceful restart after that.
func (p protocol) waits() (restart, stale time.Duration) {
	wait := func(ability, told string) time.Duration {
		if p.details["Neighbor capabilities "+ability] == "" {
			return 0
		}
		return time.Duration(p.number("Local capabilities "+told)) * time.Second
	}
	return wait("Graceful restart", "Restart time"), wait("Long-lived graceful restart", "LL stale time")
}
