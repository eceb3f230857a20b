package driver

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
)

// What is to be announced is there once all that carry it have it, what is to be
// withdrawn while any has it, whatever became of the others.
func TestFRRTogether(t *testing.T) {
	has := frrSight{held: map[netip.Prefix]bool{netip.MustParsePrefix(frr4): false}}
	hasNot := frrSight{}
	silent, down := errors.New("ospfd: no answer"), notRunning{errors.New("ospfd is not running")}
	bgpd, _ := frrRoleOf("bgpd")
	ospfd, _ := frrRoleOf("ospfd")
	for name, tc := range map[string]struct {
		asked  Presence
		bgpd   frrSight
		ospfd  frrSight
		err    error // of ospfd
		seen   bool
		unsure bool
	}{
		"both have it":                      {Announced, has, has, nil, true, false},
		"one has it, wanted":                {Announced, has, hasNot, nil, false, false},
		"one has it, unwanted":              {Delivered, has, hasNot, nil, true, false},
		"none has it":                       {Delivered, hasNot, hasNot, nil, false, false},
		"one is silent, the other has it":   {Delivered, has, hasNot, silent, true, true},
		"one is silent, the other has none": {Delivered, hasNot, hasNot, silent, false, true},
		"one is down, the other has it":     {Delivered, has, hasNot, down, true, false},
		"one is down, wanted":               {Announced, has, hasNot, down, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			looks := newFRRLooks(2)
			err := errors.Join(looks.took(0, bgpd, tc.bgpd, nil), looks.took(1, ospfd, tc.ospfd, tc.err))
			seen, err := looks.together(frrState(frrRouteOf(frr4, tc.asked, false)), err)
			if got := len(seen.Routes) > 0; got != tc.seen || seen.Neighbours == nil {
				t.Errorf("seen %+v", seen)
			}
			if unsure := err != nil && !errors.Is(err, ErrNotRunning); unsure != tc.unsure || (err == nil) != (tc.err == nil) {
				t.Errorf("got %v", err)
			}
		})
	}
	looks := newFRRLooks(2)
	err := errors.Join(looks.took(0, bgpd, hasNot, down), looks.took(1, ospfd, hasNot, silent))
	if seen, err := looks.together(State{}, err); errors.Is(err, ErrNotRunning) || !errors.Is(err, silent) || seen.Neighbours != nil {
		t.Errorf("one down, one silent: %+v, %v", seen, err)
	}
}

// A bgpd that answers is heard, whether another daemon does not run or hangs.
func TestQuaggaObservePartly(t *testing.T) {
	dir := t.TempDir()
	bgpd := newFakeQuagga(t, dir, "bgpd", "router bgp 65001", "redistribute connected route-map KEEPCAST")
	bgpd.show("show ip bgp "+frr4, quaggaOwn)
	q := testQuagga(dir, "bgpd", "ospfd")
	defer q.Close()
	_ = q.Apply(t.Context(), State{Interface: "anycast0", Routes: []Route{quaggaRouteOf(frr4, Announced, Attributes{})}}) // ospfd is not there
	q.asked = State{Interface: "anycast0", Routes: []Route{quaggaRouteOf(frr4, Delivered, Attributes{})}}
	want := []string{frr4 + ": 10.0.0.1, fd99::2"}
	seen, err := q.Observe(t.Context())
	if d := cmp.Diff(want, frrExports(seen)); d != "" || !errors.Is(err, ErrNotRunning) || !errors.Is(err, syscall.ENOENT) {
		t.Errorf("ospfd is down (-want +got):\n%s%v", d, err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "ospfd.vty")) // accepts nobody
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	q.all()[1].vty.timeout = 100 * time.Millisecond
	seen, err = q.Observe(t.Context())
	if d := cmp.Diff(want, frrExports(seen)); d != "" || err == nil || errors.Is(err, ErrNotRunning) {
		t.Errorf("ospfd hangs (-want +got):\n%s%v", d, err)
	}
}

// Where mgmtd is away, the daemon that it configures may well announce.
func TestFRRAway(t *testing.T) {
	v := vty{daemon: "ripd", path: filepath.Join(t.TempDir(), "ripd.vty"), timeout: time.Second}
	_, err := v.open(t.Context())
	if got := v.away(err); !errors.Is(got, ErrNotRunning) || got.Error() != err.Error() {
		t.Errorf("away: %v", got)
	}
	v.conn, _ = net.Pipe()
	defer v.conn.Close()
	if got := v.away(fmt.Errorf("mgmtd: %w", err)); errors.Is(got, ErrNotRunning) {
		t.Errorf("there: %v", got)
	}
}
