package frr

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// quaggaSaid returns what a daemon of Quagga 1.2.4 answered, word for word, with bgpd,
// ospfd and isisd beside one zebra, as quaggaConfs have them, and an FRR as the router.
func quaggaSaid(t *testing.T, name string) string {
	t.Helper()
	return frrSaid(t, "124", name)
}

// What real daemons answered, read. An operator with IS-IS was told for ever that he had
// no neighbor: Quagga indents its name by one space more than FRR does.
func TestQuaggaRecorded(t *testing.T) {
	table := func(daemon string) func(string) string {
		return func(text string) string {
			var out []string
			for _, p := range sortedPrefixes(quaggaDialect().spec(daemon).readOriginated(text)) {
				out = append(out, p.String())
			}
			return strings.Join(out, " ")
		}
	}
	path := func(text string) string {
		p := quaggaPath(text)
		return fmt.Sprint(p.to, p.own, p.valid, p.since.IsZero())
	}
	neighbors := func(daemon string) func(string) string {
		return func(text string) string {
			return strings.Join(frrShown(quaggaDialect().spec(daemon).readNeighbors(text)), "; ")
		}
	}
	peers := func(text string) string {
		var all []neighbor
		for _, p := range quaggaPeers(text) {
			all = append(all, p.neighbor())
		}
		return strings.Join(frrShown(all), "; ")
	}
	clients := func(text string) string {
		out := []string{}
		for name, c := range clientsOf(text) {
			out = append(out, fmt.Sprintf("%s %t, %d routes, after %s", name, c.connected, c.routes, c.since))
		}
		slices.Sort(out)
		return strings.Join(out, "; ")
	}
	interfaces := func(text string) string {
		var out []string
		for _, p := range sortedPrefixes(quaggaISISAddresses(text)) {
			out = append(out, p.String())
		}
		return strings.Join(out, " ")
	}
	for name, tc := range map[string]struct {
		read func(string) string
		want string
	}{
		"bgpd-neighbors.txt":        {peers, "10.99.0.2 IPv4 up; fd99::2 IPv6 up"},
		"bgpd-prefix.txt":           {path, "[10.99.0.2] true true false"},
		"bgpd-prefix6.txt":          {path, "[fd99::2] true true false"},
		"bgpd-prefix-stale.txt":     {path, "[10.99.0.2] true true false"}, // its address is gone
		"ospfd-neighbor.txt":        {neighbors("ospfd"), "ospf 10.99.0.2 on nh0 IPv4 up"},
		"ospfd-external.txt":        {table("ospfd"), frr4},
		"ospfd-external-stale.txt":  {table("ospfd"), frr4},
		"isisd-neighbor.txt":        {neighbors("isisd"), "isis vm on nh0 IPv4 IPv6 up"},
		"isisd-database.txt":        {table("isisd"), "10.99.0.0/30 192.0.2.53/32 2001:db8:53::53/128 fd99::/64"},
		"isisd-database-stale.txt":  {table("isisd"), "10.99.0.0/30 192.0.2.53/32 2001:db8:53::53/128 fd99::/64"},
		"isisd-interface.txt":       {interfaces, "10.99.0.0/30 192.0.2.53/32 2001:db8:53::53/128 fd99::/64 fe80::/64"},
		"isisd-interface-stale.txt": {interfaces, "10.99.0.0/30 192.0.2.53/32 2001:db8:53::53/128 fd99::/64 fe80::/64"},
		"zebra-clients.txt":         {clients, "bgp true, 8 routes, after 19s; isis true, 0 routes, after 19s; ospf true, 8 routes, after 19s"},
		"zebra-clients-none.txt":    {clients, ""},
		"zebra-clients-lost.txt":    {clients, "bgp true, 0 routes, after 1m29s; isis true, 0 routes, after 1m29s; ospf true, 0 routes, after 1m29s"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.read(quaggaSaid(t, name)); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

// What runs, as real daemons show it: the lines that lead to keepcast, and what ospfd shows
// of them once zebra was away.
func TestQuaggaRecordedRunning(t *testing.T) {
	for name, want := range map[string][]string{
		"bgpd-running.txt": {
			"router bgp 65001 / redistribute connected route-map KEEPCAST",
			"router bgp 65001 / address-family ipv6 unicast / redistribute connected route-map KEEPCAST6",
		},
		"ospfd-running.txt":      {"router ospf / redistribute connected route-map KEEPCAST"},
		"ospfd-running-lost.txt": nil,
		"isisd-running.txt":      nil,
		"zebra-running.txt":      nil,
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, l := range parseQuagga(quaggaSaid(t, name)).redistribute {
				got = append(got, strings.Join(append(slices.Clone(l.blocks), l.line), " / "))
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
	if isis := parseQuagga(quaggaSaid(t, "isisd-running.txt")).isis["anycast0"]; !slices.Equal(isis, []string{"ip", "ipv6"}) {
		t.Errorf("isisd speaks %q on anycast0", isis)
	}
}

// seedQuagga adds what real daemons answered to a fuzz test.
func seedQuagga(f *testing.F) {
	f.Helper()
	names, err := filepath.Glob("testdata/said/124-*")
	if err != nil || len(names) == 0 {
		f.Fatal("no recordings", err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
}

// FuzzQuaggaClients looks for a panic, and for a client without a name.
func FuzzQuaggaClients(f *testing.F) {
	seedQuagga(f)
	f.Fuzz(func(t *testing.T, text string) {
		for name, c := range clientsOf(text) {
			if name == "" || c.routes < 0 {
				t.Errorf("client %q: %+v", name, c)
			}
		}
		servedLines(text)
		quaggaISISAddresses(text)
	})
}
