package bird

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// examinesFresh looks a daemon over whose host has none of the addresses yet, and
// returns those of the findings that are named.
func examinesFresh(t *testing.T, e driver.Examiner, named ...string) []string {
	t.Helper()
	network := routeOf("203.0.113.0/24", driver.Announced)
	network.PrefixOnly = true
	want := stateOf(degradedRoute("192.0.2.53/32"), routeOf("2001:db8:53::53/128", driver.Announced), network)
	var out []string
	for _, f := range e.Examine(t.Context(), want) {
		if slices.Contains(named, f.Name) {
			out = append(out, f.Error())
		}
	}
	return out
}

// presence are the findings about a route that is there.
var presence = []string{"not-exported", "not-preferred", "import-check"}

// exportingBy is a session that exports so.
func exportingBy(filter string) string {
	return "protocol bgp up { local 10.99.0.1 as 65001; neighbor 10.99.0.2 as 65002; ipv4 { import all; export " + filter + "; }; }\n"
}

// BIRD lets nothing out, by its configuration. Whether a filter of the operator's
// would let pass what is not there yet, it does not tell.
func TestRealExamineFresh(t *testing.T) {
	r := newRealBIRD(t).host("")
	b := testDriver(r.Dir)
	defer b.Close()
	originatesNothing(t, b)
	drivertest.WriteFile(t, b.Snippet, renderRoutes(t, b))
	r.start()
	const cover = "protocol static cover { ipv4 { table keepcast4; }; route 203.0.113.0/24 blackhole; }\n"
	gate := "bird: announces nothing of what passes the gate: no BGP, OSPF, RIP or Babel protocol exports anything: " + b.exportFix()
	const origin = "bird 203.0.113.0/24: has no route in table keepcast4, so there is nothing that the gate could let pass: " +
		"add to bird.conf, below the include line: protocol static { ipv4 { table keepcast4; }; route 203.0.113.0/24 blackhole; }"
	for name, tc := range map[string]struct {
		conf string
		want []string
	}{
		"no session":            {birdStatics + cover, []string{gate}},
		"no network":            {birdStatics + exportingBy("filter keepcast_ebgp"), []string{origin}},
		"a session":             {birdStatics + cover + exportingBy("filter keepcast_ebgp"), nil},
		"one that exports none": {birdStatics + cover + exportingBy("none"), []string{gate}},
		"operator's own filter": {birdStatics + cover + exportingBy("where source = RTS_OSPF"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			r.Protocols(tc.conf)
			r.Say("configure")
			var got []string
			if !drivertest.WaitFor(func() bool {
				got = examinesFresh(t, b, append(presence, "include-missing", "gate-unused", "not-originated")...)
				return cmp.Equal(tc.want, got)
			}) {
				t.Errorf("(-want +got):\n%s", cmp.Diff(tc.want, got))
			}
		})
	}
	r.Config(birdStatics) // without the include
	r.Say("configure")
	want := []string{"bird: its configuration does not include keepcast's snippet: add the line 'include \"" + b.Snippet + "\";' to bird.conf, above its protocols, then run birdc configure"}
	if d := cmp.Diff(want, examinesFresh(t, b, append(presence, "include-missing", "gate-unused")...)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
