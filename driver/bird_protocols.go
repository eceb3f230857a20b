package driver

import (
	"context"
	"strconv"
)

// BIRDProtocol is a protocol of the operator's in which the gate can be named.
type BIRDProtocol struct {
	Name string
	Kind string // bgp, ospf, rip or babel
	// AS is the own number, NeighbourAS that of the neighbour; 0 if it is no BGP.
	AS, NeighbourAS uint32
}

// Protocols asks the running BIRD which routing protocols its operator has
// configured. It is for keepcast init, and needs nothing of keepcast in BIRD.
func (b *BIRD) Protocols(ctx context.Context) ([]BIRDProtocol, error) {
	all, err := b.protocols(ctx)
	if err != nil {
		return nil, err
	}
	return birdRouting(all), nil
}

// birdRouting returns the protocols that speak to neighbours.
func birdRouting(all []birdProto) []BIRDProtocol {
	var out []BIRDProtocol
	for _, p := range all {
		switch p.kind {
		case "bgp", "ospf", "rip", "babel":
			out = append(out, BIRDProtocol{p.name, p.kind, p.number("Local AS"), p.number("Neighbor AS")})
		}
	}
	return out
}

// number returns a detail that is an AS number, or 0.
func (p birdProto) number(detail string) uint32 {
	n, err := strconv.ParseUint(p.details[detail], 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}
