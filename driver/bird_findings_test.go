package driver

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBIRDUnheard(t *testing.T) {
	sent := func(prefix string, to ...string) Route {
		r := birdRouteOf(prefix, Announced)
		r.ExportedTo = to
		return r
	}
	four, six := Neighbour{Name: "up4", IPv4: true, Up: true}, Neighbour{Name: "up6", IPv6: true, Up: true}
	down := Neighbour{Name: "dead", IPv4: true}
	const fix = ": name keepcast_ebgp, keepcast_ibgp or keepcast_igp in the export of the protocols that are to announce it, as the head of /var/lib/keepcast/bird.conf shows"
	for name, tc := range map[string]struct {
		routes     []Route
		neighbours []Neighbour
		want       []string
	}{
		"nothing announced": {nil, nil, nil},
		"sent":              {[]Route{sent("192.0.2.1/32", "up4")}, []Neighbour{four}, nil},
		"all are down":      {[]Route{sent("192.0.2.1/32")}, []Neighbour{down}, nil},
		"nobody": {
			[]Route{sent("192.0.2.1/32"), sent("2001:db8::1/128")},
			nil,
			[]string{"gate-unused: bird: announces nothing of what passes the gate: no BGP, OSPF, RIP or Babel protocol exports anything of its family" + fix},
		},
		"all filtered": {
			[]Route{sent("192.0.2.1/32"), sent("192.0.2.2/32")},
			[]Neighbour{four, down},
			[]string{"gate-unused: bird: announces nothing of what passes the gate: no export filter lets it pass: not to up4" + fix},
		},
		"one filtered": {
			[]Route{sent("192.0.2.1/32"), sent("192.0.2.2/32", "up4")},
			[]Neighbour{four, down},
			[]string{"not-exported: bird 192.0.2.1/32: is in BIRD, but no export filter lets it pass: not to up4" + fix},
		},
		"a family without neighbours, the other's are down": {
			[]Route{sent("192.0.2.1/32"), sent("2001:db8::1/128")},
			[]Neighbour{down},
			[]string{"not-exported: bird 2001:db8::1/128: is in BIRD, but no BGP, OSPF, RIP or Babel protocol exports anything of its family" + fix},
		},
		"a family without neighbours": {
			[]Route{sent("192.0.2.1/32"), sent("2001:db8::1/128", "up6")},
			[]Neighbour{six},
			[]string{"not-exported: bird 192.0.2.1/32: is in BIRD, but no BGP, OSPF, RIP or Babel protocol exports anything of its family" + fix},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := birdFindings(packagedBIRD().unheard(State{Routes: tc.routes, Neighbours: tc.neighbours}))
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// birdFindings is findings as text, sorted.
func birdFindings(all []Finding) []string {
	var out []string
	for _, f := range all {
		level := ""
		if f.Level != Breaks {
			level = " (" + string(f.Level) + ")"
		}
		out = append(out, f.Name+level+": "+f.Error())
	}
	slices.Sort(out)
	return out
}

func TestBIRDSilent(t *testing.T) {
	n := func(name string, up, off bool) birdNeighbour {
		return birdNeighbour{Neighbour: Neighbour{Name: name, IPv4: true, Up: up, Detail: "Idle"}, via: name, off: off}
	}
	const seeOne = "is down: Idle: see birdc show protocols all one, and the neighbour's side"
	for name, tc := range map[string]struct {
		routes     []Route
		neighbours []birdNeighbour
		want       []string
	}{
		"up":               {nil, []birdNeighbour{n("one", true, false)}, nil},
		"nothing to say":   {nil, []birdNeighbour{n("one", false, false)}, []string{"session-down (risks): bird neighbour one: " + seeOne}},
		"one of two":       {[]Route{birdRouteOf("192.0.2.1/32", Announced)}, []birdNeighbour{n("one", false, false), n("two", true, false)}, []string{"session-down (risks): bird neighbour one: " + seeOne}},
		"the only one":     {[]Route{birdRouteOf("192.0.2.1/32", Announced)}, []birdNeighbour{n("one", false, false)}, []string{"session-down: bird neighbour one: " + seeOne}},
		"of no such route": {[]Route{birdRouteOf("2001:db8::1/128", Announced)}, []birdNeighbour{n("one", false, false)}, []string{"session-down (risks): bird neighbour one: " + seeOne}},
		"disabled": {
			nil,
			[]birdNeighbour{n("one-4", false, true)},
			[]string{`session-down (note): bird neighbour one-4: is down: Idle: if that is not meant, run birdc 'enable "one-4"'`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := birdFindings(birdSilent(State{Routes: tc.routes, Neighbours: birdPlain(tc.neighbours)}, tc.neighbours))
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// A path that should be longer and is not matters where there is an eBGP neighbour.
func TestBIRDUnprepended(t *testing.T) {
	bgp := func(name, own, theirs, export string) birdProto {
		return birdProto{
			name: name, kind: "bgp", state: "start", details: map[string]string{"Local AS": own, "Neighbor AS": theirs},
			channels: []birdChannel{{family: "ipv4", export: export}},
		}
	}
	ebgp, ibgp, mute := bgp("e4", "65001", "65002", "keepcast_ebgp"), bgp("i4", "65001", "65001", "keepcast_ibgp"), bgp("m4", "65001", "65002", "REJECT")
	ospf := birdProto{name: "o4", kind: "ospf", state: "up", channels: []birdChannel{{"ipv4", "UP", "keepcast_igp"}}}
	plain, long := birdRouteOf("192.0.2.1/32", Announced), birdDegraded("192.0.2.2/32")
	gone := long
	gone.Presence = Delivered
	for name, tc := range map[string]struct {
		as        uint32
		routes    []Route
		protocols []birdProto
		found     bool
	}{
		"eBGP":              {0, []Route{plain, long}, []birdProto{ospf, ibgp, ebgp}, true},
		"as is set":         {65001, []Route{long}, []birdProto{ebgp}, false},
		"nothing prepended": {0, []Route{plain, gone}, []birdProto{ebgp}, false},
		"no eBGP":           {0, []Route{long}, []birdProto{ospf, ibgp}, false},
		"exports nothing":   {0, []Route{long}, []birdProto{mute}, false},
		"any AS":            {0, []Route{long}, []birdProto{bgp("d4", "65001", "", "keepcast_ebgp")}, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := packagedBIRD()
			b.AS, b.want = tc.as, birdRoutes(tc.routes...)
			var want []string
			if tc.found {
				want = []string{"prepend-unused (risks): bird: the path of 192.0.2.2/32 is not made longer towards e4, for the driver's setting as is 0: set for the driver in keepcast's configuration: as: 65001"}
			}
			if d := cmp.Diff(want, birdFindings(b.unprepended(tc.protocols))); d != "" {
				t.Error(d)
			}
		})
	}
}

// BIRD runs another snippet than is on disk only if it still does when asked again.
func TestBIRDStale(t *testing.T) {
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
					return birdHello
				}
				return tc.answer
			})
			b := testBIRD(filepath.Dir(c.socket))
			defer b.Close()
			b.state = "old" // when it was looked at before
			birdWrite(t, b.Snippet, `define keepcast_state = "new";`)
			found, err := b.stale(t.Context())
			for i := range tc.want {
				tc.want[i] = strings.ReplaceAll(tc.want[i], "SNIPPET", b.Snippet)
			}
			if d := cmp.Diff(tc.want, birdFindings(found)); d != "" || err != nil {
				t.Errorf("%s%v", d, err)
			}
		})
	}
}
