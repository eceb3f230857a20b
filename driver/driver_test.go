package driver_test

import (
	"encoding/binary"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStateAnnounced(t *testing.T) {
	for name, c := range map[string]struct {
		routes []driver.Route
		want   []string
	}{
		"none":                     {nil, nil},
		"only the announced":       {[]driver.Route{drivertest.Route(drivertest.V4, driver.Delivered), drivertest.Route(drivertest.V6, driver.Announced), drivertest.Route("192.0.2.1/32", driver.Absent)}, []string{drivertest.V6}},
		"sorted, IPv4 first":       {[]driver.Route{drivertest.Route(drivertest.V6, driver.Announced), drivertest.Route("198.51.100.9/32", driver.Announced), drivertest.Route(drivertest.V4, driver.Announced)}, []string{drivertest.V4, "198.51.100.9/32", drivertest.V6}},
		"a prefix once, the first": {[]driver.Route{drivertest.Route("203.0.113.2/24", driver.Announced), drivertest.Route("203.0.113.1/24", driver.Announced)}, []string{"203.0.113.2/24"}},
		"not the withdrawn of it":  {[]driver.Route{drivertest.Route("203.0.113.2/24", driver.Delivered), drivertest.Route("203.0.113.1/24", driver.Announced)}, []string{"203.0.113.1/24"}},
		"another length":           {[]driver.Route{drivertest.Route("203.0.113.0/25", driver.Announced), drivertest.Route("203.0.113.0/24", driver.Announced)}, []string{"203.0.113.0/24", "203.0.113.0/25"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, r := range (driver.State{Routes: c.routes}).Announced() {
				got = append(got, r.Prefix.String())
			}
			if d := cmp.Diff(c.want, got, cmpopts.EquateEmpty()); d != "" {
				t.Error(d)
			}
		})
	}
}

// Whatever the order it is written in, a state announces each prefix once, in
// order, and no other; and it is not changed by being asked.
func FuzzStateAnnounced(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 24, 2, 1, 2, 3, 5, 24, 2, 9, 9, 9, 9, 32, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		var s driver.State
		want := map[netip.Prefix]bool{}
		for ; len(data) >= 6; data = data[6:] {
			var a [4]byte
			binary.BigEndian.PutUint32(a[:], binary.BigEndian.Uint32(data))
			r := driver.Route{Prefix: netip.PrefixFrom(netip.AddrFrom4(a), int(data[4])%33), Presence: driver.Presence(data[5] % 3)}
			s.Routes = append(s.Routes, r)
			if r.Presence == driver.Announced {
				want[r.Prefix.Masked()] = true
			}
		}
		before := slices.Clone(s.Routes)
		got := s.Announced()
		if !reflect.DeepEqual(before, s.Routes) {
			t.Error("the state changed")
		}
		for i, r := range got {
			if !want[r.Prefix.Masked()] || i > 0 && got[i-1].Prefix.Masked().Compare(r.Prefix.Masked()) >= 0 {
				t.Errorf("wrong at %d: %v", i, got)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%d prefixes, want %d", len(got), len(want))
		}
	})
}
