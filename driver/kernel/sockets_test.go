package kernel

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// exhaust takes all descriptors that this process may have, until the test ends.
func exhaust(t *testing.T) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	few := limit
	few.Cur = 256
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	var taken []*os.File
	t.Cleanup(func() {
		for _, f := range taken {
			f.Close()
		}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Error(err)
		}
	})
	for {
		f, err := os.Open(os.DevNull)
		if err != nil {
			return
		}
		taken = append(taken, f)
	}
}

// A process that has no descriptor left can still take an address off its interface. With
// three hundred clients at a limit of 256 the address of a dead service stayed for
// eighteen seconds.
func TestWithdrawsWithoutDescriptors(t *testing.T) {
	s := newSpace(t)
	k := s.kernel()
	announced := driver.State{Interface: "any0", Routes: []driver.Route{drivertest.Route(drivertest.V4, driver.Announced)}}
	if err := k.Apply(t.Context(), announced); err != nil {
		t.Fatal(err)
	}
	if err := k.Local(announced.Routes[0].Prefix.Addr()); err != nil {
		t.Fatal(err)
	}
	exhaust(t)
	withdrawn := driver.State{Interface: "any0", Routes: []driver.Route{drivertest.Route(drivertest.V4, driver.Delivered)}}
	if err := k.Shrink(t.Context(), withdrawn); err != nil {
		t.Fatal(err)
	}
	got, err := k.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range got.Announced() {
		if r.Prefix == announced.Routes[0].Prefix {
			t.Errorf("it is still announced: %+v", r)
		}
	}
	if err := k.Grow(t.Context(), announced); err != nil {
		t.Fatal(err)
	}
	if err := k.Local(announced.Routes[0].Prefix.Addr()); err != nil {
		t.Error(err)
	}
}
