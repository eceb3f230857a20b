package frr

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/driver"
)

// What is to be announced is there once all that carry it have it, what is to be
// withdrawn while any has it, whatever became of the others.
func TestFRRTogether(t *testing.T) {
	has := observation{held: map[netip.Prefix]bool{netip.MustParsePrefix(frr4): false}}
	hasNot := observation{}
	silent, down := errors.New("ospfd: no answer"), fmt.Errorf("ospfd %w", driver.ErrNotRunning)
	bgpd, ospfd := frrSpec("bgpd"), frrSpec("ospfd")
	for name, tc := range map[string]struct {
		asked    driver.Presence
		bgpd     observation
		ospfd    observation
		err      error // of ospfd
		observed bool
		unsure   bool
	}{
		"both have it":                      {driver.Announced, has, has, nil, true, false},
		"one has it, wanted":                {driver.Announced, has, hasNot, nil, false, false},
		"one has it, unwanted":              {driver.Delivered, has, hasNot, nil, true, false},
		"none has it":                       {driver.Delivered, hasNot, hasNot, nil, false, false},
		"one is silent, the other has it":   {driver.Delivered, has, hasNot, silent, true, true},
		"one is silent, the other has none": {driver.Delivered, hasNot, hasNot, silent, false, true},
		"one is down, the other has it":     {driver.Delivered, has, hasNot, down, true, false},
		"one is down, wanted":               {driver.Announced, has, hasNot, down, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			observations := newObservations(2)
			err := errors.Join(observations.add(0, bgpd, tc.bgpd, nil), observations.add(1, ospfd, tc.ospfd, tc.err))
			observed, err := observations.together(frrState(frrRouteOf(frr4, tc.asked, false)), err)
			if got := len(observed.Routes) > 0; got != tc.observed || observed.Neighbors == nil {
				t.Errorf("observed %+v", observed)
			}
			if unsure := err != nil && !errors.Is(err, driver.ErrNotRunning); unsure != tc.unsure || (err == nil) != (tc.err == nil) {
				t.Errorf("got %v", err)
			}
		})
	}
	observations := newObservations(2)
	err := errors.Join(observations.add(0, bgpd, hasNot, down), observations.add(1, ospfd, hasNot, silent))
	if observed, err := observations.together(driver.State{}, err); errors.Is(err, driver.ErrNotRunning) || !errors.Is(err, silent) || observed.Neighbors != nil {
		t.Errorf("one down, one silent: %+v, %v", observed, err)
	}
}

// A bgpd that answers is heard, whether another daemon does not run or hangs.
func TestQuaggaObservePartly(t *testing.T) {
	dir := t.TempDir()
	bgpd := newFakeQuagga(t, dir, "bgpd", "router bgp 65001", "redistribute connected route-map KEEPCAST")
	bgpd.show("show ip bgp "+frr4, quaggaOwn)
	q := testQuagga(dir, "bgpd", "ospfd")
	defer q.Close()
	_ = q.Apply(t.Context(), driver.State{Interface: "anycast0", Routes: []driver.Route{quaggaRouteOf(frr4, driver.Announced, driver.Attributes{})}}) // ospfd is not there
	q.asked = driver.State{Interface: "anycast0", Routes: []driver.Route{quaggaRouteOf(frr4, driver.Delivered, driver.Attributes{})}}
	want := []string{frr4 + ": 10.0.0.1, fd99::2"}
	observed, err := q.Observe(t.Context())
	if d := cmp.Diff(want, frrExports(observed)); d != "" || !errors.Is(err, driver.ErrNotRunning) || !errors.Is(err, syscall.ENOENT) {
		t.Errorf("ospfd is down (-want +got):\n%s%v", d, err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "ospfd.vty")) // accepts nobody
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	q.daemons()[1].vty.Timeout = 100 * time.Millisecond
	observed, err = q.Observe(t.Context())
	if d := cmp.Diff(want, frrExports(observed)); d != "" || err == nil || errors.Is(err, driver.ErrNotRunning) {
		t.Errorf("ospfd hangs (-want +got):\n%s%v", d, err)
	}
}
