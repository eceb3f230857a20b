package reconcile

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keepcast/keepcast/driver"
)

// A look that failed in between says nothing of a finding: what was found before it counts
// from when it was found first.
func TestFindingLastsThroughFailedLook(t *testing.T) {
	var log bytes.Buffer
	f := findings{log: slog.New(slog.NewTextHandler(&log, nil))}
	found := driver.Finding{Name: "filter", Level: driver.LevelError, Subject: one, Text: "rejects all"}
	start := time.Now()
	for i, tc := range []struct {
		after  time.Duration
		failed error
		found  []driver.Finding
		want   int
	}{
		{0, nil, []driver.Finding{found}, 0},
		{findingLasts / 2, errRefused, nil, 0},
		{findingLasts, nil, []driver.Finding{found}, 1},
		{2 * findingLasts, errRefused, nil, 0},
		{3 * findingLasts, nil, []driver.Finding{found}, 1},
		{4 * findingLasts, nil, nil, 0},
		{5 * findingLasts, nil, []driver.Finding{found}, 0}, // it is new again
	} {
		r := Report{Unobserved: tc.failed, Observed: Observed{Findings: tc.found}}
		f.look(&r, start.Add(tc.after))
		if len(r.Observed.Findings) != tc.want {
			t.Errorf("look %d: %d findings count, want %d", i, len(r.Observed.Findings), tc.want)
		}
	}
	if n := bytes.Count(log.Bytes(), []byte("msg=finding ")); n != 1 {
		t.Errorf("told %d times:\n%s", n, log.String())
	}
}

func TestListed(t *testing.T) {
	var all []netip.Prefix
	for i := range 7 {
		all = append(all, netip.MustParsePrefix(fmt.Sprintf("192.0.2.%d/32", i)))
	}
	const five = "192.0.2.0/32 192.0.2.1/32 192.0.2.2/32 192.0.2.3/32 192.0.2.4/32"
	for n, want := range map[int]string{0: "", 5: five, 6: five + " and 1 more", 7: five + " and 2 more"} {
		if got := listed(all[:n]); got != want {
			t.Errorf("%d addresses: %q, want %q", n, got, want)
		}
	}
}

// Each look at the kernel tells when it was: else it would seem to hang.
func TestKernelReportsWhenItLooked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.start()
		h.desire(announced(one))
		h.later(time.Second)
		before := h.reports[KernelName].At
		h.later(2 * Interval)
		if now := h.reports[KernelName].At; now.Sub(before) < Interval {
			t.Errorf("looked at %s, and then at %s", before, now)
		}
	})
}

// A daemon that goes on announcing is told of once, with how many there are, and once when
// that is over. That a recall fails is an error of the kernel.
func TestKeptIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		fake, frr := h.frr()
		h.start(frr)
		fake.keeps(one)
		fake.kept = append(fake.kept, announced(two), announced(six))
		h.kernel.fails["recall"] = errNetlink
		h.desire(delivered(one), delivered(two), delivered(six))
		h.later(20 * time.Second)
		h.says("frr", "gen 1, still announces "+one+" and 2 more, which are withdrawn")
		h.logged(
			`level=ERROR msg="daemon does not withdraw" driver=frr err="still announces `+one+` and 2 more, which are withdrawn"`,
			`level=WARN msg="daemon has missed that addresses went, telling it again" driver=frr addresses=1`,
			kernelFails,
			`level=INFO msg="kernel in sync again" driver=kernel after=1`,
			`level=WARN msg="daemon has missed that addresses went, telling it again" driver=frr addresses=1`,
			kernelFails,
			`level=INFO msg="kernel in sync again" driver=kernel after=1`,
			`level=WARN msg="daemon has missed that addresses went, telling it again" driver=frr addresses=1`,
			kernelFails,
			`level=INFO msg="kernel in sync again" driver=kernel after=1`,
		)
		fake.kept, fake.recall = nil, nil
		h.later(10 * time.Second)
		h.logged(`level=INFO msg="daemon has withdrawn it by now" driver=frr`)
		h.says("frr", "gen 1, in sync")
	})
}

// That a driver is leaving is told at once, also while it hangs, and that it is gone once.
func TestLeavingIsToldAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		fake, frr := h.frr()
		fake.slow = time.Minute
		h.start(frr)
		h.desire(announced(one))
		h.later(time.Second)
		h.reconciler.SetDrivers(nil)
		h.later(0)
		if r := h.reports["frr"]; !r.Leaving || r.Gone || r.At.IsZero() {
			t.Errorf("reported: %+v", r)
		}
		gone := 0
		h.told = func(r Report) {
			if r.Gone {
				gone++
			}
		}
		h.later(time.Hour)
		_, bird := h.bird()
		h.reconciler.SetDrivers([]Driver{bird})
		h.later(time.Hour)
		h.reconciler.SetDrivers(nil)
		h.later(time.Hour)
		if gone != 2 {
			t.Errorf("told %d times that one is gone, want once for each", gone)
		}
	})
}

// A stop ends the workers at once where none is leaving.
func TestStopTakesNoTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		_, frr := h.frr()
		h.start(frr)
		h.desire(announced(one))
		h.later(time.Second)
		began := time.Now()
		h.end()
		if took := time.Since(began); took != 0 {
			t.Errorf("the stop took %s", took)
		}
	})
}
