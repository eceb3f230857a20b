package frr

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/driver"
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
		now, out := time.Now(), []string{}
		for name, l := range quaggaClients(text, now) {
			out = append(out, fmt.Sprintf("%s %t, %d routes, after %s", name, l.up, l.sent, now.Sub(l.since)))
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
		for name, l := range quaggaClients(text, time.Now()) {
			if name == "" || l.sent < 0 {
				t.Errorf("client %q: %+v", name, l)
			}
		}
		servedLines(text)
		quaggaISISAddresses(text)
	})
}

// away has zebra of the fakes say something else of its clients.
func away(t *testing.T, zebra *fakeQuagga, said string) {
	t.Helper()
	zebra.show(zebraClients, quaggaSaid(t, said))
}

// bgpd of an operator whose zebra had restarted lost every withdrawal from then on, and
// nobody was told: its lines are entered anew at once, as one write in the only order in
// which zebra sends both families again.
func TestQuaggaZebraRestarted(t *testing.T) {
	dir := t.TempDir()
	zebra := newFakeQuagga(t, dir, "zebra", "")
	bgpd := newFakeQuagga(t, dir, "bgpd", "router bgp 65001", quaggaBGPd...)
	bgpd.family6 = []string{"redistribute connected route-map KEEPCAST6", "neighbor fd99::2 activate"}
	q := testQuagga(dir, "bgpd")
	defer q.Close()
	want := []driver.Route{quaggaRouteOf(frr4, driver.Announced, driver.Attributes{}), quaggaRouteOf(frr6, driver.Announced, driver.Attributes{})}
	quaggaApply(t, q, want...)
	bgpd.taken()

	away(t, zebra, "zebra-clients-none.txt")
	found := findingsIn(q.Apply(t.Context(), frrState(want...)))
	if got := frrFound(found); !slices.Equal(got, []string{"error zebra-away bgpd"}) {
		t.Errorf("found %q", got)
	}
	if sent := bgpd.taken(); len(sent) > 0 {
		t.Errorf("without zebra it would lose all that it has: sent %q", sent)
	}
	seen, err := q.Observe(t.Context())
	if got := frrFound(seen.Findings); err != nil || !slices.Contains(got, "error zebra-away bgpd") {
		t.Errorf("observed %q, %v", got, err)
	}

	away(t, zebra, "zebra-clients-lost.txt")
	quaggaApply(t, q, want...)
	sequence := []string{
		"configure terminal", "router bgp 65001",
		"address-family ipv6", "no redistribute connected", "exit-address-family",
		"redistribute connected route-map KEEPCAST", "no redistribute connected",
		"address-family ipv6", "redistribute connected route-map KEEPCAST6", "exit-address-family",
		"redistribute connected route-map KEEPCAST",
	}
	if d := cmp.Diff(sequence, bgpd.taken()); d != "" {
		t.Errorf("(-want +sent):\n%s", d)
	}
	away(t, zebra, "zebra-clients.txt")
	quaggaApply(t, q, want...)
	if sent := bgpd.taken(); len(sent) > 0 {
		t.Errorf("all is well, sent %q", sent)
	}
}

// What bgpd goes on announcing, though the lists no longer permit it, was not asked for:
// status said withdrawn while the network still sent its packets here.
func TestQuaggaKept(t *testing.T) {
	dir := t.TempDir()
	zebra := newFakeQuagga(t, dir, "zebra", "")
	bgpd := newFakeQuagga(t, dir, "bgpd", "router bgp 65001", quaggaBGPd...)
	isisd := newFakeQuagga(t, dir, "isisd", "router isis A")
	isisd.blocks["interface anycast0"] = []string{"ip router isis A", "ipv6 router isis A", "isis passive"}
	q := testQuagga(dir, "bgpd", "isisd")
	defer q.Close()
	quaggaApply(t, q, quaggaRouteOf(frr4, driver.Delivered, driver.Attributes{}), quaggaRouteOf(frr6, driver.Absent, driver.Attributes{}))
	bgpd.taken()
	observed := func(recall ...string) driver.State {
		t.Helper()
		s, err := q.Observe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range s.Recall {
			got = append(got, p.String())
		}
		if d := cmp.Diff(recall, got); d != "" {
			t.Errorf("recall (-want +got):\n%s", d)
		}
		return s
	}
	if s := observed(); len(s.Routes) > 0 {
		t.Errorf("observed %v", s.Routes)
	}
	bgpd.show("show ip bgp "+frr4, quaggaSaid(t, "bgpd-prefix-stale.txt"))
	if d := cmp.Diff([]string{frr4 + ": 10.99.0.2"}, frrExports(observed())); d != "" {
		t.Errorf("bgpd keeps it (-want +got):\n%s", d)
	}
	quaggaApply(t, q, quaggaRouteOf(frr4, driver.Delivered, driver.Attributes{}), quaggaRouteOf(frr6, driver.Absent, driver.Attributes{}))
	if sent := bgpd.taken(); !slices.Contains(sent, "no redistribute connected") || !slices.Contains(sent, "clear ip bgp * soft out") {
		t.Errorf("bgpd keeps it, sent %q", sent)
	}

	bgpd.show("show ip bgp "+frr4, "% Network not in table")
	isisd.show("show isis database detail", quaggaSaid(t, "isisd-database-stale.txt"))
	isisd.show("show isis interface detail", quaggaSaid(t, "isisd-interface-stale.txt"))
	for _, d := range q.daemons() { // as if it had been seen first some time ago
		observed(frr4, frr6)
		for p, since := range d.kept {
			d.kept[p] = since.Add(-keptGrace)
		}
	}
	got := slices.DeleteFunc(frrFound(observed(frr4, frr6).Findings), func(f string) bool { return !strings.Contains(f, "still-announced") })
	if d := cmp.Diff([]string{"error still-announced isisd " + frr4, "error still-announced isisd " + frr6}, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	away(t, zebra, "zebra-clients-none.txt") // it would be in vain
	observed()
}

// ospfd forgets the operator's redistribute line when its connection to zebra ends. From
// then on nothing was announced or withdrawn until somebody entered it again. A line that
// the operator takes away stays away.
func TestQuaggaLineLost(t *testing.T) {
	dir := t.TempDir()
	zebra := newFakeQuagga(t, dir, "zebra", "")
	line := "redistribute connected route-map KEEPCAST"
	ospfd := newFakeQuagga(t, dir, "ospfd", "router ospf", line)
	q := testQuagga(dir, "ospfd")
	defer q.Close()
	want := frrState(quaggaRouteOf(frr4, driver.Announced, driver.Attributes{}))
	quaggaApply(t, q, want.Routes...)
	lose := func() {
		ospfd.mu.Lock()
		defer ospfd.mu.Unlock()
		ospfd.blocks["router ospf"] = nil
	}
	ospfd.taken()
	lose()
	zebra.show(zebraClients, strings.ReplaceAll(quaggaSaid(t, "zebra-clients-lost.txt"), "00:01:29", "00:00:00"))
	quaggaApply(t, q, want.Routes...)
	if sent := ospfd.taken(); !slices.Contains(sent, line) {
		t.Errorf("lost, sent %q", sent)
	}
	away(t, zebra, "zebra-clients.txt") // connected all the while
	quaggaApply(t, q, want.Routes...)
	ospfd.taken()
	lose()
	for range 2 {
		if got := frrFound(findingsIn(q.Apply(t.Context(), want))); !slices.Equal(got, []string{"error gate-unused ospfd KEEPCAST"}) {
			t.Errorf("found %q", got)
		}
	}
	if sent := ospfd.taken(); len(sent) > 0 {
		t.Errorf("taken away, sent %q", sent)
	}
}
