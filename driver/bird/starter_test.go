package bird

import (
	"bufio"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/bird/ctl"
	"github.com/keepcast/keepcast/driver/drivertest"
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
	r, err := ctl.ReadReply(bufio.NewReader(strings.NewReader(allProtocols)))
	if err != nil {
		t.Fatal(err)
	}
	want := []routingProtocol{
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
	all, err := b.protocols(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []routingProtocol{{Name: "up4", Kind: "bgp", AS: 65001, NeighborAS: 65002}, {Name: "r4", Kind: "rip"}}
	if d := cmp.Diff(want, routingProtocols(all)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestFindStart(t *testing.T) {
	for name, tc := range map[string]struct {
		files     map[string]string
		listening []string
		want      start
	}{
		"nothing":              {nil, nil, start{Socket: "/run/bird/bird.ctl", Conf: "/etc/bird/bird.conf", Snippet: "/var/lib/keepcast/bird.conf"}},
		"bird at an odd place": {map[string]string{"etc/bird.conf": ""}, nil, start{Socket: "/run/bird/bird.ctl", Conf: "/etc/bird.conf", Snippet: "/var/lib/keepcast/bird.conf"}},
		"it listens, and does not tell": {nil, []string{"/run/bird.ctl", "/var/run/bird.ctl"}, start{
			Listens: "/run/bird.ctl", Socket: "/run/bird.ctl", Conf: "/etc/bird/bird.conf", Snippet: "/var/lib/keepcast/bird.conf",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(tc.want, findStart(t.Context(), drivertest.Root(t, tc.files), tc.listening)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestStarterLines(t *testing.T) {
	s := start{Protocols: []routingProtocol{
		{Name: "upstream", Kind: "bgp", AS: 65001, NeighborAS: 65002},
		{Name: "mirror", Kind: "bgp", AS: 65001, NeighborAS: 65001},
		{Name: "core", Kind: "ospf"},
	}}
	got, err := s.begin()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"  protocol bgp upstream (neighbor in AS 65002):  export filter keepcast_ebgp;\n",
		"  protocol bgp mirror (neighbor in AS 65001):  export filter keepcast_ibgp;\n",
		"  protocol ospf core:  export filter keepcast_igp;\n",
	} {
		if !strings.Contains(got.Lines, want) {
			t.Errorf("no %q in\n%s", want, got.Lines)
		}
	}
	if !strings.Contains(got.Settings, "\nas: 65001 #") {
		t.Errorf("no AS in\n%s", got.Settings)
	}
}

// The README shows the protocol that init prints.
func TestREADME(t *testing.T) {
	_, shown, ok := strings.Cut(drivertest.ReadFile(t, "../../README.md"), "\n    include \"/var/lib/keepcast/bird.conf\";\n")
	shown, _, closed := strings.Cut(shown, "\n    }\n")
	if !ok || !closed {
		t.Fatal("the README shows no lines for bird.conf")
	}
	got, err := start{Snippet: "/var/lib/keepcast/bird.conf"}.begin()
	if err != nil {
		t.Fatal(err)
	}
	shown = strings.ReplaceAll("\n"+shown, "\n    ", "\n") + "\n}\n"
	if !strings.Contains(got.Lines, shown) {
		t.Errorf("init does not print%s\nbut\n%s", shown, got.Lines)
	}
}

// The real bird reads the lines, with the snippet that the driver makes.
func TestStarterLinesAreAccepted(t *testing.T) {
	program, dir := drivertest.BIRDProgram(t), t.TempDir()
	b := testDriver(dir)
	text, err := b.Render(stateOf(routeOf(drivertest.V4, driver.Announced)))
	if err != nil {
		t.Fatal(err)
	}
	drivertest.WriteFile(t, b.Snippet, string(text))
	got, err := start{Snippet: b.Snippet, Conf: filepath.Join(dir, "bird.conf")}.begin()
	if err != nil {
		t.Fatal(err)
	}
	for what, tc := range map[string]struct {
		text string
		good bool
	}{
		"the lines":    {got.Lines, true},
		"broken lines": {strings.ReplaceAll(got.Lines, "keepcast_ebgp", "keepcast_nothing"), false},
	} {
		conf := filepath.Join(dir, "bird.conf")
		drivertest.WriteFile(t, conf, "router id 10.0.0.11;\nprotocol device {}\n"+tc.text)
		if out, err := exec.Command(program, "-p", "-c", conf).CombinedOutput(); (err == nil) != tc.good {
			t.Errorf("%s: %v: %s", what, err, out)
		}
	}
}
