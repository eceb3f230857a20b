package bird

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"github.com/keepcast/keepcast/driver"
)

// Observe asks BIRD which of the prefixes it was last asked to keep are in its
// main tables by way of the gate, and are the ones chosen there, and to whom they
// are sent. Before the first Apply it returns all that came through the gate.
func (b *Driver) Observe(ctx context.Context) (driver.State, error) {
	protocols, neighbors, err := b.surroundings(ctx)
	if err != nil {
		return driver.State{Interface: b.desired.Interface}, err
	}
	return b.observe(ctx, protocols, neighbors)
}

// surroundings returns BIRD's protocols, and whom they can announce to.
func (b *Driver) surroundings(ctx context.Context) ([]protocol, []neighbor, error) {
	protocols, err := b.protocols(ctx)
	if err != nil {
		return nil, nil, err
	}
	neighbors, err := b.neighbors(ctx, protocols)
	return protocols, neighbors, err
}

// observe is Observe among these surroundings.
func (b *Driver) observe(ctx context.Context, protocols []protocol, neighbors []neighbor) (driver.State, error) {
	observed := driver.State{Interface: b.desired.Interface, Neighbors: plainNeighbors(neighbors)}
	running, err := b.running(ctx)
	if err != nil {
		return observed, err
	}
	if running == "" {
		observed.Findings = []driver.Finding{b.differs("")}
		return observed, nil
	}
	if observed.Routes, err = b.passed(ctx, running); err != nil {
		return observed, err
	}
	if err := b.exported(ctx, observed.Routes, neighbors); err != nil {
		return observed, err
	}
	observed.Findings, err = b.findings(ctx, observed, running, protocols, neighbors)
	return observed, err
}

// passed returns the routes that came through the gate and are chosen.
func (b *Driver) passed(ctx context.Context, running string) ([]driver.Route, error) {
	if len(b.desired.Routes) == 0 {
		return b.passedAll(ctx)
	}
	// One by one, since BIRD finds a prefix at once, but walks through a table
	// that may hold the whole Internet.
	var out []driver.Route
	chosen := map[netip.Prefix]bool{}
	for _, r := range b.desired.Routes {
		p := r.Prefix.Masked()
		if _, asked := chosen[p]; !asked {
			found, err := b.routes(ctx, p.String()+" table "+mainTable(p)+" primary")
			if err != nil {
				return nil, err
			}
			chosen[p] = len(found) > 0
		}
		if !chosen[p] {
			continue
		}
		r.Presence = driver.Announced
		if running != b.state {
			r.Degraded, r.Attributes = false, driver.Attributes{}
		}
		out = append(out, r)
	}
	return out, nil
}

func (b *Driver) passedAll(ctx context.Context) ([]driver.Route, error) {
	var out []driver.Route
	for _, table := range []string{"master4", "master6"} {
		found, err := b.routes(ctx, "table "+table+" primary")
		if err != nil {
			return nil, err
		}
		for _, p := range found {
			out = append(out, driver.Route{Prefix: p, Presence: driver.Announced})
		}
	}
	return out, nil
}

// mainTable returns BIRD's main table for the family of p.
func mainTable(p netip.Prefix) string {
	if p.Addr().Is4() {
		return "master4"
	}
	return "master6"
}

// routes returns the prefixes that came through the gate, of those that "show route" lists
// with the words of which.
func (b *Driver) routes(ctx context.Context, which string) ([]netip.Prefix, error) {
	return b.show(ctx, which+" where defined("+announcedMark+")")
}

// show returns the prefixes that "show route" lists with the words of which.
func (b *Driver) show(ctx context.Context, which string) ([]netip.Prefix, error) {
	r, err := b.ask(ctx, "show route "+which)
	if refusalCode(err) == codeNoRoute {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var found []netip.Prefix
	for _, l := range r.Lines {
		word, _, _ := strings.Cut(l.Text, " ")
		if p, err := netip.ParsePrefix(word); err == nil && l.Code == codeRoute {
			found = append(found, p)
		}
	}
	return slices.Clip(found), nil
}
