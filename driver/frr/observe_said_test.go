package frr

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// What is observed of daemons that say what real ones have said.
func TestFRRObserveSaid(t *testing.T) {
	const list = "route-map KEEPCAST permit 20\n match ip address prefix-list KEEPCAST\nexit\nip prefix-list KEEPCAST seq 5 permit 192.0.2.53/32\n"
	for name, tc := range map[string]struct {
		daemon            string
		says              map[string]string
		exports, findings []string
	}{
		"bgpd": {"bgpd", map[string]string{
			"show running-config":                      "router bgp 65001\n address-family ipv4 unicast\n  network 192.0.2.53/32 route-map KEEPCAST-ANNOUNCED\n",
			"show bgp ipv4 unicast 192.0.2.53/32 json": frrSaid(t, "84", "bgpd-prefix.json"),
			"show bgp neighbors json":                  frrSaid(t, "84", "bgpd-neighbors.json"),
		}, []string{frr4 + ": 10.99.6.2"}, []string{
			"warning session-down bgpd neighbor 10.99.0.2", "warning session-down bgpd neighbor 10.99.4.2",
			"warning session-down bgpd neighbor 10.99.5.2", "warning session-down bgpd neighbor 10.99.7.2",
		}},
		"bgpd, to nobody": {"bgpd", map[string]string{
			"show running-config":                      "router bgp 65001\n address-family ipv4 unicast\n  network 192.0.2.53/32 route-map KEEPCAST-ANNOUNCED\n",
			"show bgp ipv4 unicast 192.0.2.53/32 json": strings.Replace(frrSaid(t, "84", "bgpd-prefix.json"), "advertisedTo", "x", 1),
			"show bgp neighbors json":                  frrSaid(t, "84", "bgpd-neighbors.json"),
		}, []string{frr4 + ": "}, []string{
			"warning session-down bgpd neighbor 10.99.0.2", "warning session-down bgpd neighbor 10.99.4.2",
			"warning session-down bgpd neighbor 10.99.5.2", "warning session-down bgpd neighbor 10.99.7.2",
			"error not-exported bgpd " + frr4,
		}},
		"ospfd": {"ospfd", map[string]string{
			"show running-config":                                list + "router ospf\n redistribute connected route-map KEEPCAST\n",
			"show ip ospf database external self-originate json": `{"asExternalLinkStates":[{"lsaAge":6,"linkStateId":"192.0.2.53","networkMask":32}]}`,
			"show ip ospf neighbor json":                         `{"neighbors":{"1.1.1.1":[{"nbrState":"Full/DR","ifaceName":"nh0:10.0.0.1"}],"2.2.2.2":[{"nbrState":"Init/DROther","ifaceName":"nh0:10.0.0.1"}]}}`,
		}, []string{frr4 + ": ospf 1.1.1.1 on nh0"}, []string{"warning session-down ospfd neighbor ospf 2.2.2.2 on nh0"}},
		"ospfd, nobody there": {"ospfd", map[string]string{
			"show running-config":                                list + "router ospf\n redistribute connected route-map KEEPCAST\n",
			"show ip ospf database external self-originate json": `{"asExternalLinkStates":[{"lsaAge":6,"linkStateId":"192.0.2.53","networkMask":32}]}`,
		}, []string{frr4 + ": "}, []string{"error no-neighbor ospfd"}},
		"isisd, all down": {"isisd", map[string]string{
			"show running-config":       list + "router isis A\n redistribute ipv4 connected level-2 route-map KEEPCAST\n",
			"show isis neighbor detail": "Area A:\n r1                  \n    Interface: nh0, Level: 2, State: Initializing, Expires in 28s\n",
		}, nil, []string{"error session-down isisd neighbor isis r1 on nh0"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			drivertest.NewVtyServer(t, filepath.Join(dir, tc.daemon+".vty"), func(command string) string { return tc.says[command] + drivertest.VtyDone })
			f := testFRR(dir, tc.daemon)
			defer f.Close()
			f.asked = frrState(frrRouteOf(frr4, driver.Announced, false))
			seen, err := f.Observe(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.exports, frrExports(seen)); d != "" {
				t.Errorf("exports (-want +got):\n%s", d)
			}
			if d := cmp.Diff(tc.findings, frrFindings(seen)); d != "" {
				t.Errorf("findings (-want +got):\n%s", d)
			}
		})
	}
}

// A keepcast that is to stop in the midst of a write hears the daemon out, which
// would drop the rest of it.
func TestSuiteStopsAfterWrite(t *testing.T) {
	want := frrState(frrRouteOf(frr4, driver.Announced, false))
	for name, apply := range map[string]func(ctx context.Context, dir string) error{
		"frr":    func(ctx context.Context, dir string) error { return testFRR(dir, "ospfd").Apply(ctx, want) },
		"quagga": func(ctx context.Context, dir string) error { return testQuagga(dir, "ospfd").Apply(ctx, want) },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			dir := t.TempDir()
			drivertest.NewVtyServer(t, filepath.Join(dir, "ospfd.vty"), func(command string) string {
				if strings.HasPrefix(command, "ip prefix-list ") {
					cancel()
				}
				return drivertest.VtyDone
			})
			if err := apply(ctx, dir); !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "prefix-list") {
				t.Errorf("got %v", err)
			}
		})
	}
}
