package frr

import (
	"fmt"
	"strings"
	"testing"

	"github.com/keepcast/keepcast/driver"
)

// quaggaKin are lines by which FRR is set up as Quagga would be.
var quaggaKin = map[string]string{
	"bgpd": `router bgp 65001
 redistribute connected route-map KEEPCAST
 neighbor 10.99.0.2 route-map KEEPCAST-EBGP out
 address-family ipv6
  redistribute connected route-map KEEPCAST6
  neighbor fd99::2 route-map KEEPCAST6-EBGP out
`,
}

// There is no package of Quagga any more. FRR comes of it, takes the same commands
// and still shows most of the same text, so that it is a real daemon to try: what
// a router gets, and what the driver reads.
func TestQuaggaRealKin(t *testing.T) {
	r := newRealFRR(t, "bgpd", "ospfd")
	far := r.router("bgpd", "ospfd")
	for _, d := range []string{"bgpd", "ospfd"} {
		r.enter(d, frrQuick[d])
	}
	r.enter("bgpd", quaggaKin["bgpd"])
	q := testQuagga(r.dir, "bgpd", "ospfd")
	defer q.Close()
	tells := func(show func(driver.State) []string, want ...string) {
		t.Helper()
		diff := ""
		defer func() {
			if t.Failed() {
				t.Log("observed last: ", diff)
			}
		}()
		frrUntil(t, "observing "+strings.Join(want, ", "), func() bool {
			s, err := q.Observe(t.Context())
			got := strings.Join(show(s), "; ")
			diff = fmt.Sprint(got, s.Findings, err)
			return got == strings.Join(want, "; ") && err == nil
		})
	}
	router := func(what, daemon, question string, has ...string) {
		t.Helper()
		frrUntil(t, "the router: "+what, func() bool {
			text := strings.ReplaceAll(far.ask(daemon, question), `": `, `":`)
			for _, h := range has {
				if without, not := strings.CutPrefix(h, "!"); strings.Contains(text, without) == not {
					return false
				}
			}
			return true
		})
	}
	both := func(a driver.Attributes) []driver.Route {
		return []driver.Route{quaggaRouteOf(frr4, driver.Announced, a), quaggaRouteOf(frr6, driver.Announced, a)}
	}
	r.addr("add", frr4)
	r.addr("add", frr6+" nodad")
	quaggaApply(t, q, both(driver.Attributes{})...)
	tells(frrExports, frr4+": 10.99.0.2, ospf 10.99.0.2 on nh0", frr6+": fd99::2")
	tells(frrFindings)
	router("plain", "bgpd", "show bgp ipv4 unicast "+frr4+" json", `"string":"65001"`, `"metric":0`)

	quaggaApply(t, q, both(quaggaWorse)...)
	degraded := []string{`"string":"65001 65001 65001"`, `"metric":1000`, `65001:100`, `no-export`}
	router("degraded", "bgpd", "show bgp ipv4 unicast "+frr4+" json", degraded...)
	router("degraded, IPv6", "bgpd", "show bgp ipv6 unicast "+frr6+" json", degraded...)
	router("degraded, OSPF", "ospfd", "show ip ospf database external json", `"metric":20000`)
	quaggaApply(t, q, both(driver.Attributes{})...)
	router("plain again", "bgpd", "show bgp ipv4 unicast "+frr4+" json", `"string":"65001"`, `"metric":0`)

	// The address alone withdraws, and so does the gate alone.
	r.addr("del", frr4)
	router("withdrawn", "bgpd", "show bgp ipv4 unicast "+frr4+" json", "!65001")
	quaggaApply(t, q, quaggaRouteOf(frr4, driver.Delivered, driver.Attributes{}), quaggaRouteOf(frr6, driver.Delivered, driver.Attributes{}))
	router("withdrawn, IPv6", "bgpd", "show bgp ipv6 unicast "+frr6+" json", "!65001")
	tells(frrExports)
}
