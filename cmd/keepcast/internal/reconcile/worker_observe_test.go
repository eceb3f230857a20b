package reconcile

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keepcast/keepcast/driver"
)

const (
	frrMute    = `level=WARN msg="daemon can't be asked what it announces" driver=frr err="syntax error"`
	remindsFrr = `level=WARN msg="daemon does not know addresses that are on the host, telling it again" driver=frr addresses=%d`
)

// A daemon is asked after each change what it makes of it: often until it has followed,
// then now and then.
func TestDaemonIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		fake, frr := h.frr()
		fake.tell = true
		h.start(frr)
		h.desire(announced(one))
		h.later(12 * time.Second)
		h.didBy("frr is", "0s frr is asked", "0s frr is asked", "5s frr is asked", "10s frr is asked") // after Apply, after Grow

		fake.neighbors, fake.filtered = []driver.Neighbor{upstream}, true
		h.desire(announced(one), announced(two))
		h.later(14 * time.Second)
		h.didBy("frr is", "0s frr is asked", "0s frr is asked", "100ms frr is asked", "300ms frr is asked", "700ms frr is asked",
			"1.5s frr is asked", "3.1s frr is asked", "6.3s frr is asked", "11.3s frr is asked")

		fake.filtered = false
		h.later(10 * time.Second)
		h.didBy("frr is", "2.3s frr is asked", "7.3s frr is asked")
		if got := h.reports["frr"].Observed.Routes[netip.MustParsePrefix(two)].ExportedTo; len(got) != 1 || got[0] != "upstream" {
			t.Errorf("reported to be exported to %v", got)
		}
	})
}

// A daemon that can't be asked may be in sync or not: nobody knows. One that does not
// run announces nothing.
func TestDaemonCannotBeAsked(t *testing.T) {
	for name, tc := range map[string]struct {
		mute  error
		whole bool
	}{
		"it does not answer": {errRefused, false},
		"it does not run":    {fmt.Errorf("frr %w", driver.ErrNotRunning), true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t)
				fake, frr := h.frr()
				fake.tell = true
				h.start(frr)
				h.desire(announced(one))
				h.later(time.Second)
				h.take()
				fake.mute = tc.mute
				h.later(10 * time.Second)
				h.didBy("frr", "4s frr is asked", "4.1s frr is asked", "4.3s frr is asked", "4.7s frr is asked", "5.5s frr is asked", "7.1s frr is asked")
				h.says("frr", "gen 1, in sync, can't be asked: "+tc.mute.Error())
				if got := h.reports["frr"].Observed; len(got.Routes) != 0 || got.Whole != tc.whole {
					t.Errorf("observed %+v", got)
				}
				h.logged(fmt.Sprintf(`level=WARN msg="daemon can't be asked what it announces" driver=frr err=%q`, tc.mute))
				fake.mute = nil
				h.later(10 * time.Second)
				h.says("frr", "gen 1, in sync")
				if got := h.reports["frr"].Observed; len(got.Routes) != 1 || !got.Whole {
					t.Errorf("observed %+v", got)
				}
				fake.fails, fake.mute = errRefused, tc.mute
				h.desire(announced(one), announced(two))
				h.later(10 * time.Second)
				h.logged(frrFails) // which says it all
				if h.repaired["frr"] != 0 {
					t.Error("it is reminded, though nobody knows what it misses")
				}
			})
		})
	}
}

// A finding is logged when it comes and when it goes, if it is more than good to know
// and not what Apply failed with.
func TestFindings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		filter := driver.Finding{Name: "filter", Level: driver.LevelError, Subject: "upstream", Text: "rejects all", Fix: "use keepcast_ebgp"}
		other := filter
		other.Subject = "backup"
		timers := driver.Finding{Name: "timers", Level: driver.LevelInfo, Subject: "upstream", Text: "are slow"}
		h := newHarness(t)
		fake, frr := h.frr()
		fake.findings = []driver.Finding{filter, timers}
		h.start(frr)
		h.desire(announced(one))
		h.later(6 * time.Second)
		h.logged(`level=WARN msg=finding driver=frr finding=filter level=error subject=upstream text="rejects all" fix="use keepcast_ebgp"`)
		fake.findings = []driver.Finding{other}
		h.later(6 * time.Second)
		h.logged(`level=INFO msg="finding is over" driver=frr finding=filter subject=upstream`,
			`level=WARN msg=finding driver=frr finding=filter level=error subject=backup text="rejects all" fix="use keepcast_ebgp"`)
		fake.mute = errRefused // then what it tells is not to be relied on
		fake.findings = nil
		h.later(5 * time.Second)
		h.logged(frrMute)
		fake.mute = nil
		h.later(5 * time.Second)
		h.logged(`level=INFO msg="finding is over" driver=frr finding=filter subject=backup`)
		fake.fails, fake.findings = fmt.Errorf("loading: %w", filter), []driver.Finding{filter}
		h.desire(announced(one), announced(two))
		h.later(time.Second)
		h.logged(`level=ERROR msg="daemon not in sync, retrying" driver=frr err="loading: upstream: rejects all: use keepcast_ebgp"`)
		if got := h.reports["frr"].Observed.Findings; len(got) != 1 {
			t.Errorf("findings %v, want the one that Apply failed with, at once", got)
		}
	})
}

// What is found for a moment only, while a change is on its way through the daemon, is told
// to nobody. A hundred services that failed together were a hundred warnings that no export
// filter let them pass.
func TestFindingOfAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		fake, frr := h.frr()
		h.start(frr)
		h.desire(announced(one))
		h.later(6 * time.Second)
		fake.findings = []driver.Finding{{Name: "not-exported", Level: driver.LevelError, Subject: one, Text: "no filter lets it pass"}}
		h.desire(announced(one), announced(two))
		h.later(500 * time.Millisecond)
		fake.findings = nil
		h.later(10 * time.Second)
		h.logged()
		fake.findings = []driver.Finding{{Name: "not-exported", Level: driver.LevelError, Subject: two, Text: "no filter lets it pass"}}
		h.desire(announced(one))
		h.later(0)
		if got := h.reports["frr"].Observed.Findings; len(got) != 0 {
			t.Errorf("findings %v after one look, want none", got)
		}
		h.later(findingLasts) // it looks again as soon as that tells
		if got := h.reports["frr"].Observed.Findings; len(got) != 1 {
			t.Errorf("findings %v after two looks, want one", got)
		}
		fake.mute = errRefused
		h.later(5 * time.Second)
		fake.mute = nil
		h.later(5 * time.Second)
		if got := h.reports["frr"].Observed.Findings; len(got) != 1 {
			t.Errorf("findings %v after a look that failed, want the one from before", got)
		}
	})
}

// A daemon that has not heard of addresses is told of them again, when it had the time
// to hear of them. It is told three times at most: one that does not carry them won't.
func TestReminders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		fake, frr := h.frr()
		fake.deaf = true
		h.start(frr)
		h.desire(announced(one), announced(two), delivered(six), prefixOnly(announced(network)))
		h.later(10 * time.Minute)
		again := "kernel reminds of " + one + " " + two + " on anycast0"
		h.didBy("kernel reminds", "3.1s "+again, "6.3s "+again, "11.3s "+again)
		reminded := fmt.Sprintf(remindsFrr, 2)
		h.logged(reminded, reminded, reminded)
		if h.repaired["frr"] != 3 {
			t.Errorf("%d repairs counted, want 3", h.repaired["frr"])
		}

		fake.deaf = false
		h.later(10 * time.Second)
		h.take()
		fake.deaf = true // once more
		h.kernel.reminded = func() { fake.deaf = false }
		h.later(time.Minute)
		h.didBy("kernel reminds", "8.1s "+again)
	})
}

// Reminders end, though each of them fails and has the kernel put in order again.
func TestRemindersThatFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		fake, frr := h.frr()
		fake.deaf = true
		h.kernel.fails["remind"] = errNetlink
		h.start(frr)
		h.desire(announced(one))
		h.later(310 * time.Second)
		refusals := []string{"3.1s kernel refuses to remind", "6.2s kernel refuses to remind", "9.3s kernel refuses to remind"}
		h.didBy("kernel refuses", refusals...)
		h.says(KernelName, "gen 1, in sync") // again
		reminded := fmt.Sprintf(remindsFrr, 1)
		back := `level=INFO msg="kernel in sync again" driver=kernel after=1`
		h.logged(reminded, kernelFails, back, reminded, kernelFails, back, reminded, kernelFails, back)
		h.desire(announced(one), announced(two)) // which is worth new ones
		h.later(310 * time.Second)
		h.didBy("kernel refuses", refusals...)
	})
}

// What else a daemon does not do as desired, such as not to export, costs no reminders.
func TestReminderAfterOtherFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		fake, frr := h.frr()
		fake.neighbors, fake.filtered = []driver.Neighbor{upstream}, true
		h.start(frr)
		h.desire(announced(one))
		h.later(61 * time.Second)
		h.didBy("kernel reminds")
		fake.deaf = true
		h.later(5 * time.Second)
		h.didBy("kernel reminds", "4s kernel reminds of "+one+" on anycast0")
	})
}

// A daemon whose gate is not open is not reminded: it could not announce anything.
func TestNoReminderForFailing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		fake, frr := h.frr()
		fake.deaf, fake.fails = true, errRefused
		h.start(frr)
		h.desire(announced(one))
		h.later(time.Minute)
		h.didBy("kernel reminds")
	})
}

// What a daemon missed of a state is of no use while the host moves to another.
func TestNoReminderBeforeGates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		deaf, frr := h.frr()
		hung, bird := h.bird()
		deaf.deaf = true
		h.start(frr, bird)
		h.desire(announced(one))
		h.later(3 * time.Second) // frr is asked for the sixth time at 3.1s
		h.take()
		deaf.asked, hung.hangs = 500*time.Millisecond, "apply"
		h.later(200 * time.Millisecond)
		h.desire(announced(one), announced(two))
		h.later(500 * time.Millisecond)
		deaf.asked = 0
		h.later(5 * time.Second)
		h.didBy("kernel", "1.2s kernel has "+two+" announced", "4.3s kernel reminds of "+one+" "+two+" on anycast0")
	})
}
