package engine

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/reconcile"
	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// followed counts the kernel only where there is one, and waits for each daemon.
func TestFollowed(t *testing.T) {
	in := reconcile.Report{Gen: 7, InSync: true}
	for name, tc := range map[string]struct {
		managed bool
		reports map[string]reconcile.Report
		want    bool
	}{
		"nobody has said anything":   {true, nil, false},
		"the kernel alone":           {true, map[string]reconcile.Report{"kernel": in}, false},
		"all":                        {true, map[string]reconcile.Report{"kernel": in, "bird": in}, true},
		"the daemon without kernel":  {false, map[string]reconcile.Report{"bird": in}, true},
		"nobody, without kernel":     {false, nil, false},
		"one that did more":          {false, map[string]reconcile.Report{"bird": {Gen: 8, InSync: true}}, true},
		"one that did less":          {false, map[string]reconcile.Report{"bird": {Gen: 6, InSync: true}}, false},
		"one that could not do that": {false, map[string]reconcile.Report{"bird": {Gen: 7}}, false},
	} {
		b := newHarness(t)
		b.cfg.ManageAddresses = tc.managed
		b.create()
		b.engine.posted.Gen, b.engine.reports = 7, tc.reports
		if got := b.engine.followed(); got != tc.want {
			t.Errorf("%s: got %t", name, got)
		}
	}
}

// A stop waits for what refuses, but not for ever, and says so. One that left prefixes
// announced, which the gate alone withdraws, ended as if all was well: nobody was told, and
// nothing withdrew them after. One that left nothing but a gate that was not known to be closed
// told an operator that not everything was withdrawn, and ended as if all was well.
func TestStopWithFaults(t *testing.T) {
	for name, tc := range map[string]struct {
		fault func(*fakeDriver)
		took  time.Duration
		left  string // of what is announced
		gate  string // why it is not known to be closed
	}{
		"all follow": {func(*fakeDriver) {}, 10 * time.Second, "", ""}, // linger
		"a daemon refuses": {
			func(d *fakeDriver) { d.fail = errDead }, 20 * time.Second,
			"bird may still have 192.0.2.53/32, 198.51.100.0/24: connection refused", "",
		},
		"a daemon can't be asked": {
			func(d *fakeDriver) { d.fail, d.mute = errDead, errors.New("no answer") }, 20 * time.Second,
			"bird may still have 192.0.2.53/32, 198.51.100.0/24: connection refused", "",
		},
		"a daemon hangs": {
			func(d *fakeDriver) { d.hang = true }, 20 * time.Second,
			"bird may still have 192.0.2.53/32, 198.51.100.0/24: it has not answered", "",
		},
		"a daemon does not run": {
			func(d *fakeDriver) { d.fail, d.mute = driver.ErrNotRunning, driver.ErrNotRunning }, 20 * time.Second,
			"", "is not running",
		},
		"a daemon refuses, and has nothing": {
			func(d *fakeDriver) { d.fail, d.have = errDead, driver.State{} }, 20 * time.Second,
			"", "connection refused",
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newHarness(t)
			b.service("dns", address).Prefixes = []config.Prefix{{Prefix: netip.MustParsePrefix("198.51.100.0/24")}}
			b.addDriver("frr", &fakeDriver{journal: b.driver.journal, name: "frr"})
			synctest.Test(t, func(t *testing.T) {
				b.start()
				later(2 * time.Second)
				b.driver.set(func() { tc.fault(b.driver) })
				begun := time.Now()
				b.endLeaving(tc.left)
				if took := time.Since(begun); took != tc.took {
					t.Errorf("it took %s, want %s", took, tc.took)
				}
				b.wantKernel(address, driver.Absent)
				b.wantLog(1, `level=INFO msg="withdrawing all services"`)
				const notAll, closed = `level=ERROR msg="stopping although not everything is withdrawn: see the errors before"`, `msg="withdrawn, but`
				b.wantLog(number(tc.left != ""), notAll)
				b.wantLog(number(tc.gate != ""), closed)
				b.wantLog(number(tc.gate != ""), `level=WARN msg="withdrawn, but the gate is not known to be closed" driver=bird err="`+tc.gate+`"`)
			})
		})
	}
}

func number(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// Where only local delivery is left, a stop withdrew everything, and no gate is in question.
func TestStopLeavesDelivery(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address)
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2 * time.Second)
		b.stop()
		later(time.Second)
		b.wantKernel(address, driver.Delivered)
		b.kernel.set(func() { b.kernel.fail = errDead })
		b.end()
		b.wantLog(1, `level=WARN msg="withdrawn, but what is delivered locally may be left" err="connection refused`)
		b.wantLog(1, `msg="withdrawn, but`)
		b.wantLog(0, `msg="stopping although`)
	})
}

// A daemon is not accused of what it does not announce, nor the kernel of prefixes, which
// it never has.
func TestRemains(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address).Prefixes = []config.Prefix{{Prefix: netip.MustParsePrefix("198.51.100.0/24")}}
	b.addDriver("frr", &fakeDriver{journal: b.driver.journal, name: "frr"})
	b.cfg.Services[0].Drivers = []string{"bird"}
	b.create()
	b.engine.services = []*service{newService(&b.cfg.Services[0], time.Now())}
	b.engine.posted = reconcile.Desired{State: b.engine.desired(time.Now()), Drivers: b.engine.announcers(), Gen: 1}
	want := ErrNotWithdrawn.Error() + ": kernel may still have 192.0.2.53/32: it has not answered\n" +
		"bird may still have 192.0.2.53/32, 198.51.100.0/24: it has not answered"
	if got := drivertest.ErrText(b.engine.remains()); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	// One that followed is believed, whatever it had when it was asked before.
	had := reconcile.Observed{Routes: map[netip.Prefix]driver.Route{netip.MustParsePrefix(address): {}}, Whole: true}
	for _, name := range []string{reconcile.KernelName, "bird"} {
		b.engine.reports[name] = reconcile.Report{InSync: true, Gen: 1, Observed: had}
	}
	if err := b.engine.remains(); err != nil {
		t.Error(err)
	}
	b.engine.departing["quagga"], b.engine.departing["old"] = reconcile.Report{}, reconcile.Report{Err: errDead}
	want = ErrNotWithdrawn.Error() + ": old, which left the configuration, may still have its gate open: connection refused\n" +
		"quagga, which left the configuration, may still have its gate open: it has not answered"
	if got := drivertest.ErrText(b.engine.remains()); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Who stops keepcast with a long linger could not have it end sooner, but by SIGKILL, which
// leaves everything as it is: a second signal skips what is left of linger.
func TestStopInAHurry(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address).Linger = time.Hour
	synctest.Test(t, func(t *testing.T) {
		hurry := make(chan struct{})
		b.options = func(o *Options) { o.Hurry = hurry }
		b.start()
		later(2 * time.Second)
		begun := time.Now()
		b.stop()
		later(time.Minute)
		b.wantKernel(address, driver.Delivered)
		close(hurry)
		b.end()
		if took := time.Since(begun); took != time.Minute {
			t.Errorf("it took %s", took)
		}
		b.wantKernel(address, driver.Absent)
		b.wantLog(1, `level=WARN msg="linger is skipped: what still arrives is not served any more"`)
	})
}

// A stop takes off also what leaves, before its linger is over.
func TestStopTakesOffWhatLeaves(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address)
	b.service("ldap", "192.0.2.54/32").Linger = time.Hour
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2 * time.Second)
		b.reload(func(c *config.Config) { c.Services = c.Services[:1] })
		b.wantKernel("192.0.2.54/32", driver.Delivered)
		b.end()
		b.wantKernel(address, driver.Absent)
		b.wantKernel("192.0.2.54/32", driver.Absent)
	})
}

// Nobody says what a stop is to do: it withdraws. A stop that waited for the service manager
// for ever, or left the host as it was, would leave a route to nothing.
func TestStopWhileNobodyAnswers(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address, &fakeCheck{})
	answer := make(chan struct{})
	b.options = func(o *Options) {
		o.Withdraw = func(context.Context, string) bool { <-answer; return false }
	}
	synctest.Test(t, func(t *testing.T) {
		answer = make(chan struct{})
		b.start()
		later(2 * time.Second)
		b.wantKernel(address, driver.Announced)
		b.stop()
		later(askLimit + time.Millisecond)
		b.wantKernel(address, driver.Delivered)
		close(answer)
		if err := <-b.done; err != nil {
			t.Error(err)
		}
		b.wantKernel(address, driver.Absent)
	})
}
