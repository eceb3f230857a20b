package reconcile

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/driver"
)

const (
	kernelFails = `level=ERROR msg="kernel not in sync, retrying" driver=kernel err="no buffer space available"`
)

func kernelMended(address string) string {
	return `level=WARN msg="addresses changed by somebody else, putting them right" driver=kernel addresses=` + address
}

// put has somebody else put an address on the host, or take it off.
func (h *harness) put(prefix string, p driver.Presence) {
	h.kernel.have[netip.MustParsePrefix(prefix)] = p
}

// since compares since when something is as it was reported last.
func (h *harness) since(name string, want time.Time) {
	h.t.Helper()
	if got := h.reports[name].Since; !got.Equal(want) {
		h.t.Errorf("%s is so since %s, want %s", name, got, want)
	}
}

// What the kernel refuses is tried again, after ever longer waits, for ever. That is
// logged once, and counted.
func TestKernelIsRetried(t *testing.T) {
	for name, tc := range map[string]struct {
		what   string
		works  time.Duration // when it is tried after the fault is gone
		counts [2]int
		did    []string
	}{
		"an address that is new": {"grow", 111*time.Second + 100*time.Millisecond, [2]int{2, 11}, []string{
			"0s kernel has " + one + " delivered", "0s kernel refuses to grow", "100ms kernel refuses to grow", "300ms kernel refuses to grow",
			"700ms kernel refuses to grow", "1.5s kernel refuses to grow", "3.1s kernel refuses to grow", "6.3s kernel refuses to grow",
			"12.7s kernel refuses to grow", "25.5s kernel refuses to grow", "51.1s kernel refuses to grow", "1m21.1s kernel refuses to grow",
			"1m51.1s kernel has " + two + " announced",
		}},
		"an address that goes, once more after the others came": {"shrink", 111 * time.Second, [2]int{2, 10}, []string{
			"0s kernel refuses to shrink", "0s kernel refuses to shrink", "0s kernel has " + two + " announced", "200ms kernel refuses to shrink",
			"600ms kernel refuses to shrink", "1.4s kernel refuses to shrink", "3s kernel refuses to shrink", "6.2s kernel refuses to shrink",
			"12.6s kernel refuses to shrink", "25.4s kernel refuses to shrink", "51s kernel refuses to shrink", "1m21s kernel refuses to shrink",
			"1m51s kernel has " + one + " delivered",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t)
				h.start()
				h.desire(announced(one), delivered(two))
				h.later(time.Second)
				h.says(KernelName, "gen 1, in sync")
				h.take()
				began := time.Now()
				h.kernel.fails[tc.what] = errNetlink
				h.desire(delivered(one), announced(two))
				h.later(100 * time.Second)
				h.says(KernelName, "gen 1, no buffer space available")
				h.since(KernelName, began)
				h.logged(kernelFails)
				delete(h.kernel.fails, tc.what)
				h.later(time.Minute)
				h.did(tc.did...)
				h.says(KernelName, "gen 2, in sync")
				h.since(KernelName, began.Add(tc.works))
				if diff := cmp.Diff(tc.counts, h.applied[KernelName]); diff != "" {
					t.Errorf("counted (-want +got):\n%s", diff)
				}
				h.logged(`level=INFO msg="kernel in sync again" driver=kernel after=11`)
			})
		})
	}
}

// A withdrawal that failed is tried again while the gates of what is new are waited for.
func TestWithdrawalIsRetriedBeforeGates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		fake, frr := h.frr()
		h.start(frr)
		h.desire(announced(one), delivered(two))
		h.later(10 * time.Second)
		h.take()
		h.kernel.fails["shrink"], fake.hangs = errNetlink, "apply"
		h.desire(delivered(one), announced(two))
		h.later(50 * time.Millisecond)
		delete(h.kernel.fails, "shrink")
		h.later(2 * time.Second)
		h.didBy("kernel", "0s kernel refuses to shrink", "100ms kernel has "+one+" delivered", "1s kernel has "+two+" announced")
		h.says(KernelName, "gen 2, in sync")
	})
}

// A new desired state is tried at once, however often the one before it failed.
func TestNewStateAfterFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.kernel.fails["grow"] = errNetlink
		h.start()
		h.desire(announced(one))
		h.later(50 * time.Second) // the next try is at 51.1s
		h.take()
		h.desire(announced(two))
		h.later(500 * time.Millisecond)
		h.did("0s kernel refuses to grow", "100ms kernel refuses to grow", "300ms kernel refuses to grow")
	})
}

// What somebody else changes is put right: at once if the kernel tells, else soon.
func TestRepair(t *testing.T) {
	const again = " kernel has "
	for name, tc := range map[string]struct {
		change func(*harness)
		did    string
		tells  []string
	}{
		"an address is deleted":             {func(h *harness) { h.put(one, driver.Absent) }, again + one + " announced", nil},
		"an address comes back":             {func(h *harness) { h.put(two, driver.Announced) }, again + two + " delivered", nil},
		"a local delivery route is deleted": {func(h *harness) { h.put(two, driver.Absent) }, again + two + " delivered", nil},
		"somebody else's address comes":     {func(h *harness) { h.put(six, driver.Announced) }, "", []string{unclaimedSix}},
		"nothing":                           {func(*harness) {}, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t)
				h.start()
				h.desire(announced(one), delivered(two))
				h.later(time.Second)
				h.take()
				var did, logged []string
				if tc.did != "" {
					did, logged = []string{"0s" + tc.did}, []string{kernelMended(strings.Fields(tc.did)[2])}
				}
				tc.change(h)
				h.kernel.changed()
				h.later(time.Second)
				h.did(did...)
				h.logged(append(slices.Clone(logged), tc.tells...)...)

				tc.change(h)
				if tc.did != "" {
					did = []string{"29s" + tc.did} // the host was last compared a second ago
				}
				h.later(2 * Interval)
				h.did(did...)
				h.logged(logged...)
				want := announcedBy(driver.State{Routes: h.kernel.routes()})
				if got := h.reports[KernelName].Observed.Routes; !maps.EqualFunc(want, got, func(bool, driver.Route) bool { return true }) {
					t.Errorf("observed %v, want %v", got, want)
				}
				if h.repaired[KernelName] != 2*len(logged) {
					t.Errorf("%d repairs counted, want %d", h.repaired[KernelName], 2*len(logged))
				}
				h.says(KernelName, "gen 1, in sync")
			})
		})
	}
}

// An address that somebody puts back while the gates of others are waited for goes at
// once, and what is new still waits.
func TestRepairBeforeGates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		fake, frr := h.frr()
		h.start(frr)
		h.desire(announced(one), delivered(two))
		h.later(10 * time.Second)
		h.take()
		fake.hangs = "apply"
		h.desire(delivered(one), announced(two))
		h.later(300 * time.Millisecond)
		h.put(one, driver.Announced)
		h.kernel.changed()
		h.later(time.Second)
		h.didBy("kernel", "0s kernel has "+one+" delivered", "300ms kernel has "+one+" delivered", "1s kernel has "+two+" announced")
	})
}

// What the kernel refused is tried at once when something changed there.
func TestChangeWhileKernelFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.kernel.fails["grow"] = errNetlink
		h.start()
		h.desire(announced(one))
		h.later(30 * time.Second) // the next try is at 51.1s
		h.take()
		delete(h.kernel.fails, "grow")
		h.kernel.changed()
		h.later(0)
		h.did("0s kernel has " + one + " announced")
		if h.repaired[KernelName] != 0 {
			t.Error("a repair is counted, though nobody else changed anything")
		}
	})
}

// A watch that ends is started again, and what it may have missed is looked for.
func TestKernelWatchEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.start()
		h.desire(announced(one))
		h.later(time.Second)
		h.take()
		h.put(one, driver.Absent)
		h.kernel.ends <- errNetlink
		h.later(time.Second)
		lines := h.take()
		h.only(lines, "kernel is", "100ms kernel is watched")
		h.only(lines, "kernel has", "100ms kernel has "+one+" announced")
		h.put(one, driver.Absent)
		h.kernel.changed() // by the new watch
		h.later(0)
		h.did("0s kernel has " + one + " announced")
		h.logged(`level=DEBUG msg="watch ended, starting it again" driver=kernel err="no buffer space available"`, kernelMended(one), kernelMended(one))
	})
}

// A kernel that can't be asked is not in sync, whatever it was told.
func TestKernelCannotBeAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.start()
		h.desire(announced(one))
		h.later(time.Second)
		if o := h.reports[KernelName].Observed; !o.Whole || len(o.Routes) != 1 {
			t.Errorf("observed %+v", o)
		}
		h.kernel.fails["observe"] = errNetlink
		h.later(Interval)
		h.says(KernelName, "gen 1, no buffer space available")
		if o := h.reports[KernelName].Observed; o.Whole || len(o.Routes) != 0 {
			t.Errorf("observed %+v, though it can't be asked", o)
		}
		delete(h.kernel.fails, "observe")
		h.later(Interval)
		h.says(KernelName, "gen 1, in sync")
		if h.repaired[KernelName] != 0 {
			t.Error("a repair is counted, though nobody knew of one")
		}
	})
}

// A kernel that does what it is told, but can't be asked, is told and asked again after
// ever longer waits, too.
func TestKernelIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.kernel.fails["observe"] = errNetlink
		h.start()
		h.desire(announced(one))
		h.later(2 * time.Second)
		h.did("0s kernel has "+one+" announced", "0s kernel refuses to observe", "100ms kernel refuses to observe",
			"300ms kernel refuses to observe", "700ms kernel refuses to observe", "1.5s kernel refuses to observe")
		h.says(KernelName, "gen 0, no buffer space available")
		h.logged(kernelFails)
		delete(h.kernel.fails, "observe")
		h.later(2 * time.Second)
		h.says(KernelName, "gen 1, in sync")
		h.logged(`level=INFO msg="kernel in sync again" driver=kernel after=5`)
	})
}

// What a stop interrupts is no failure.
func TestKernelIsInterrupted(t *testing.T) {
	for _, what := range []string{"shrink", "grow", "observe"} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t)
				h.start()
				h.kernel.hangs = what
				h.desire(announced(one))
				h.later(time.Second)
				h.end()
				h.logged()
				if err := h.reports[KernelName].Err; err != nil {
					t.Errorf("reported %v", err)
				}
			})
		})
	}
}
