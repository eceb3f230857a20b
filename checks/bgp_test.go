package checks

import (
	"bufio"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/driver/bird/ctl"
)

func TestBGPValidate(t *testing.T) {
	for name, tt := range map[string]struct {
		bgp BGP
		err string
	}{
		"bird":           {BGP{routingDaemon: routingDaemon{Daemon: "bird"}, Neighbors: []string{"upstream1", "192.0.2.1", "fe80::1%eth0"}, Min: 4}, ""},
		"frr":            {BGP{routingDaemon: routingDaemon{Daemon: "frr"}, VRF: "red", Neighbors: []string{"192.0.2.1", "eth0"}, Min: 2}, ""},
		"daemon":         {BGP{routingDaemon: routingDaemon{Daemon: "gobgp"}, Min: 1}, `daemon: "gobgp" is neither bird nor frr`},
		"vrf of bird":    {BGP{routingDaemon: routingDaemon{Daemon: "bird"}, VRF: "red", Min: 1}, "vrf: only with daemon: frr (name the protocols of the VRF in neighbors)"},
		"vrf":            {BGP{routingDaemon: routingDaemon{Daemon: "frr"}, VRF: "red blue", Min: 1}, `vrf: "red blue" is no name of a VRF`},
		"too many":       {BGP{routingDaemon: routingDaemon{Daemon: "frr"}, Neighbors: []string{"192.0.2.1"}, Min: 2}, "min: 2 sessions can't be had with the 1 of neighbors"},
		"no name":        {BGP{routingDaemon: routingDaemon{Daemon: "bird"}, Neighbors: []string{"a", ""}, Min: 1}, `neighbors[1]: "" is neither an address nor a name`},
		"a command":      {BGP{routingDaemon: routingDaemon{Daemon: "bird"}, Neighbors: []string{"a b"}, Min: 1}, `neighbors[0]: "a b" is neither an address nor a name`},
		"twice":          {BGP{routingDaemon: routingDaemon{Daemon: "bird"}, Neighbors: []string{"2001:db8::1", "a", "2001:db8:0::1"}, Min: 1}, "neighbors[2]: 2001:db8:0::1 is there twice"},
		"more than one":  {BGP{routingDaemon: routingDaemon{Daemon: "frr", Socket: "/a"}, Neighbors: []string{""}, Min: 1}, "socket: only with daemon: bird (FRR has a directory of sockets)\nneighbors[0]: \"\" is neither an address nor a name"},
		"min 2, 2 of v6": {BGP{routingDaemon: routingDaemon{Daemon: "frr"}, Neighbors: []string{"2001:db8::1", "2001:db8::2"}, Min: 2}, ""},
	} {
		t.Run(name, func(t *testing.T) { sameError(t, tt.bgp.Validate(), tt.err, "") })
	}
}

// birdProtocols is what BIRD 2.0.12 replied to "show protocols all", without channels that are
// like another.
const birdProtocols = `2002-Name       Proto      Table      State  Since         Info
1002-device1    Device     ---        up     21:02:52.033  
1006-
1002-up         BGP        ---        up     21:02:53.768  Established   
1006-  BGP state:          Established
     Neighbor address: 10.5.0.2
     Neighbor AS:      65002
     Local capabilities
       Multiprotocol
         AF announced: ipv4 ipv6
   Channel ipv4
     State:          UP
     Neighbor address: 10.5.0.99
 
1002-away       BGP        ---        start  21:02:52.033  Connect       
1006-  BGP state:          Connect
     Neighbor address: 10.5.0.9
     Neighbor AS:      65002
 
1002-offp       BGP        ---        down   2026-11-27 21:02:52  
1006-  BGP state:          Down
     Neighbor address: 10.5.0.8
 
1002-ll         BGP        ---        start  2026-11-27 21:02:52  Connect       
1006-  BGP state:          Connect
     Neighbor address: fe80::1%v0
 
1002-dyn        BGP        ---        start  21:02:52.033  Passive       
1006-  BGP state:          Passive
     Neighbor range:   10.6.0.0/24
 
1002-wrongas    BGP        ---        start  21:02:54.640  Active        BGP Error: Bad peer AS
1006-  BGP state:          Active
     Neighbor address: fd05::2
     Last error:       BGP Error: Bad peer AS
0000 
`

func birdReply(t testing.TB, text string) ctl.Reply {
	t.Helper()
	reply, err := ctl.ReadReply(bufio.NewReader(strings.NewReader(text)))
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

// words returns sessions as they are shown, those that are up with a plus.
func words(all peerings) []string {
	var out []string
	for _, p := range all {
		text := p.String()
		if p.up {
			text = "+" + text
		}
		out = append(out, text)
	}
	return out
}

func TestReadBIRDSessions(t *testing.T) {
	want := []string{
		"+up 10.5.0.2 (Established since 21:02:53.768)",
		"away 10.5.0.9 (Connect since 21:02:52.033)",
		"offp 10.5.0.8 (Down since 2026-11-27 21:02:52)",
		"ll fe80::1%v0 (Connect since 2026-11-27 21:02:52)",
		"wrongas fd05::2 (Active since 21:02:54.640; last error: BGP Error: Bad peer AS)",
	}
	if d := cmp.Diff(want, words(readBIRDSessions(birdReply(t, birdProtocols)))); d != "" {
		t.Error(d)
	}
	// As BIRD 3 has it.
	three := "1002-gr         BGP        ---        start  22:21:10.417  Active        Socket: Connection refused\n1006-  Created:            22:21:10.417\n" +
		"   BGP state:          Active\n     Neighbor address: 10.99.0.2\n     Last error:       Socket: Connection refused\n0000 \n"
	want = []string{"gr 10.99.0.2 (Active since 22:21:10.417; last error: Socket: Connection refused)"}
	if d := cmp.Diff(want, words(readBIRDSessions(birdReply(t, three)))); d != "" {
		t.Error(d)
	}
}

func FuzzReadBIRDSessions(f *testing.F) {
	f.Add(birdProtocols)
	f.Add("1002-x BGP --- start\n1006-  BGP state: Idle\n  Neighbor address: a\n0000 \n")
	f.Fuzz(func(t *testing.T, text string) {
		reply, err := ctl.ReadReply(bufio.NewReader(strings.NewReader(text)))
		if err != nil {
			return
		}
		for _, p := range readBIRDSessions(reply) {
			if p.label == "" || len(p.names) != 2 || p.up && !strings.HasPrefix(p.state, "Established") {
				t.Errorf("%+v", p)
			}
		}
	})
}

// frrSummary is what bgpd of FRR 8.4 answered to "show bgp vrf default summary json", without
// what is not read. That of 10.3 has the same words, and more.
const frrSummary = `{
"ipv4Unicast":{
  "vrfName":"default",
  "peers":{
    "10.5.0.2":{"peerUptime":"01:00:06","peerUptimeMsec":3606400,"state":"Established","peerState":"OK"},
    "10.5.0.7":{"peerUptime":"00:00:04","peerUptimeMsec":4000,"state":"Active","peerState":"OK"},
    "10.5.0.8":{"peerUptime":"never","peerUptimeMsec":0,"state":"Idle (Admin)","peerState":"Admin"},
    "v0":{"peerUptime":"never","peerUptimeMsec":0,"state":"Idle","peerState":"OK"}
  },
  "failedPeers":2,
  "bestPath":{"multiPathRelax":"false"}
}
,
"ipv6Unicast":{
  "peers":{
    "10.5.0.2":{"peerUptime":"01:00:06","peerUptimeMsec":3606400,"state":"Established","peerState":"OK"},
    "fd05::2":{"peerUptime":"00:00:06","peerUptimeMsec":6000,"state":"Established","peerState":"OK"}
  }
}
}`

func TestReadFRRSessions(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		want []string
		err  string
	}{
		"8.4": {frrSummary, []string{
			"+10.5.0.2 (Established for 1h0m6s)", "10.5.0.7 (Active for 4s)", "10.5.0.8 (Idle (Admin), was never established)",
			"+fd05::2 (Established for 6s)", "v0 (Idle, was never established)",
		}, ""},
		"none":     {"{\n}", nil, ""},
		"quagga":   {"% Unknown command.\n", nil, `bgpd does not answer with the JSON of FRR (invalid character '%' looking for beginning of value): "% Unknown command."`},
		"nothing":  {"", nil, `bgpd does not answer with the JSON of FRR (unexpected end of JSON input): ""`},
		"no state": {`{"ipv4Unicast":{"peers":{"a":{}}}}`, []string{"a (, was never established)"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			all, err := readFRRSessions(tt.text)
			sameError(t, err, tt.err, "")
			if d := cmp.Diff(tt.want, words(all)); d != "" {
				t.Error(d)
			}
		})
	}
}

func FuzzReadFRRSessions(f *testing.F) {
	f.Add(frrSummary)
	f.Add(`{"a":{"peers":{"":{"state":"Established","peerUptimeMsec":-1}}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		all, err := readFRRSessions(text)
		if err != nil && all != nil {
			t.Errorf("an error and %v", all)
		}
		for _, p := range all {
			if p.up != strings.HasPrefix(p.state, "Established ") && p.up != strings.HasPrefix(p.state, "Established,") {
				t.Errorf("%+v", p)
			}
		}
		readFRRReset(text)
	})
}

func TestReadFRRReset(t *testing.T) {
	for text, want := range map[string]string{
		`{"10.5.0.2":{"lastResetDueTo":"Peer closed the session","lastResetCode":15}}`:                                      "last reset: Peer closed the session",
		`{"fd05::2":{"lastNotificationReason":"OPEN Message Error\/Bad Peer AS","lastResetDueTo":"BGP Notification send"}}`: "last reset: BGP Notification send: OPEN Message Error/Bad Peer AS",
		`{"10.5.0.3":{"lastReset":"never"}}`: "",
		`{"bgpNoSuchNeighbor":true}`:         "",
		"":                                   "",
	} {
		if got := readFRRReset(text); got != want {
			t.Errorf("%s: %q", text, got)
		}
	}
}
