package frr

import (
	"net/netip"
	"testing"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// A default route could not be gated: it was refused as "0.0.0.1/0". With real daemons,
// bgpd announces one, and ospfd never does, though the list permits it.
func TestFRRRealDefaultRoute(t *testing.T) {
	r := newRealFRR(t, suiteDaemons...)
	r.enter("ospfd", frrKernel)
	all := []driver.Route{}
	for _, p := range []string{"0.0.0.0/0", "::/0", "198.51.100.0/24"} {
		frrRun(t, "ip route add blackhole "+p)
		all = append(all, frrPrefixOnly(p, driver.Announced))
	}
	f := testFRR(r.dir, suiteDaemons...)
	defer f.Close()
	frrApply(t, f, all...)
	has := func(table map[netip.Prefix]uint32, p string) bool {
		_, there := table[netip.MustParsePrefix(p)]
		return there
	}
	frrUntil(t, "bgpd announces both, and ospfd the /24", func() bool {
		bgp := r.bgpTable()
		return has(bgp, "0.0.0.0/0") && has(bgp, "::/0") && has(r.ospfTable(), "198.51.100.0/24")
	})
	if has(r.ospfTable(), "0.0.0.0/0") {
		t.Error("ospfd announces the default route: Refuses is wrong")
	}
	frrApply(t, f)
	if bgp := r.bgpTable(); has(bgp, "0.0.0.0/0") || has(bgp, "::/0") {
		t.Errorf("withdrawn, but bgpd has %v", bgp)
	}
}

func TestRefuses(t *testing.T) {
	const ends = " never redistributes a default route: have bgpd of FRR or BIRD announce it, and name that driver in drivers"
	for _, tt := range []struct {
		d      driver.Limited
		prefix string
		want   string
	}{
		{testFRR("/d", "bgpd"), "0.0.0.0/0", ""},
		{testFRR("/d", "bgpd"), "::/0", ""},
		{testFRR("/d", "bgpd", "ospfd"), "0.0.0.0/0", "ospfd" + ends},
		{testFRR("/d", "bgpd", "ospfd"), "::/0", ""}, // none of ospfd's family
		{testFRR("/d", "bgpd", "ospf6d"), "::/0", "ospf6d" + ends},
		{testFRR("/d", "isisd"), "::/0", "isisd" + ends},
		{testFRR("/d", "ripd"), "0.0.0.0/0", "ripd" + ends},
		{testFRR("/d", "isisd"), "0.0.0.0/1", ""},
		{testQuagga("/d", "bgpd"), "0.0.0.0/0", "bgpd" + ends},
		{testQuagga("/d", "isisd"), "0.0.0.0/0", "isisd" + ends},
		{testQuagga("/d", "bgpd"), "198.51.100.0/24", ""},
	} {
		if got := drivertest.ErrText(tt.d.Refuses(netip.MustParsePrefix(tt.prefix))); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.prefix, got, tt.want)
		}
	}
}
