package bird

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/bird/ctl"
)

func replyOf(t testing.TB, text string) ctl.Reply {
	t.Helper()
	r, err := ctl.ReadReply(bufio.NewReader(strings.NewReader(text)))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// What 2.x and 3.x really said about the same configuration.
func TestReadProtocols(t *testing.T) {
	ipv4 := func(state, export string) []channel { return []channel{{"ipv4", state, export}} }
	for _, version := range []string{"2.0.12", "3.4.0"} {
		t.Run(version, func(t *testing.T) {
			text, err := os.ReadFile("testdata/protocols-" + version + ".txt")
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]protocol{}
			for _, p := range readProtocols(replyOf(t, string(text))) {
				got[p.name] = p
			}
			for name, want := range map[string]protocol{
				"device1":        {kind: "device", state: "up"},
				"keepcast_pipe4": {kind: "pipe", state: "up", channels: []channel{{"main", "", ""}}},
				"up4":            {kind: "bgp", state: "up", channels: ipv4("UP", "keepcast_ebgp")},
				"nobody":         {kind: "bgp", state: "start", channels: ipv4("DOWN", "keepcast_ebgp")},
				"noexp":          {kind: "bgp", state: "start", channels: ipv4("DOWN", "REJECT")},
				"passv":          {kind: "bgp", state: "down", channels: ipv4("DOWN", "(unnamed)")},
				"os6":            {kind: "ospf", state: "up", channels: []channel{{"ipv6", "UP", "keepcast_igp"}}},
				"ba":             {kind: "babel", state: "up", channels: []channel{{"ipv4", "UP", "keepcast_igp"}, {"ipv6", "UP", "keepcast_igp"}}},
				"st":             {kind: "static", state: "up", channels: ipv4("UP", "REJECT")},
			} {
				p := got[name]
				p.details, want.name = nil, name
				if d := cmp.Diff(want, p, cmp.AllowUnexported(protocol{}, channel{})); d != "" {
					t.Errorf("%s: %s", name, d)
				}
			}
			for where, want := range map[[2]string]string{
				{"up4", "BGP state"}:                          "Established",
				{"up4", "Neighbor address"}:                   "10.99.0.2",
				{"up4", "Local capabilities Restart time"}:    "120",
				{"up4", "Neighbor capabilities Restart time"}: "",
				{"up4", "Session"}:                            "external AS4",
				{"gr", "Last error"}:                          "Socket: Connection refused",
				{"dyn", "Neighbor range"}:                     "10.77.0.0/24",
			} {
				if d := got[where[0]].details[where[1]]; d != want {
					t.Errorf("%s: %s is %q, want %q", where[0], where[1], d, want)
				}
			}
		})
	}
}

// The operator's time format may have blanks in it.
func TestReadProtocolsTime(t *testing.T) {
	got := readProtocols(replyOf(t, "2002-Name Proto Table State Since Info\n1002-up4        BGP        ---        up     2026-11-22 22:08:04 +0000  Established   \n0000 \n"))
	if len(got) != 1 || got[0].name != "up4" || got[0].kind != "bgp" || got[0].state != "up" {
		t.Errorf("%+v", got)
	}
}

func FuzzReadProtocols(f *testing.F) {
	files, err := filepath.Glob("testdata/protocols-*.txt")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add("1006-  x: y\n0000 \n")
	f.Add("1002-a b c d\n1006-  Channel ipv4\n     State:\n     Output filter: x\n0000 \n")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ctl.ReadReply(bufio.NewReader(strings.NewReader(text)))
		if err != nil {
			return
		}
		names := 0
		for _, p := range readProtocols(r) {
			names++
			if strings.ContainsAny(p.name+p.kind+p.state, " \t") || p.name == "" || p.exports("ipv4") && len(p.channels) == 0 {
				t.Errorf("%+v", p)
			}
		}
		if names > len(r.Lines) {
			t.Errorf("%d protocols of %d lines", names, len(r.Lines))
		}
	})
}

// lists are lists of neighbors as the versions gave them.
var lists = map[string]struct{ kind, list string }{
	"ospf": {"ospf", "1013-os4:\n Router ID   \tPri\t     State     \tDTime\tInterface  Router IP\n" +
		" 10.99.0.2   \t  1\tFull/PtP  \t 3.405\tnh0        10.99.1.2\n 10.99.0.3   \t  1\t2-Way/Other\t 3.405\tnh0        10.99.1.3\n 10.99.0.4   \t  1\tInit/Other\t 3.405\tnh0        10.99.1.4\n0000 \n"},
	"ospf, IPv6":    {"ospf", "1013-os4:\n Router ID   \tPri\t     State     \tDTime\tInterface  Router IP\n 10.99.0.2   \t  1\tFull/PtP  \t 3.237\tnh0        fe80::1\n0000 \n"},
	"ospf, nobody":  {"ospf", "1013-os4:\n Router ID   \tPri\t     State     \tDTime\tInterface  Router IP\n0000 \n"},
	"ospf, no more": {"ospf", "1013-os4: is not up\n0000 \n"},
	"ospf, gone":    {"ospf", "9001 syntax error, unexpected CF_SYM_UNDEFINED\n"},
	"rip":           {"rip", "1022-os4:\n IP address                Interface  Metric Routes    Seen\n fe80::1 nh0             1      0 177.947\n 10.99.0.2 nh1 1 0 1.0\n0000 \n"},
	"rip, nobody":   {"rip", "1022-os4:\n IP address                Interface  Metric Routes    Seen\n0000 \n"},
	"babel, 2.0.7":  {"babel", "1024-os4:\n IP address                Interface  Metric Routes Hellos Expires\n fe80::1 nh0            96      0     16   5.152\n0000 \n"},
	"babel, 3.4.0":  {"babel", "1024-os4:\n IP address                Interface  Metric Routes Hellos Expires Auth  RTT (ms)\n fe80::1 nh0         65535      0     16   3.565 No       0.670\n0000 \n"},
}

func TestNeighborsOfIGP(t *testing.T) {
	want := map[string][]string{
		"ospf":          {"os4 10.99.1.2 up", "os4 10.99.1.4 Init/Other"},
		"ospf, IPv6":    {"os4 fe80::1%nh0 up"},
		"ospf, nobody":  {"os4 no neighbor"},
		"ospf, no more": {"os4 no neighbor"},
		"ospf, gone":    {"os4 no neighbor"},
		"rip":           {"os4 fe80::1%nh0 up", "os4 10.99.0.2 up"},
		"rip, nobody":   {"os4 up no neighbor heard, RIP announces all the same"},
		"babel, 2.0.7":  {"os4 fe80::1%nh0 up"},
		"babel, 3.4.0":  {"os4 fe80::1%nh0 not heard"},
	}
	for name, tc := range lists {
		t.Run(name, func(t *testing.T) {
			var asked []string
			_, c := newFakeBIRD(t, func(_ int, command string) string {
				if command == "" {
					return hello
				}
				asked = append(asked, command)
				return tc.list
			})
			b := testDriver(filepath.Dir(c.Socket))
			p := protocol{name: "os4", kind: tc.kind, state: "up", channels: []channel{{"ipv4", "UP", "keepcast_igp"}}}
			all, err := b.neighbors(t.Context(), []protocol{p})
			b.Close()
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, n := range all {
				words := n.Name
				if n.Up {
					words += " up"
				}
				if n.Detail != "" {
					words += " " + n.Detail
				}
				if n.Protocol != tc.kind || !n.IPv4 || n.IPv6 || n.via != "os4" {
					t.Errorf("%+v", n)
				}
				got = append(got, words)
			}
			if d := cmp.Diff(want[name], got); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff([]string{"show " + tc.kind + " neighbors 'os4'"}, asked); d != "" {
				t.Error(d)
			}
		})
	}
}

func FuzzReadRows(f *testing.F) {
	for _, l := range lists {
		f.Add(l.list)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ctl.ReadReply(bufio.NewReader(strings.NewReader(text)))
		if err != nil {
			return
		}
		for _, row := range readRows(r) {
			for _, kind := range []string{"ospf", "rip", "babel"} {
				n, counts := neighbor{Neighbor: driver.Neighbor{Name: "p", Protocol: kind}}.row(row)
				if counts && (!strings.HasPrefix(n.Name, "p ") || n.Up && n.Detail != "") {
					t.Errorf("%q: %+v", row, n)
				}
			}
		}
	})
}

// Who counts as a neighbor among BIRD's protocols, and in what families.
func TestNeighbors(t *testing.T) {
	dual := []channel{{"ipv4", "UP", "keepcast_ebgp"}, {"ipv6", "DOWN", "keepcast_ebgp"}}
	open, shut := []channel{{"ipv4", "DOWN", "ACCEPT"}}, []channel{{"ipv4", "DOWN", "REJECT"}}
	details := func(state, err string) map[string]string {
		return map[string]string{"BGP state": state, "Last error": err}
	}
	for name, tc := range map[string]struct {
		p    protocol
		want []driver.Neighbor
	}{
		"established, one family not agreed": {protocol{"up", "bgp", "up", details("Established", "x"), dual}, []driver.Neighbor{{Name: "up", Protocol: "bgp", IPv4: true, IPv6: false, Up: true, Detail: ""}}},
		"not established, both families":     {protocol{"up", "bgp", "start", details("Active", "Socket: x"), dual}, []driver.Neighbor{{Name: "up", Protocol: "bgp", IPv4: true, IPv6: true, Up: false, Detail: "Active, Socket: x"}}},
		"idle":                               {protocol{"up", "bgp", "start", details("Idle", ""), open}, []driver.Neighbor{{Name: "up", Protocol: "bgp", IPv4: true, IPv6: false, Up: false, Detail: "Idle"}}},
		"disabled":                           {protocol{"up", "bgp", "down", details("Down", ""), open}, []driver.Neighbor{{Name: "up", Protocol: "bgp", IPv4: true, IPv6: false, Up: false, Detail: "disabled"}}},
		"ospf disabled":                      {protocol{"up", "ospf", "down", nil, open}, []driver.Neighbor{{Name: "up", Protocol: "ospf", IPv4: true, IPv6: false, Up: false, Detail: "disabled"}}},
		"exports nothing":                    {protocol{"up", "bgp", "start", details("Idle", ""), shut}, nil},
		"waits for whoever comes":            {protocol{"up", "bgp", "start", map[string]string{"Neighbor range": "10.0.0.0/8"}, open}, nil},
		"kernel":                             {protocol{"up", "kernel", "up", nil, []channel{{"ipv4", "UP", "ACCEPT"}}}, nil},
		"of another family":                  {protocol{"up", "bgp", "up", details("Established", ""), []channel{{"flow4", "UP", "ACCEPT"}}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			b := testDriver("/nowhere")
			got, err := b.neighbors(t.Context(), []protocol{tc.p})
			if d := cmp.Diff(tc.want, plainNeighbors(got)); err != nil || d != "" && len(got)+len(tc.want) > 0 {
				t.Errorf("%v %s", err, d)
			}
			if plainNeighbors(got) == nil {
				t.Error("nil would mean that BIRD does not tell")
			}
		})
	}
}
