package bird

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/bird/ctl"
)

// infiniteMetric is the metric of a Babel neighbor that is not heard (RFC 8966, 3.4).
const infiniteMetric = "65535"

// neighbor is a neighbor and the protocol that BIRD announces to it by.
type neighbor struct {
	driver.Neighbor
	via   string
	iface string // the interface that it is on, where BIRD tells
	off   bool   // the operator disabled the protocol
}

// neighbors returns all whom BIRD's routing protocols can announce to: those of
// protocols whose export filter is not simply none.
func (b *Driver) neighbors(ctx context.Context, protocols []protocol) ([]neighbor, error) {
	var out []neighbor
	for _, p := range protocols {
		like := neighbor{via: p.name, off: p.state == "down"}
		like.Name, like.Protocol = p.name, p.kind
		like.IPv4, like.IPv6 = p.exports("ipv4"), p.exports("ipv6")
		if !like.IPv4 && !like.IPv6 {
			continue
		}
		switch p.kind {
		case "bgp":
			// One that waits for whoever comes makes a protocol for each who came.
			if p.details["Neighbor range"] == "" {
				out = append(out, like.bgp(p))
			}
		case "ospf", "rip", "babel":
			found, err := b.igp(ctx, p, like)
			if err != nil {
				return nil, err
			}
			out = append(out, found...)
		}
	}
	return out, nil
}

func (n neighbor) bgp(p protocol) neighbor {
	state := cmp.Or(p.details["BGP state"], p.state)
	if n.Up = state == "Established"; n.Up {
		return n
	}
	n.Detail = state
	if n.off {
		n.Detail = "disabled"
	}
	if why := p.details["Last error"]; why != "" {
		n.Detail += ", " + why
	}
	return n
}

// igp returns the neighbors of a protocol that finds them by itself. If there is
// none, like stands for those that should be there, as one that is down.
func (b *Driver) igp(ctx context.Context, p protocol, like neighbor) ([]neighbor, error) {
	if like.off {
		like.Detail = "disabled"
		return []neighbor{like}, nil
	}
	r, err := b.ask(ctx, "show "+p.kind+" neighbors "+quoted(p.name))
	if err != nil && ctl.RefusalCode(err) == 0 {
		return nil, err
	}
	var out []neighbor
	for _, row := range readRows(r) {
		if n, counts := like.row(row); counts {
			out = append(out, n)
		}
	}
	if len(out) > 0 {
		return out, nil
	}
	like.Detail = "no neighbor"
	if p.kind == "rip" { // routers that only listen are not heard
		like.Up, like.Detail = true, "no neighbor heard, RIP announces all the same"
	}
	return []neighbor{like}, nil
}

// row returns the neighbor of a line of the list of its protocol, and whether it
// is one that is announced to.
func (n neighbor) row(row neighborRow) (neighbor, bool) {
	n.iface = row.column(1)
	address := row.column(0)
	switch n.Protocol {
	case "ospf": // Router ID, Pri, State, DTime, Interface, Router IP
		address, n.iface = row.column(5), row.column(4)
		state, _, _ := strings.Cut(row.column(2), "/")
		if state == "2-Way" { // the designated router tells it
			return n, false
		}
		n.Up, n.Detail = state == "Full", row.column(2)
	case "babel": // IP address, Interface, Metric ...
		n.Up, n.Detail = row.column(2) != infiniteMetric, "not heard"
	case "rip": // IP address, Interface ...
		n.Up = true
	}
	if n.Up {
		n.Detail = ""
	}
	n.Name += " " + addressOnLink(address, n.iface)
	return n, true
}

// exported fills in to whom each of the routes is sent: those of the neighbors
// that are up whose protocol's export filter lets pass the route that keepcast
// marked.
func (b *Driver) exported(ctx context.Context, routes []driver.Route, neighbors []neighbor) error {
	passes := map[string]map[netip.Prefix]bool{} // what BIRD answered, by protocol
	for _, n := range neighbors {
		if !n.Up {
			continue
		}
		pass, asked := passes[n.via]
		if !asked {
			takes := slices.DeleteFunc(slices.Clone(routes), func(r driver.Route) bool { return !n.Takes(r.Prefix) })
			var err error
			pass, err = b.among(ctx, prefixesOf(takes), "export "+quoted(n.via))
			if err != nil && ctl.RefusalCode(err) != ctl.CodeSyntaxError { // it is: just went down
				return err
			}
			passes[n.via] = pass
		}
		for i, r := range routes {
			if n.Takes(r.Prefix) && pass[r.Prefix.Masked()] {
				routes[i].ExportedTo = append(routes[i].ExportedTo, n.Name)
			}
		}
	}
	return nil
}

// quoted is the name of a protocol in a command: it may hold a dot or a dash.
func quoted(name string) string { return "'" + name + "'" }

// plainNeighbors returns the neighbors as a State tells them, never nil.
func plainNeighbors(all []neighbor) []driver.Neighbor {
	out := make([]driver.Neighbor, 0, len(all))
	for _, n := range all {
		out = append(out, n.Neighbor)
	}
	return slices.Clip(out)
}
