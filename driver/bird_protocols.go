package driver

import (
	"context"
	"strconv"
	"strings"
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
	r, err := b.ask(ctx, "show protocols all")
	if birdCode(err) == birdNoProtocol {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return birdProtocols(r), nil
}

func birdProtocols(r birdReply) []BIRDProtocol {
	var out []BIRDProtocol
	var last *BIRDProtocol // whose details follow
	for _, l := range r.Lines {
		words := strings.Fields(l.Text)
		switch {
		case l.Code == birdProtocol && len(words) > 1:
			last = nil
			switch kind := strings.ToLower(words[1]); kind {
			case "bgp", "ospf", "rip", "babel":
				out = append(out, BIRDProtocol{Name: words[0], Kind: kind})
				last = &out[len(out)-1]
			}
		case last != nil && len(words) == 3 && words[1] == "AS:":
			as, err := strconv.ParseUint(words[2], 10, 32)
			if err != nil {
				continue
			}
			switch words[0] {
			case "Local":
				last.AS = uint32(as)
			case "Neighbor":
				last.NeighbourAS = uint32(as)
			}
		}
	}
	return out
}
