package frr

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/driver"
)

// What doctor says, of a daemon that runs and of those that do not.
func TestQuaggaExamine(t *testing.T) {
	dir := t.TempDir()
	newFakeQuagga(t, dir, "zebra", "")
	bgpd := newFakeQuagga(t, dir, "bgpd", "router bgp 65001", "redistribute connected", "neighbor 10.0.0.1 remote-as 65002")
	bgpd.show("show version", "Quagga 1.2.4 (host).\nCopyright 1996-2005 Kunihiro Ishiguro, et al.\n")
	bgpd.show("show ip bgp summary", "BGP router identifier 192.0.2.53, local AS number 65001\nRIB entries 3\n")
	bgpd.show("show ip bgp neighbors", quaggaNeighbors)
	isisd := newFakeQuagga(t, dir, "isisd", "router isis A", "redistribute ipv4 connected level-2 route-map KEEPCAST")
	isisd.blocks["interface anycast0"] = []string{"ip router isis A"}
	isisd.show("show version", "Quagga 0.99.24.1 (host).\n")
	q := testQuagga(dir, "bgpd", "isisd", "ospfd")
	defer q.Close()
	got := frrFound(q.Examine(t.Context(), frrState(quaggaRouteOf(frr4, driver.Announced, driver.Attributes{}))))
	want := []string{
		"warning session-down bgpd neighbor 10.0.0.2", "info session-down bgpd neighbor 10.0.0.3", "error gate-unused bgpd KEEPCAST",
		"error router-id bgpd", "warning redistribute-unfiltered bgpd redistribute connected",
		"warning advertisement-interval bgpd neighbor 10.0.0.1", "warning no-bfd bgpd neighbor 10.0.0.1", "warning advertisement-interval bgpd neighbor fd99::2",
		"error no-neighbor isisd", "info version-untested isisd", "warning isis-lsp-interval isisd",
		"error isis-redistribute isisd redistribute ipv4 connected level-2 route-map KEEPCAST", "info isis-active isisd anycast0",
		"error daemon-down ospfd",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if sent := slices.Concat(bgpd.taken(), isisd.taken()); len(sent) > 0 {
		t.Errorf("an examination sent %q", sent)
	}
}

// show sets the answer to a question.
func (f *fakeQuagga) show(question, answer string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.shown[question] = answer
}

// says adds a line to the daemon's router block.
func (f *fakeQuagga) says(line string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.blocks[f.router] = append(f.blocks[f.router], line)
}
