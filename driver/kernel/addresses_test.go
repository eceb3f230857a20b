package kernel

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// A local delivery route that was left behind, or an address on some other interface, counted
// as an address of the host: nobody was told that it was missing.
func TestAddresses(t *testing.T) {
	s := newSpace(t)
	k := s.kernel()
	apply(t, k, drivertest.Route(drivertest.V4, driver.Delivered), drivertest.Route(drivertest.V6, driver.Delivered))
	s.ip("link add any1 type ifb")
	s.ip("link set any1 up")
	s.ip("addr add 192.0.2.54/24 dev any1")
	s.ip("addr add 2001:db8::54/64 dev any1 nodad")
	s.ip("link add any2 type ifb") // which is down
	s.ip("addr add 192.0.2.55/32 dev any2")
	if err := k.Local(drivertest.Route(drivertest.V4, driver.Delivered).Prefix.Addr()); err != nil {
		t.Error(err) // a check may ask it: it is served here
	}
	has := func(want ...string) {
		t.Helper()
		all, err := k.Addresses()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range all {
			if r.Presence != driver.Announced {
				t.Errorf("%s is %s", r.Prefix, r.Presence)
			}
			if !r.Prefix.Addr().IsLinkLocalUnicast() {
				got = append(got, r.Interface+" "+r.Prefix.String())
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("addresses (-want +got):\n%s", diff)
		}
	}
	has("lo 127.0.0.1/8", "any1 192.0.2.54/24", "lo ::1/128", "any1 2001:db8::54/64")
	apply(t, k, drivertest.Route(drivertest.V4, driver.Announced))
	has("lo 127.0.0.1/8", "any1 192.0.2.54/24", "any0 "+drivertest.V4, "lo ::1/128", "any1 2001:db8::54/64")
	s.ip("link set any1 down")
	has("lo 127.0.0.1/8", "any0 "+drivertest.V4, "lo ::1/128")
}

// Without a descriptor for a socket nothing is known, rather than that all is missing.
func TestAddressesUnknown(t *testing.T) {
	k := newSpace(t).bare()
	exhaust(t)
	if all, err := k.Addresses(); err == nil {
		t.Errorf("the host has %v", all)
	}
}
