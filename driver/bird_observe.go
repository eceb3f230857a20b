package driver

import (
	"context"
	"net/netip"
	"slices"
	"strings"
)

// Observe asks BIRD which of the prefixes it was last asked to keep are in its
// main tables by way of the gate, and are the ones chosen there, and to whom they
// are sent. Before the first Apply it returns all that came through the gate.
func (b *BIRD) Observe(ctx context.Context) (State, error) {
	protocols, neighbours, err := b.surroundings(ctx)
	if err != nil {
		return State{Interface: b.want.Interface}, err
	}
	return b.observe(ctx, protocols, neighbours)
}

// surroundings returns BIRD's protocols, and whom they can announce to.
func (b *BIRD) surroundings(ctx context.Context) ([]birdProto, []birdNeighbour, error) {
	protocols, err := b.protocols(ctx)
	if err != nil {
		return nil, nil, err
	}
	neighbours, err := b.neighbours(ctx, protocols)
	return protocols, neighbours, err
}

// observe is Observe among these surroundings.
func (b *BIRD) observe(ctx context.Context, protocols []birdProto, neighbours []birdNeighbour) (State, error) {
	seen := State{Interface: b.want.Interface, Neighbours: birdPlain(neighbours)}
	running, err := b.running(ctx)
	if err != nil {
		return seen, err
	}
	if running == "" {
		seen.Findings = []Finding{b.other("")}
		return seen, nil
	}
	if seen.Routes, err = b.passed(ctx, running); err != nil {
		return seen, err
	}
	if err := b.exported(ctx, seen.Routes, neighbours); err != nil {
		return seen, err
	}
	seen.Findings, err = b.findings(ctx, seen, running, protocols, neighbours)
	return seen, err
}

// passed returns the routes that came through the gate and are chosen.
func (b *BIRD) passed(ctx context.Context, running string) ([]Route, error) {
	if len(b.want.Routes) == 0 {
		return b.passedAll(ctx)
	}
	// One by one, since BIRD finds a prefix at once, but walks through a table
	// that may hold the whole Internet.
	var out []Route
	chosen := map[netip.Prefix]bool{}
	for _, r := range b.want.Routes {
		p := r.Prefix.Masked()
		if _, asked := chosen[p]; !asked {
			found, err := b.routes(ctx, p.String()+" table "+birdTable(p)+" primary")
			if err != nil {
				return nil, err
			}
			chosen[p] = len(found) > 0
		}
		if !chosen[p] {
			continue
		}
		r.Presence = Announced
		if running != b.state {
			r.Degraded, r.Attributes = false, Attributes{}
		}
		out = append(out, r)
	}
	return out, nil
}

func (b *BIRD) passedAll(ctx context.Context) ([]Route, error) {
	var out []Route
	for _, table := range []string{"master4", "master6"} {
		found, err := b.routes(ctx, "table "+table+" primary")
		if err != nil {
			return nil, err
		}
		for _, p := range found {
			out = append(out, Route{Prefix: p, Presence: Announced})
		}
	}
	return out, nil
}

// birdTable returns BIRD's main table for the family of p.
func birdTable(p netip.Prefix) string {
	if p.Addr().Is4() {
		return "master4"
	}
	return "master6"
}

// routes returns the prefixes, of those that which selects, that came through
// the gate.
func (b *BIRD) routes(ctx context.Context, which string) ([]netip.Prefix, error) {
	return b.show(ctx, which+" where defined("+birdMark+")")
}

// show returns the prefixes that which selects.
func (b *BIRD) show(ctx context.Context, which string) ([]netip.Prefix, error) {
	r, err := b.ask(ctx, "show route "+which)
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
	return slices.Clip(found), nil
}
