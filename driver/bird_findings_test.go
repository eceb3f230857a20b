package driver

import (
	"slices"
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
