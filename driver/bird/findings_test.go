package bird

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

func TestUnheard(t *testing.T) {
	sent := func(prefix string, to ...string) driver.Route {
		r := routeOf(prefix, driver.Announced)
		r.ExportedTo = to
		return r
	}
	four, six := driver.Neighbor{Name: "up4", IPv4: true, Up: true}, driver.Neighbor{Name: "up6", IPv6: true, Up: true}
	down := driver.Neighbor{Name: "dead", IPv4: true}
	const fix = ": name keepcast_ebgp, keepcast_ibgp or keepcast_igp in the export of the protocols that are to announce it, as the head of /var/lib/keepcast/bird.conf shows"
	for name, tc := range map[string]struct {
		routes    []driver.Route
		neighbors []driver.Neighbor
		want      []string
	}{
		"nothing announced": {nil, nil, nil},
		"sent":              {[]driver.Route{sent("192.0.2.1/32", "up4")}, []driver.Neighbor{four}, nil},
		"all are down":      {[]driver.Route{sent("192.0.2.1/32")}, []driver.Neighbor{down}, nil},
		"nobody": {
			[]driver.Route{sent("192.0.2.1/32"), sent("2001:db8::1/128")},
			nil,
			[]string{"gate-unused: bird: announces nothing of what passes the gate: no BGP, OSPF, RIP or Babel protocol exports anything of its family" + fix},
		},
		"all filtered": {
			[]driver.Route{sent("192.0.2.1/32"), sent("192.0.2.2/32")},
			[]driver.Neighbor{four, down},
			[]string{"gate-unused: bird: announces nothing of what passes the gate: no export filter lets it pass: not to up4" + fix},
		},
		"one filtered": {
			[]driver.Route{sent("192.0.2.1/32"), sent("192.0.2.2/32", "up4")},
			[]driver.Neighbor{four, down},
			[]string{"not-exported: bird 192.0.2.1/32: is in BIRD, but no export filter lets it pass: not to up4" + fix},
		},
		"a family without neighbors, the other's are down": {
			[]driver.Route{sent("192.0.2.1/32"), sent("2001:db8::1/128")},
			[]driver.Neighbor{down},
			[]string{"not-exported: bird 2001:db8::1/128: is in BIRD, but no BGP, OSPF, RIP or Babel protocol exports anything of its family" + fix},
		},
		"a family without neighbors": {
			[]driver.Route{sent("192.0.2.1/32"), sent("2001:db8::1/128", "up6")},
			[]driver.Neighbor{six},
			[]string{"not-exported: bird 192.0.2.1/32: is in BIRD, but no BGP, OSPF, RIP or Babel protocol exports anything of its family" + fix},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := someFindings(packagedDriver().notExported(driver.State{Routes: tc.routes, Neighbors: tc.neighbors}))
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// someFindings is findings as text, sorted.
func someFindings(all []driver.Finding) []string {
	var out []string
	for _, f := range all {
		level := ""
		if f.Level != driver.LevelError {
			level = " (" + string(f.Level) + ")"
		}
		out = append(out, f.Name+level+": "+f.Error())
	}
	slices.Sort(out)
	return out
}

func TestSilent(t *testing.T) {
	n := func(name string, up, off bool) neighbor {
		return neighbor{Neighbor: driver.Neighbor{Name: name, IPv4: true, Up: up, Detail: "Idle"}, via: name, off: off}
	}
	const seeOne = "is down: Idle: see birdc show protocols all one, and the neighbor's side"
	for name, tc := range map[string]struct {
		routes    []driver.Route
		neighbors []neighbor
		want      []string
	}{
		"up":               {nil, []neighbor{n("one", true, false)}, nil},
		"nothing to say":   {nil, []neighbor{n("one", false, false)}, []string{"session-down: bird neighbor one: " + seeOne}},
		"one of two":       {[]driver.Route{routeOf("192.0.2.1/32", driver.Announced)}, []neighbor{n("one", false, false), n("two", true, false)}, []string{"session-down (warning): bird neighbor one: " + seeOne}},
		"the only one":     {[]driver.Route{routeOf("192.0.2.1/32", driver.Announced)}, []neighbor{n("one", false, false)}, []string{"session-down: bird neighbor one: " + seeOne}},
		"of no such route": {[]driver.Route{routeOf("2001:db8::1/128", driver.Announced)}, []neighbor{n("one", false, false)}, []string{"session-down: bird neighbor one: " + seeOne}},
		"the other is shut": {
			nil,
			[]neighbor{n("one", false, false), n("two", false, true)},
			[]string{"session-down (info): bird neighbor two: is down: Idle: if that is not meant, run birdc enable two", "session-down: bird neighbor one: " + seeOne},
		},
		"disabled": {
			nil,
			[]neighbor{n("one-4", false, true)},
			[]string{`session-down (info): bird neighbor one-4: is down: Idle: if that is not meant, run birdc 'enable "one-4"'`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := someFindings(sessionsDown(driver.State{Routes: tc.routes, Neighbors: plainNeighbors(tc.neighbors)}, tc.neighbors))
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// A path that should be longer and is not matters where there is an eBGP neighbor.
func TestUnprepended(t *testing.T) {
	bgp := func(name, own, theirs, export string) protocol {
		return protocol{
			name: name, kind: "bgp", state: "start", details: map[string]string{"Local AS": own, "Neighbor AS": theirs},
			channels: []channel{{family: "ipv4", export: export}},
		}
	}
	ebgp, ibgp, mute := bgp("e4", "65001", "65002", "keepcast_ebgp"), bgp("i4", "65001", "65001", "keepcast_ibgp"), bgp("m4", "65001", "65002", "REJECT")
	ospf := protocol{name: "o4", kind: "ospf", state: "up", channels: []channel{{"ipv4", "UP", "keepcast_igp"}}}
	plain, long := routeOf("192.0.2.1/32", driver.Announced), degradedRoute("192.0.2.2/32")
	gone := long
	gone.Presence = driver.Delivered
	for name, tc := range map[string]struct {
		as        uint32
		routes    []driver.Route
		protocols []protocol
		found     bool
	}{
		"eBGP":              {0, []driver.Route{plain, long}, []protocol{ospf, ibgp, ebgp}, true},
		"as is set":         {65001, []driver.Route{long}, []protocol{ebgp}, false},
		"nothing prepended": {0, []driver.Route{plain, gone}, []protocol{ebgp}, false},
		"no eBGP":           {0, []driver.Route{long}, []protocol{ospf, ibgp}, false},
		"exports nothing":   {0, []driver.Route{long}, []protocol{mute}, false},
		"any AS":            {0, []driver.Route{long}, []protocol{bgp("d4", "65001", "", "keepcast_ebgp")}, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := packagedDriver()
			b.AS, b.desired = tc.as, stateOf(tc.routes...)
			var want []string
			if tc.found {
				want = []string{"prepend-unused (warning): bird: the path of 192.0.2.2/32 is not made longer towards e4, for the driver's setting as is 0: set for the driver in keepcast's configuration: as: 65001"}
			}
			if d := cmp.Diff(want, someFindings(b.unprepended(tc.protocols))); d != "" {
				t.Error(d)
			}
		})
	}
}

// BIRD runs another snippet than is on disk only if it still does when asked again.
func TestStale(t *testing.T) {
	for name, tc := range map[string]struct {
		answer string
		want   []string
	}{
		"the same":    {"0023 new\n", nil},
		"another":     {"0023 old\n", []string{`snippet-differs: bird: runs another snippet (keepcast_state "old") than is in SNIPPET: correct the include line in bird.conf if it names another file, then run birdc configure`}},
		"none at all": {"9001 syntax error, unexpected CF_SYM_UNDEFINED\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, c := newFakeBIRD(t, func(_ int, command string) string {
				if command == "" {
					return hello
				}
				return tc.answer
			})
			b := testDriver(filepath.Dir(c.Socket))
			defer b.Close()
			b.state = "old" // when it was looked at before
			drivertest.WriteFile(t, b.Snippet, `define keepcast_state = "new";`)
			found, err := b.stale(t.Context())
			for i := range tc.want {
				tc.want[i] = strings.ReplaceAll(tc.want[i], "SNIPPET", b.Snippet)
			}
			if d := cmp.Diff(tc.want, someFindings(found)); d != "" || err != nil {
				t.Errorf("%s%v", d, err)
			}
		})
	}
}
