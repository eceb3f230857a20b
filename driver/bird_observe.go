package driver

import (
	"context"
	"net/netip"
	"strings"
)

// Observe asks BIRD which of the prefixes it was last asked to keep are in its
// main tables by way of the gate, and are the ones chosen there. Before the first
// Apply it returns all that came through the gate.
func (b *BIRD) Observe(ctx context.Context) (State, error) {
	seen := State{Interface: b.want.Interface}
	running, err := b.running(ctx)
	if err != nil || running == "" {
		return seen, err
	}
	if len(b.want.Routes) == 0 {
		for _, table := range []string{"master4", "master6"} {
			found, err := b.routes(ctx, "table "+table)
			if err != nil {
				return seen, err
			}
			for _, p := range found {
				seen.Routes = append(seen.Routes, Route{Prefix: p, Presence: Announced})
			}
		}
		return seen, nil
	}
	// One by one, since BIRD finds a prefix at once, but walks through a table
	// that may hold the whole Internet.
	passed := map[netip.Prefix]bool{}
	for _, r := range b.want.Routes {
		p := r.Prefix.Masked()
		if _, asked := passed[p]; !asked {
			found, err := b.routes(ctx, p.String()+" table "+birdTable(p))
			if err != nil {
				return seen, err
			}
			passed[p] = len(found) > 0
		}
		if passed[p] {
			r.Degraded = r.Degraded && running == b.state
			r.Presence = Announced
			seen.Routes = append(seen.Routes, r)
		}
	}
	return seen, nil
}

// birdTable returns BIRD's main table for the family of p.
func birdTable(p netip.Prefix) string {
	if p.Addr().Is4() {
		return "master4"
	}
	return "master6"
}

// routes returns the prefixes, of those that which selects, whose chosen route
// is keepcast's.
func (b *BIRD) routes(ctx context.Context, which string) ([]netip.Prefix, error) {
	r, err := b.ask(ctx, `show route `+which+` primary where proto = "keepcast"`)
	if birdCode(err) == birdNoRoute {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var found []netip.Prefix
	for _, l := range r.Lines {
		word, _, _ := strings.Cut(l.Text, " ")
		if p, err := netip.ParsePrefix(word); err == nil && l.Code == birdRoute {
			found = append(found, p)
		}
	}
	return found, nil
}
