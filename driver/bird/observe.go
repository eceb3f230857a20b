package bird

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/bird/ctl"
)

// Observe asks BIRD which of the prefixes it was last asked to keep are in its
// main tables by way of the gate, and are the ones chosen there, and to whom they
// are sent. Before the first Apply it returns all that came through the gate.
func (b *Driver) Observe(ctx context.Context) (driver.State, error) {
	protocols, neighbors, err := b.surroundings(ctx)
	if err != nil {
		gone := driver.State{Interface: b.desired.Interface}
		if errors.Is(err, driver.ErrNotRunning) {
			gone.Held = b.holders.Note(time.Now(), nil, nil)
		}
		return gone, err
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
		observed.Held, err = b.heldBy(ctx, observed, protocols, neighbors)
		return observed, err
	}
	if observed.Routes, err = b.passed(ctx, running); err != nil {
		return observed, err
	}
	if err := b.exported(ctx, observed.Routes, neighbors); err != nil {
		return observed, err
	}
	if observed.Routes, err = b.stillPassed(ctx, observed); err != nil {
		return observed, err
	}
	if observed.Held, err = b.heldBy(ctx, observed, protocols, neighbors); err != nil {
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
	chosen, err := b.chosen(ctx, prefixesOf(b.desired.Routes))
	if err != nil {
		return nil, err
	}
	var out []driver.Route
	for _, r := range b.desired.Routes {
		if !chosen[r.Prefix.Masked()] {
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

// stillPassed returns the routes without those that went while BIRD was asked to whom they
// are sent: what is sent to nobody is looked at once more, for it may be on its way out.
func (b *Driver) stillPassed(ctx context.Context, observed driver.State) ([]driver.Route, error) {
	unsent := func(r driver.Route) bool { return len(r.ExportedTo) == 0 }
	if !slices.ContainsFunc(observed.Routes, unsent) || !slices.ContainsFunc(observed.Neighbors, func(n driver.Neighbor) bool { return n.Up }) {
		return observed.Routes, nil
	}
	asked := slices.DeleteFunc(slices.Clone(observed.Routes), func(r driver.Route) bool { return !unsent(r) })
	chosen, err := b.chosen(ctx, prefixesOf(asked))
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(observed.Routes, func(r driver.Route) bool { return unsent(r) && !chosen[r.Prefix.Masked()] }), nil
}

// chosen returns those of the prefixes that came through the gate and are chosen in the
// main tables.
func (b *Driver) chosen(ctx context.Context, prefixes []netip.Prefix) (map[netip.Prefix]bool, error) {
	out := map[netip.Prefix]bool{}
	for _, table := range []string{"master4", "master6"} {
		of := slices.DeleteFunc(slices.Clone(prefixes), func(p netip.Prefix) bool { return mainTable(p) != table })
		found, err := b.among(ctx, of, "table "+table+" primary")
		if err != nil {
			return nil, err
		}
		maps.Copy(out, found)
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

// among returns those of the prefixes that came through the gate and that "show route"
// lists with the words of which.
func (b *Driver) among(ctx context.Context, prefixes []netip.Prefix, which string) (map[netip.Prefix]bool, error) {
	out := map[netip.Prefix]bool{}
	for _, about := range b.areas(prefixes) {
		found, err := b.routes(ctx, about+" "+which)
		if err != nil {
			return nil, err
		}
		for _, p := range found {
			out[p] = true
		}
	}
	return out, nil
}

// routes returns the prefixes that came through the gate, of those that "show route" lists
// with the words of which.
func (b *Driver) routes(ctx context.Context, which string) ([]netip.Prefix, error) {
	return b.show(ctx, which+" where defined("+announcedMark+")")
}

// show returns the prefixes that "show route" lists with the words of which.
func (b *Driver) show(ctx context.Context, which string) ([]netip.Prefix, error) {
	r, err := b.ask(ctx, "show route "+which)
	if ctl.RefusalCode(err) == ctl.CodeNoRoute {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var found []netip.Prefix
	for _, l := range r.Lines {
		word, _, _ := strings.Cut(l.Text, " ")
		if p, err := netip.ParsePrefix(word); err == nil && l.Code == ctl.CodeRoute {
			found = append(found, p)
		}
	}
	return slices.Clip(found), nil
}
