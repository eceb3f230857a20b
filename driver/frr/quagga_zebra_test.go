package frr

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/driver"
)

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
	if d := cmp.Diff([]string{frr4 + ": 10.99.0.2"}, frrExports(observed(frr4))); d != "" {
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
	// ospfd does not show it for all that.
	lose()
	zebra.show(zebraClients, strings.ReplaceAll(quaggaSaid(t, "zebra-clients.txt"), "00:00:19", "00:00:00"))
	ospfd.taken()
	if got := findingsIn(q.Apply(t.Context(), want)); len(got) > 0 {
		t.Errorf("entered again, and found %q", frrFound(got))
	}
	seen, err := q.Observe(t.Context())
	if got := frrFound(seen.Findings); err != nil || slices.Contains(got, "error gate-unused ospfd KEEPCAST") {
		t.Errorf("entered again, and observed %q, %v", got, err)
	}
	if sent := ospfd.taken(); slices.Contains(sent, "router ospf") {
		t.Errorf("entered again, sent once more %q", sent)
	}

	ospfd.says(line)
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
