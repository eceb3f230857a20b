package checks

import (
	"bufio"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/driver/bird/ctl"
	"github.com/keepcast/keepcast/driver/drivertest"
)

func TestBFDValidate(t *testing.T) {
	for name, tt := range map[string]struct {
		bfd BFD
		err string
	}{
		"bird":      {BFD{routingDaemon: routingDaemon{Daemon: "bird"}, Min: 4}, ""},
		"frr":       {BFD{routingDaemon: routingDaemon{Daemon: "frr"}, Peers: []string{"192.0.2.1", "fe80::1%eth0"}, Min: 1}, ""},
		"daemon":    {BFD{Min: 1}, `daemon: "" is neither bird nor frr`},
		"name":      {BFD{routingDaemon: routingDaemon{Daemon: "bird"}, Peers: []string{"192.0.2.1", "upstream1"}, Min: 1}, `peers[1]: "upstream1" is no address`},
		"twice":     {BFD{routingDaemon: routingDaemon{Daemon: "bird"}, Peers: []string{"192.0.2.1", "192.0.2.1"}, Min: 1}, "peers[1]: 192.0.2.1 is there twice"},
		"min, too":  {BFD{routingDaemon: routingDaemon{Daemon: "bird"}, Peers: []string{"192.0.2.1", "192.0.2.2"}, Min: 2}, "min: only without peers, all of which have to be up"},
		"directory": {BFD{routingDaemon: routingDaemon{Daemon: "bird", Directory: "/a"}, Min: 1}, "directory: only with daemon: frr (BIRD has one socket)"},
	} {
		t.Run(name, func(t *testing.T) { sameError(t, tt.bfd.Validate(), tt.err, "") })
	}
}

// birdBFD has the form of the reply of BIRD 2.0.12 to "show bfd sessions".
const birdBFD = `1020-bfd1:
 IP address                Interface  State      Since         Interval  Timeout
 10.5.0.2                  v0         Up         21:02:53.768    0.300    0.900
 10.5.0.9                  ---        Down       2026-11-27 21:02:52    1.000    0.000
 fe80::1                   v0         Init       21:02:53.768    1.000    0.000
0000 
`

func TestReadBIRDBFD(t *testing.T) {
	want := []string{"+10.5.0.2 (Up since 21:02:53.768)", "10.5.0.9 (Down since 2026-11-27 21:02:52)", "fe80::1%v0 (Init since 21:02:53.768)"}
	all := readBIRDBFD(birdReply(t, birdBFD))
	if d := cmp.Diff(want, words(all)); d != "" {
		t.Error(d)
	}
	for _, name := range []string{"fe80::1", "fe80::1%v0"} {
		if one, err := all.named("peers", []string{name}); err != nil || len(one) != 1 {
			t.Errorf("%s: %v, %v", name, one, err)
		}
	}
}

func FuzzReadBIRDBFD(f *testing.F) {
	f.Add(birdBFD)
	f.Add("1020-::1%a b Up\n0000 \n")
	f.Fuzz(func(t *testing.T, text string) {
		reply, err := ctl.ReadReply(bufio.NewReader(strings.NewReader(text)))
		if err != nil {
			return
		}
		for _, p := range readBIRDBFD(reply) {
			if p.label == "" || p.up != strings.HasPrefix(p.state, "Up ") {
				t.Errorf("%+v", p)
			}
		}
	})
}

// frrBFD is what bfdd of FRR 8.4 answered to "show bfd peers json", without what is not read.
const frrBFD = `[
  {"multihop":false,"peer":"10.5.0.2","local":"10.5.0.1","vrf":"default","interface":"v0","status":"up","uptime":65,"diagnostic":"control detection time expired"},
  {"multihop":true,"peer":"10.5.0.1","local":"10.5.0.3","vrf":"red","status":"down","downtime":20,"diagnostic":"control detection time expired"},
  {"peer":"fe80::1","vrf":"default","interface":"v0","status":"init","diagnostic":"ok"}
]`

func TestReadFRRBFD(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		want []string
		err  string
	}{
		"8.4": {frrBFD, []string{
			"10.5.0.1 (VRF red, down for 20s; control detection time expired)", "+10.5.0.2 (up for 1m5s)", "fe80::1%v0 (init for 0s)",
		}, ""},
		"none":    {"[]", nil, ""},
		"nothing": {"", nil, `bfdd does not answer with the JSON of FRR (unexpected end of JSON input): ""`},
		"object":  {"{}", nil, `bfdd does not answer with the JSON of FRR (json: cannot unmarshal object into Go value of type []checks.frrBFDPeer): "{}"`},
	} {
		t.Run(name, func(t *testing.T) {
			all, err := readFRRBFD(tt.text)
			sameError(t, err, tt.err, "")
			if d := cmp.Diff(tt.want, words(all)); d != "" {
				t.Error(d)
			}
		})
	}
}

func FuzzReadFRRBFD(f *testing.F) {
	f.Add(frrBFD)
	f.Add(`[{"peer":"x","interface":"%","status":"up","uptime":-9223372036854775808}]`)
	f.Fuzz(func(t *testing.T, text string) {
		all, _ := readFRRBFD(text)
		for _, p := range all {
			if len(p.names) == 0 || p.label != p.names[len(p.names)-1] {
				t.Errorf("%+v", p)
			}
		}
	})
}

func TestBFDOfFRR(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		bfd  BFD
		err  string
	}{
		"fit":       {frrBFD, BFD{Min: 1}, ""},
		"named":     {frrBFD, BFD{Min: 1, Peers: []string{"10.5.0.2"}}, ""},
		"all named": {frrBFD, BFD{Min: 1, Peers: []string{"10.5.0.2", "10.5.0.1"}}, "bfdd: 1 of 2 BFD sessions up, expected 2; not so: 10.5.0.1 (VRF red, down for 20s; control detection time expired)"},
		"too few":   {frrBFD, BFD{Min: 2}, "bfdd: 1 of 3 BFD sessions up, expected 2; not so: 10.5.0.1 (VRF red, down for 20s; control detection time expired), fe80::1%v0 (init for 0s)"},
		"unknown":   {frrBFD, BFD{Min: 1, Peers: []string{"10.5.0.7"}}, "bfdd: peers: there is no 10.5.0.7 (there are 10.5.0.1, 10.5.0.2, fe80::1%v0)"},
		"none":      {"[]", BFD{Min: 1}, "bfdd: there is no BFD session at all, expected 1 up"},
		"quagga":    {"% Unknown command", BFD{Min: 1}, `bfdd does not answer with the JSON of FRR (invalid character '%' looking for beginning of value): "% Unknown command"`},
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			dir, fake := fakeFRR(t, "bfdd", map[string]string{"show bfd peers json": tt.text + drivertest.VtyDone})
			tt.bfd.Daemon, tt.bfd.Directory = "frr", dir
			sameError(t, tt.bfd.Check(within(t)), tt.err, "")
			fake.Stop()
		})
	}
}

func TestBFDSeen(t *testing.T) {
	dir, _ := fakeFRR(t, "bfdd", map[string]string{"show bfd peers json": frrBFD + drivertest.VtyDone})
	sameSeen(t, &BFD{routingDaemon: routingDaemon{Daemon: "frr", Directory: dir}, Peers: []string{"10.5.0.2"}, Min: 1}, "connected: to "+dir+"/bfdd.vty", "session: 10.5.0.2 (up for 1m5s)")
}

func TestBFDRealBIRD(t *testing.T) {
	noLeaks(t)
	host, router := neighbor(t)
	host.Config("")
	host.Start()
	one := &BFD{routingDaemon: routingDaemon{Daemon: "bird", Socket: host.Socket}, Min: 1}
	failsLike(t, one, `bird refuses "show bfd sessions": There is no BFD protocol running (code 9001)`)
	const fast = "protocol bfd { interface \"*\" { interval 100 ms; idle tx interval 100 ms; }; %}\n"
	host.Config(strings.ReplaceAll(fast, "%", ""))
	host.Say("configure")
	failsLike(t, one, "bird: there is no BFD session at all, expected 1 up")
	host.Config("template bgp peer { connect delay time 1; error wait time 1, 2; bfd on; ipv4 { import all; export none; }; }\n" +
		"protocol bgp up from peer { local 10.99.0.1 as 65001; neighbor 10.99.0.2 as 65002; }\n" +
		strings.ReplaceAll(fast, "%", "neighbor 10.99.0.3 dev \"nh0\";"))
	host.Say("configure")
	fitAtLast(t, one)
	named := &BFD{routingDaemon: routingDaemon{Daemon: "bird", Socket: host.Socket}, Min: 1, Peers: []string{"10.99.0.2"}}
	fitAtLast(t, named)
	failsLike(t, &BFD{routingDaemon: routingDaemon{Daemon: "bird", Socket: host.Socket}, Min: 2}, "bird: 1 of 2 BFD sessions up, expected 2; not so: 10.99.0.3 (Down since ...)")
	failsLike(t, &BFD{routingDaemon: routingDaemon{Daemon: "bird", Socket: host.Socket}, Min: 1, Peers: []string{"10.99.0.9"}}, "bird: peers: there is no 10.99.0.9 (there are ...)")
	router.Stop()
	failsLike(t, one, "bird: 0 of ... BFD sessions up, expected 1; not so: ...")
	endsOf(
		t, one, birdProcess(host),
		`asking bird "restrict" on `+host.Socket+": context deadline exceeded",
		"bird is not running: dial unix "+host.Socket+": connect: connection refused",
	)
}

func TestBFDRealFRR(t *testing.T) {
	noLeaks(t)
	host, router := neighbor(t)
	dir, daemons := frrOf(t, host, map[string]string{
		"bgpd": "router bgp 65001\n no bgp ebgp-requires-policy\n neighbor 10.99.0.2 remote-as 65002\n neighbor 10.99.0.2 bfd\n",
		"bfdd": "bfd\n peer 10.99.0.3\n",
	})
	one := &BFD{routingDaemon: routingDaemon{Daemon: "frr", Directory: dir}, Min: 1}
	fitAtLast(t, one)
	fitAtLast(t, &BFD{routingDaemon: routingDaemon{Daemon: "frr", Directory: dir}, Min: 1, Peers: []string{"10.99.0.2"}})
	failsLike(t, &BFD{routingDaemon: routingDaemon{Daemon: "frr", Directory: dir}, Min: 2}, "bfdd: 1 of 2 BFD sessions up, expected 2; not so: 10.99.0.3 (down for ...s)")
	router.Stop()
	failsLike(t, one, "bfdd: 0 of 2 BFD sessions up, expected 1; not so: 10.99.0.2 (down for ...s; control detection time expired), 10.99.0.3 (down for ...s)")
	endsOf(
		t, one, daemons["bfdd"],
		`bfdd: "enable": context deadline exceeded`,
		"bfdd is not running (socket "+dir+"/bfdd.vty): dial unix "+dir+"/bfdd.vty: connect: connection refused",
	)
	failsLike(t, &BGP{routingDaemon: routingDaemon{Daemon: "frr", Directory: "/nonexistent"}, Min: 1}, "bgpd is not running (socket /nonexistent/bgpd.vty): dial unix /nonexistent/bgpd.vty: connect: no such file or directory")
}
