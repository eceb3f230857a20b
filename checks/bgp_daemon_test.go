package checks

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keepcast/keepcast/driver/bird/ctl"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// fakeFRR is a daemon of FRR that answers to these commands, and to others with an error.
func fakeFRR(t *testing.T, daemon string, answers map[string]string) (dir string, fake *drivertest.VtyServer) {
	t.Helper()
	dir = drivertest.SocketDir(t)
	return dir, drivertest.NewVtyServer(t, filepath.Join(dir, daemon+".vty"), func(command string) string {
		if answer, ok := answers[command]; ok {
			return answer
		}
		if command == "enable" {
			return drivertest.VtyDone
		}
		return "% Unknown command\n\x00\x00\x00\x02"
	})
}

func TestBGPOfFRR(t *testing.T) {
	const summary, instances, why = "show bgp vrf default summary json", "show bgp vrfs json", "show bgp vrf default neighbors 10.5.0.7 json"
	const one = `{"vrfs":{"default":{},"red":{}}}` + drivertest.VtyDone
	for name, tt := range map[string]struct {
		answers map[string]string
		bgp     BGP
		err     string
	}{
		"fit":       {map[string]string{summary: frrSummary + drivertest.VtyDone, instances: one}, BGP{Min: 2}, ""},
		"named":     {map[string]string{summary: frrSummary + drivertest.VtyDone, instances: one}, BGP{Neighbors: []string{"10.5.0.2"}, Min: 1}, ""},
		"of a VRF":  {map[string]string{"show bgp vrf red summary json": frrSummary + drivertest.VtyDone, instances: one}, BGP{VRF: "red", Min: 2}, ""},
		"unknown":   {map[string]string{summary: frrSummary + drivertest.VtyDone, instances: one}, BGP{Neighbors: []string{"10.5.0.3"}, Min: 1}, "bgpd, VRF default: neighbors: there is no 10.5.0.3 (there are 10.5.0.2, 10.5.0.7, 10.5.0.8, fd05::2, v0)"},
		"no VRF":    {map[string]string{"show bgp vrf blue summary json": "{}" + drivertest.VtyDone, instances: one}, BGP{VRF: "blue", Min: 1}, "bgpd has no BGP instance in VRF blue (there are default, red)"},
		"no BGP":    {map[string]string{summary: "{}" + drivertest.VtyDone, instances: `{"vrfs":{}}` + drivertest.VtyDone}, BGP{Min: 1}, "bgpd has no BGP instance in VRF default (there is none at all)"},
		"no peers":  {map[string]string{summary: "{}" + drivertest.VtyDone, instances: one}, BGP{Min: 1}, "bgpd, VRF default: there is no BGP session at all, expected 1 established"},
		"too few":   {map[string]string{summary: frrSummary + drivertest.VtyDone, instances: one, why: `{"x":{"lastResetDueTo":"Peer closed the session"}}` + drivertest.VtyDone}, BGP{Min: 3}, "bgpd, VRF default: 2 of 5 BGP sessions established, expected 3; not so: 10.5.0.7 (Active for 4s; last reset: Peer closed the session), 10.5.0.8 (Idle (Admin), was never established), v0 (Idle, was never established)"},
		"not why":   {map[string]string{summary: frrSummary + drivertest.VtyDone, instances: one, why: ""}, BGP{Neighbors: []string{"10.5.0.7"}, Min: 1}, "bgpd, VRF default: 0 of 1 BGP sessions established, expected 1; not so: 10.5.0.7 (Active for 4s)"},
		"injection": {map[string]string{summary: `{"a":{"peers":{"x json\u0000configure terminal":{"state":"Idle"}}}}` + drivertest.VtyDone, instances: one}, BGP{Min: 1}, "bgpd, VRF default: 0 of 1 BGP sessions established, expected 1; not so: x json\x00configure terminal (Idle, was never established)"},
		"no answer": {map[string]string{summary: ""}, BGP{Min: 1}, `bgpd closed the connection at "show bgp vrf default summary json" (socket DIR/bgpd.vty), did it restart: EOF`},
		"garbage":   {map[string]string{summary: "\xff\x00\xff\xff\xff"}, BGP{Min: 1}, `bgpd: "show bgp vrf default summary json": the answer is not framed as FRR does it (three zero bytes and a status)`},
		"quagga":    {nil, BGP{Min: 1}, `bgpd does not answer with the JSON of FRR (invalid character '%' looking for beginning of value): "% Unknown command"`},
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			dir, fake := fakeFRR(t, "bgpd", tt.answers)
			tt.bgp.Daemon, tt.bgp.Directory = "frr", dir
			got := strings.ReplaceAll(drivertest.ErrText(tt.bgp.Check(within(t))), dir, "DIR")
			if got != tt.err {
				t.Errorf("error\n got: %s\nwant: %s", got, tt.err)
			}
			if all := fake.Received(); strings.Contains(all, "configure") {
				t.Errorf("it was told %s", all)
			}
			fake.Stop()
		})
	}
}

func TestBGPOfBIRD(t *testing.T) {
	for name, tt := range map[string]struct {
		restrict, protocols string
		bgp                 BGP
		err                 string
	}{
		"fit":       {"0016 Access restricted\n", birdProtocols, BGP{Min: 1}, ""},
		"by name":   {"0016 Access restricted\n", birdProtocols, BGP{Neighbors: []string{"up", "away"}, Min: 1}, ""},
		"address":   {"0016 Access restricted\n", birdProtocols, BGP{Neighbors: []string{"10.5.0.2"}, Min: 1}, ""},
		"down":      {"0016 Access restricted\n", birdProtocols, BGP{Neighbors: []string{"fd05::2"}, Min: 1}, "bird: 0 of 1 BGP sessions established, expected 1; not so: wrongas fd05::2 (Active since 21:02:54.640; last error: BGP Error: Bad peer AS)"},
		"unknown":   {"0016 Access restricted\n", birdProtocols, BGP{Neighbors: []string{"dyn"}, Min: 1}, "bird: neighbors: there is no dyn (there are up 10.5.0.2, away 10.5.0.9, offp 10.5.0.8, ll fe80::1%v0, wrongas fd05::2)"},
		"no BGP":    {"0016 Access restricted\n", "8003 No protocols match\n", BGP{Min: 1}, "bird: there is no BGP session at all, expected 1 established"},
		"refused":   {"0016 Access restricted\n", "9001 syntax error\n", BGP{Min: 1}, `bird refuses "show protocols all": syntax error (code 9001)`},
		"old":       {"9001 syntax error\n", birdProtocols, BGP{Min: 1}, `bird refuses "restrict": syntax error (code 9001)`},
		"hangs up":  {"0016 Access restricted\n", "", BGP{Min: 1}, `reading bird's answer to "show protocols all": EOF`},
		"garbage":   {"0016 Access restricted\n", "HTTP/1.1 400\n", BGP{Min: 1}, `reading bird's answer to "show protocols all": no line of a reply of bird: "HTTP/1.1 400"`},
		"no banner": {"220 mail\n", "", BGP{Min: 1}, `reading bird's answer to "restrict": no line of a reply of bird: "220 mail"`},
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			fake := drivertest.NewFakeBIRD(t, func(_ int, command string) string {
				switch command {
				case "":
					return drivertest.BIRDHello
				case "restrict":
					return tt.restrict
				case "show protocols all":
					return tt.protocols
				}
				return "8007 Access denied\n"
			})
			tt.bgp.Daemon, tt.bgp.Socket = "bird", fake.Socket
			sameError(t, tt.bgp.Check(within(t)), tt.err, "")
			fake.Stop()
		})
	}
}

// A route server has hundreds of neighbors. Only those that the error names are asked about.
func TestBGPAsksAboutFew(t *testing.T) {
	var peers []string
	for i := range 20 {
		peers = append(peers, fmt.Sprintf(`"10.5.0.%d":{"state":"Idle"}`, 10+i))
	}
	dir, fake := fakeFRR(t, "bgpd", map[string]string{
		"show bgp vrf default summary json": `{"ipv4Unicast":{"peers":{` + strings.Join(peers, ",") + "}}}" + drivertest.VtyDone,
		"show bgp vrfs json":                `{"vrfs":{"default":{}}}` + drivertest.VtyDone,
	})
	if err := (&BGP{routingDaemon: routingDaemon{Daemon: "frr", Directory: dir}, Min: 1}).Check(within(t)); !like(drivertest.ErrText(err), "... and 12 more") {
		t.Error(err)
	}
	if n := strings.Count(fake.Received(), "neighbors"); n != mostSessions {
		t.Errorf("%d questions", n)
	}
}

// What a run sees, for keepcast probe.
func TestBGPSeen(t *testing.T) {
	fake := drivertest.NewFakeBIRD(t, func(_ int, command string) string {
		switch command {
		case "":
			return drivertest.BIRDHello
		case "restrict":
			return "0016 Access restricted\n"
		}
		return birdProtocols
	})
	sameSeen(t, &BGP{routingDaemon: routingDaemon{Daemon: "bird", Socket: fake.Socket}, Neighbors: []string{"up", "wrongas"}, Min: 1}, "connected: to "+fake.Socket+", BIRD 2.0.12",
		"session: up 10.5.0.2 (Established since 21:02:53.768)", "session: wrongas fd05::2 (Active since 21:02:54.640; last error: BGP Error: Bad peer AS)")
}

// What BIRD is asked for in a restricted session, and what it then refuses.
func TestAskBIRDRestricted(t *testing.T) {
	b := drivertest.NewBIRD(t)
	b.Config("")
	b.Start()
	_, err := askBIRD(within(t), b.Socket, "configure")
	if ctl.RefusalCode(err) != ctl.CodeDenied || b.Configures() != 0 {
		t.Errorf("%d configures: %v", b.Configures(), err)
	}
}

func TestBGPRealBIRD(t *testing.T) {
	noLeaks(t)
	host, router := neighbor(t)
	host.Config(`template bgp peer { connect delay time 1; error wait time 1, 2; ipv4 { import all; export none; }; ipv6 { import all; export none; }; }
protocol bgp up4 from peer { local 10.99.0.1 as 65001; neighbor 10.99.0.2 as 65002; }
protocol bgp up6 from peer { local fd99::1 as 65001; neighbor fd99::2 as 65003; }
`)
	host.Start()
	both := &BGP{routingDaemon: routingDaemon{Daemon: "bird", Socket: host.Socket}, Min: 2}
	failsLike(t, both, "bird: 1 of 2 BGP sessions established, expected 2; not so: up6 fd99::2 (... since ...; last error: BGP Error: Bad peer AS)")
	fitAtLast(t, &BGP{routingDaemon: routingDaemon{Daemon: "bird", Socket: host.Socket}, Neighbors: []string{"up4"}, Min: 1})
	failsLike(t, &BGP{routingDaemon: routingDaemon{Daemon: "bird", Socket: host.Socket}, Neighbors: []string{"up5"}, Min: 1}, "bird: neighbors: there is no up5 (there are up4 10.99.0.2, up6 fd99::2)")
	router.Stop()
	one := &BGP{routingDaemon: routingDaemon{Daemon: "bird", Socket: host.Socket}, Min: 1}
	failsLike(t, one, "bird: 0 of 2 BGP sessions established, expected 1; not so: up4 10.99.0.2 (... since ...; last error: Socket: ...), up6 fd99::2 (...)")
	endsOf(
		t, one, birdProcess(host),
		`asking bird "restrict" on `+host.Socket+": context deadline exceeded",
		"bird is not running: dial unix "+host.Socket+": connect: connection refused",
	)
}

func TestBGPRealFRR(t *testing.T) {
	noLeaks(t)
	host, router := neighbor(t)
	dir, daemons := frrOf(t, host, map[string]string{"bgpd": `router bgp 65001
 no bgp ebgp-requires-policy
 neighbor 10.99.0.2 remote-as 65002
 neighbor fd99::2 remote-as 65003
 neighbor 10.99.0.3 remote-as 65004
 neighbor 10.99.0.3 shutdown
 address-family ipv6 unicast
  neighbor 10.99.0.2 activate
  neighbor fd99::2 activate
`})
	of := func(minimum int, neighbors ...string) *BGP {
		return &BGP{routingDaemon: routingDaemon{Daemon: "frr", Directory: dir}, Min: minimum, Neighbors: neighbors}
	}
	fitAtLast(t, of(1))
	fitAtLast(t, of(1, "10.99.0.2"))
	failsLike(t, of(2, "10.99.0.2", "fd99::2"),
		"bgpd, VRF default: 1 of 2 BGP sessions established, expected 2; not so: fd99::2 (..., was never established; last reset: ...)")
	failsLike(t, of(1, "10.99.0.3"), "bgpd, VRF default: 0 of 1 BGP sessions established, expected 1; not so: 10.99.0.3 (Idle (Admin), was never established; last reset: ...)")
	failsLike(t, of(1, "10.99.0.9"), "bgpd, VRF default: neighbors: there is no 10.99.0.9 (there are 10.99.0.2, 10.99.0.3, fd99::2)")
	other := of(1)
	other.VRF = "red"
	failsLike(t, other, "bgpd has no BGP instance in VRF red (there are default)")
	router.Stop()
	failsLike(t, of(1, "10.99.0.2"), "bgpd, VRF default: 0 of 1 BGP sessions established, expected 1; not so: 10.99.0.2 (... for ...s; last reset: Peer closed the session)")
	endsOf(
		t, of(1), daemons["bgpd"],
		`bgpd: "enable": context deadline exceeded`,
		"bgpd is not running (socket "+dir+"/bgpd.vty): dial unix "+dir+"/bgpd.vty: connect: connection refused",
	)
}
