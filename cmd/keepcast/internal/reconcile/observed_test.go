package reconcile

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/keepcast/keepcast/driver"
)

var (
	upstream = driver.Neighbor{Name: "upstream", IPv4: true, IPv6: true, Up: true}
	down     = driver.Neighbor{Name: "down", IPv4: true}
	only6    = driver.Neighbor{Name: "only6", IPv6: true, Up: true}
	customer = driver.Neighbor{Name: "customer", IPv4: true, Up: true, Elsewhere: map[netip.Prefix]bool{netip.MustParsePrefix(one): true}}
)

func exportedTo(r driver.Route, neighbors ...string) driver.Route {
	r.ExportedTo = neighbors
	return r
}

func TestObservedOf(t *testing.T) {
	slow := driver.Finding{Name: "timers", Level: driver.LevelWarning, Subject: "upstream"}
	closed := driver.Finding{Name: "export", Level: driver.LevelError, Subject: one}
	other := driver.Finding{Name: "export", Level: driver.LevelError, Subject: two}
	told := state(announced(one), delivered(two), announced(long))
	told.Neighbors, told.Findings = []driver.Neighbor{down}, []driver.Finding{slow, closed, slow, other}
	told.Held = []driver.Held{{Neighbor: "upstream"}}
	want := Observed{
		Routes:    map[netip.Prefix]driver.Route{netip.MustParsePrefix(one): announced(one), netip.MustParsePrefix(network): announced(long)},
		Neighbors: []driver.Neighbor{down}, Held: told.Held,
		Findings: []driver.Finding{closed, other, slow},
	}
	for name, tc := range map[string]struct {
		err   error
		whole bool
	}{
		"without an error":      {nil, true},
		"it does not run":       {fmt.Errorf("bird %w", driver.ErrNotRunning), true}, // it announces nothing
		"it could not be asked": {errors.New("i/o timeout"), false},
	} {
		t.Run(name, func(t *testing.T) {
			want := want
			want.Whole = tc.whole
			if diff := cmp.Diff(want, observedOf(told, tc.err), cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
				t.Error(diff)
			}
		})
	}
	if diff := cmp.Diff([]driver.Finding{slow, closed, slow, other}, told.Findings); diff != "" {
		t.Errorf("what the driver returned was changed: %s", diff)
	}
}

func TestTakers(t *testing.T) {
	o := Observed{Neighbors: []driver.Neighbor{upstream, down, only6, customer}}
	for prefix, want := range map[string][2]int{one: {2, 1}, two: {3, 2}, six: {2, 2}} {
		if all, up := o.Takers(netip.MustParsePrefix(prefix)); all != want[0] || up != want[1] {
			t.Errorf("%s: %d neighbors take it, %d are up, want %v", prefix, all, up, want)
		}
	}
}

func TestAgrees(t *testing.T) {
	for name, tc := range map[string]struct {
		observed  []driver.Route
		neighbors []driver.Neighbor
		desired   []driver.Route
		want      bool
	}{
		"nothing":                           {nil, nil, nil, true},
		"announced":                         {[]driver.Route{announced(one)}, nil, []driver.Route{announced(one), gone(two)}, true},
		"not announced":                     {nil, nil, []driver.Route{announced(one)}, false},
		"not all announced":                 {[]driver.Route{announced(two)}, nil, []driver.Route{announced(two), announced(one)}, false},
		"withdrawn":                         {nil, nil, []driver.Route{delivered(one)}, true},
		"not withdrawn":                     {[]driver.Route{announced(one)}, nil, []driver.Route{delivered(one)}, false},
		"somebody else's":                   {[]driver.Route{announced(two)}, nil, []driver.Route{gone(one)}, true},
		"an address with a length":          {[]driver.Route{announced(network)}, nil, []driver.Route{announced(long)}, true},
		"one of two of one prefix is there": {[]driver.Route{announced(network)}, nil, []driver.Route{announced(long), gone(longer)}, true},
		"exported":                          {[]driver.Route{exportedTo(announced(one), "upstream")}, []driver.Neighbor{upstream, down}, []driver.Route{announced(one)}, true},
		"not exported":                      {[]driver.Route{announced(one)}, []driver.Neighbor{upstream}, []driver.Route{announced(one)}, false},
		"not exported, desired absent":      {[]driver.Route{announced(two)}, []driver.Neighbor{upstream}, []driver.Route{gone(one)}, true},
		"no neighbor is up":                 {[]driver.Route{announced(one)}, []driver.Neighbor{down}, []driver.Route{announced(one)}, true},
		"no neighbor takes it":              {[]driver.Route{announced(one)}, []driver.Neighbor{only6, customer}, []driver.Route{announced(one)}, true},
	} {
		t.Run(name, func(t *testing.T) {
			o := observedOf(driver.State{Routes: tc.observed, Neighbors: tc.neighbors}, nil)
			if got := o.agrees(state(tc.desired...)); got != tc.want {
				t.Errorf("agrees is %t", got)
			}
		})
	}
}

// Only an address can be told of again, and only one that is to be announced.
func TestMissed(t *testing.T) {
	desired := state(announced(one), announced(two), announced(long), delivered(six), prefixOnly(announced("198.51.100.0/24")))
	got := observedOf(state(announced(two), announced(network)), nil).missed(desired)
	if diff := cmp.Diff([]driver.Route{announced(one)}, got, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Error(diff)
	}
}
