package bird

import (
	"bufio"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// As BIRD 2.0.12 and 3.1 say it, shortened.
const allProtocols = `2002-Name       Proto      Table      State  Since         Info
1002-device1    Device     ---        up     10:00:00.123  
1006-
1002-upstream   BGP        ---        up     10:00:01.123  Established   
1006-  BGP state:          Established
     Neighbor address: 10.0.0.1
     Neighbor AS:      65002
     Local AS:         65001
     Neighbor ID:      10.0.0.1
   Channel ipv4
     State:          UP
1006-
1002-core       OSPF       master4    up     10:00:00.123  Running
1006-  Channel ipv4
     State:          UP
1006-
1002-odd        BGP        ---        start  10:00:00.123  Active
1006-  Neighbor range: 10.0.0.0/24
     Neighbor AS:      any
     Local AS:         4200000000
0000 
`

func TestProtocols(t *testing.T) {
	r, err := readReply(bufio.NewReader(strings.NewReader(allProtocols)))
	if err != nil {
		t.Fatal(err)
	}
	want := []RoutingProtocol{
		{Name: "upstream", Kind: "bgp", AS: 65001, NeighborAS: 65002},
		{Name: "core", Kind: "ospf"},
		{Name: "odd", Kind: "bgp", AS: 4200000000},
	}
	if d := cmp.Diff(want, routingProtocols(readProtocols(r))); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// The real BIRD, with none of keepcast's lines.
func TestRealProtocols(t *testing.T) {
	r := newRealBIRD(t).host("", "192.0.2.53/32")
	r.Config("protocol bgp up4 { local 10.99.0.1 as 65001; neighbor 10.99.0.2 as 65002; ipv4 { import none; export none; }; }\n" +
		"protocol rip r4 { ipv4; }\n")
	r.start()
	b := testDriver(r.Dir)
	defer b.Close()
	got, err := b.Protocols(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []RoutingProtocol{{Name: "up4", Kind: "bgp", AS: 65001, NeighborAS: 65002}, {Name: "r4", Kind: "rip"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
