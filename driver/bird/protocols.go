package bird

import (
	"context"
	"strconv"
)

// RoutingProtocol is a protocol of the operator's in which the gate can be named.
type RoutingProtocol struct {
	Name string
	Kind string // bgp, ospf, rip or babel
	// AS is the own number, NeighborAS that of the neighbor; 0 if it is no BGP.
	AS, NeighborAS uint32
}

// Protocols asks the running BIRD which routing protocols its operator has
// configured. It is for keepcast init, and needs nothing of keepcast in BIRD.
func (b *Driver) Protocols(ctx context.Context) ([]RoutingProtocol, error) {
	all, err := b.protocols(ctx)
	if err != nil {
		return nil, err
	}
	return routingProtocols(all), nil
}

// birdRouting returns the protocols that speak to neighbors.
func routingProtocols(all []protocol) []RoutingProtocol {
	var out []RoutingProtocol
	for _, p := range all {
		switch p.kind {
		case "bgp", "ospf", "rip", "babel":
			out = append(out, RoutingProtocol{p.name, p.kind, p.number("Local AS"), p.number("Neighbor AS")})
		}
	}
	return out
}

// number returns a detail that is an AS number, or 0.
func (p protocol) number(detail string) uint32 {
	n, err := strconv.ParseUint(p.details[detail], 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}
