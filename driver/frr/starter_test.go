package frr

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

func TestFRRStart(t *testing.T) {
	usual := start{Conf: "/etc/frr/frr.conf", Snippet: "/var/lib/keepcast/frr.conf", Directory: "/run/frr", Daemons: []string{"bgpd"}}
	with := func(change func(*start)) start {
		s := usual
		change(&s)
		return s
	}
	for name, tc := range map[string]struct {
		enabled   string // in /etc/frr/daemons
		listening string
		want      start
	}{
		"it is new": {"", "", usual},
		"it runs": {"", "/run/frr/isisd.vty /run/frr/ospfd.vty /run/frr/zebra.vty", with(func(s *start) {
			s.Listens, s.Daemons = "/run/frr/isisd.vty", []string{"isisd", "ospfd"}
		})},
		"only zebra runs": {"", "/run/frr/zebra.vty", usual},
		"it runs in pathspaces": {"", "/run/frr/zebra.vty /run/frr/east/bgpd.vty /run/frr/east/ospfd.vty /run/frr/east/zebra.vty /run/frr/west/isisd.vty", with(func(s *start) {
			s.Listens, s.Directory, s.Conf, s.Daemons = "/run/frr/east/bgpd.vty", "/run/frr/east", "/etc/frr/east/frr.conf", []string{"bgpd", "ospfd"}
		})},
		"it runs, and one in a pathspace": {"", "/run/frr/bgpd.vty /run/frr/east/ospfd.vty", with(func(s *start) { s.Listens = "/run/frr/bgpd.vty" })},
		"it is enabled": {"bgpd=no\nospfd=yes\n#isisd=yes\nospf6d=\"yes\"\nvtysh_enable=yes\n", "", with(func(s *start) {
			s.Daemons = []string{"ospfd", "ospf6d"}
		})},
	} {
		t.Run(name, func(t *testing.T) {
			root := drivertest.Root(t, map[string]string{"etc/frr/daemons": tc.enabled})
			if d := cmp.Diff(tc.want, frrStart(root, strings.Fields(tc.listening))); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// starts are what to begin with, by the name of the variant.
func starts(t *testing.T) map[string]driver.Start {
	t.Helper()
	all, quaggaAll := frrStart("/nonexistent", nil), quaggaStart("/nonexistent", nil)
	all.Daemons, quaggaAll.Daemons = frrDialect().names(), quaggaDialect().names()
	space := frrStart("/nonexistent", nil)
	space.Directory = "/run/frr/east"
	out := map[string]driver.Start{}
	for name, begin := range map[string]func() (driver.Start, error){
		"frr with all daemons":    func() (driver.Start, error) { return all.begin(frrLines) },
		"frr in a pathspace":      func() (driver.Start, error) { return space.begin(frrLines) },
		"quagga":                  func() (driver.Start, error) { return quaggaStart("/nonexistent", nil).begin(quaggaLines) },
		"quagga with all daemons": func() (driver.Start, error) { return quaggaAll.begin(quaggaLines) },
	} {
		s, err := begin()
		if err != nil {
			t.Fatal(err)
		}
		out[name] = s
	}
	return out
}

// Lines without which IPv6 is not announced, or doctor has something to say at once.
func TestStarterLines(t *testing.T) {
	for name, wants := range map[string][]string{
		"frr with all daemons": {
			` by "vtysh", `,
			"\n address-family ipv6 unicast\n  neighbor fd00::1 activate\n  neighbor fd00::1 route-map KEEPCAST-EBGP out\n",
			"\nrouter ospf\n ospf router-id 10.0.0.11\n redistribute connected route-map KEEPCAST\n timers throttle lsa all 0\n timers throttle spf 0 50 500\n",
			"\nrouter ospf6\n ospf6 router-id 10.0.0.11\n redistribute connected route-map KEEPCAST6\n timers throttle spf 0 50 500\n",
		},
		"frr in a pathspace": {` by "vtysh -N east", `},
		"quagga with all daemons": {
			"\n address-family ipv6\n  redistribute connected route-map KEEPCAST6\n  neighbor fd00::1 activate\n  neighbor fd00::1 route-map KEEPCAST6-EBGP out\n",
			"\n timers throttle spf 0 50 500\n",
			"\nrouter-id 10.0.0.11\n",                              // or isisd floods the anycast address as its own
			"\nrouter isis CORE\n net 49.0001.0100.0000.0011.00\n", // without which isisd speaks to nobody
		},
	} {
		lines := starts(t)[name].Lines
		for _, want := range wants {
			if !strings.Contains(lines, want) {
				t.Errorf("%s: no %q in\n%s", name, want, lines)
			}
		}
	}
	if text := starts(t)["quagga"].Settings; !strings.Contains(text, "\n# as: 65001 #") {
		t.Errorf("no AS in\n%s", text)
	}
}

// The real vtysh reads the lines for every daemon.
func TestStarterLinesAreAccepted(t *testing.T) {
	program, lines := drivertest.Program(t, "vtysh"), starts(t)["frr with all daemons"].Lines
	for what, tc := range map[string]struct {
		text string
		good bool
	}{
		"the lines":    {lines, true},
		"broken lines": {strings.ReplaceAll(lines, "fd00::1 activate", "fd00::1 activated"), false},
	} {
		path := filepath.Join(t.TempDir(), "frr.conf")
		drivertest.WriteFile(t, path, tc.text)
		if out, err := exec.Command(program, "-C", "-f", path).CombinedOutput(); (err == nil) != tc.good {
			t.Errorf("%s: %v: %s\n%s", what, err, out, tc.text)
		}
	}
}
