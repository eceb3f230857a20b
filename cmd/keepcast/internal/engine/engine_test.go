package engine

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/reconcile"
	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

const address = "192.0.2.53/32"

// later lets time pass and everything that follows from it happen.
func later(d time.Duration) {
	time.Sleep(d) // the bubble's clock
	synctest.Wait()
}

func TestAnnounceAndWithdraw(t *testing.T) {
	b := newHarness(t)
	c := &fakeCheck{}
	b.service("dns", address, c)
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(0)
		b.want("dns", api.Withdrawn, "check checka has not succeeded 3 times in a row yet")
		b.wantKernel(address, driver.Delivered)
		b.kernel.take()
		later(time.Second)
		b.want("dns", api.Announced, "all checks up")
		if diff := cmp.Diff([]string{"bird " + address, "kernel announced " + address}, b.kernel.take()); diff != "" {
			t.Errorf("the gate opens before the address is added:\n%s", diff)
		}
		c.set(errDead)
		later(2 * time.Second)
		b.want("dns", api.Withdrawn, "check checka: connection refused")
		if diff := cmp.Diff([]string{"kernel delivered " + address}, b.kernel.take()[:1]); diff != "" {
			t.Errorf("the address goes first:\n%s", diff)
		}
		later(2 * time.Second) // the gate waits for others to close with it
		if d := b.driver.have.Announced(); len(d) != 0 {
			t.Errorf("gate still open: %v", d)
		}
		b.end()
	})
}

func TestFailedWithdrawalIsRetried(t *testing.T) {
	b := newHarness(t)
	c := &fakeCheck{}
	b.service("dns", address, c)
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2 * time.Second)
		b.kernel.set(func() { b.kernel.fail = errors.New("netlink: no buffer space available") })
		c.set(errDead)
		later(10 * time.Second)
		b.wantKernel(address, driver.Announced)
		if n := strings.Count(b.log.String(), "kernel not in sync"); n != 1 {
			t.Errorf("the error is logged %d times, want once", n)
		}
		b.kernel.set(func() { b.kernel.fail = nil })
		later(reconcile.Interval)
		b.wantKernel(address, driver.Delivered)
		b.end()
	})
}

func TestRestartMovesNoRoute(t *testing.T) {
	b := newHarness(t)
	c := &fakeCheck{}
	b.service("dns", address, c)
	b.keep = true
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2 * time.Second)
		b.end()
		b.kernel.take()
		b.start()
		later(0)
		// It said "all checks up" beside "0 of 1 up".
		b.want("dns", api.Announced, "as before: 1 of 1 checks not decided yet")
		later(5 * time.Second)
		if moves := b.kernel.take(); len(moves) != 0 {
			t.Errorf("the restart moved %v", moves)
		}
		b.end()
		// Dead while keepcast was away: found by the checks, not assumed.
		c.set(errDead)
		b.start()
		later(0)
		b.wantKernel(address, driver.Announced)
		later(time.Second)
		b.wantKernel(address, driver.Delivered)
		b.end()
	})
}

func TestAdoptWithoutSavedState(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address, &fakeCheck{err: errDead})
	b.kernel.have[netip.MustParsePrefix(address)] = driver.Announced
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(0)
		b.wantKernel(address, driver.Announced)
		later(time.Second)
		b.wantKernel(address, driver.Delivered)
		b.end()
	})
}

// With many services, what costs time is to decide after results that change nothing.
func TestResultsThatChangeNothing(t *testing.T) {
	b := newHarness(t)
	c := &fakeCheck{}
	b.service("dns", address, c)
	b.keep = true
	decided := func() (at time.Time) {
		if err := b.engine.call(func() { at = b.engine.wake }); err != nil {
			t.Fatal(err)
		}
		return at
	}
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2 * time.Second)
		before := decided()
		c.ran()
		later(10 * time.Second)
		if again := decided(); again != before || c.ran() < 10 {
			t.Errorf("decided anew %s later", again.Sub(before))
		}
		c.set(errDead)
		later(2 * time.Second)
		b.want("dns", api.Withdrawn, "check checka: connection refused")
		c.set(errors.New("timeout"))
		later(time.Second)
		b.want("dns", api.Withdrawn, "check checka: timeout")
		b.end()
	})
}

func TestDrain(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address, &fakeCheck{})
	b.keep = true
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2 * time.Second)
		until := time.Now().Add(time.Hour)
		if err := b.engine.Drain([]string{"dns"}, until, "CHG-1", ""); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		reason := "drained until " + until.Format("2006-01-02 15:04:05") + ": CHG-1"
		b.want("dns", api.Draining, reason)
		b.wantKernel(address, driver.Delivered)
		later(11 * time.Second)
		b.want("dns", api.Withdrawn, reason)
		b.end()
		b.start() // it survives a restart
		later(10 * time.Second)
		b.want("dns", api.Withdrawn, reason)
		later(time.Hour) // and ends by itself
		b.want("dns", api.Announced, "all checks up")
		b.end()
	})
}

// An error about a thousand services named them all.
func TestErrorsOfManyServices(t *testing.T) {
	b := newHarness(t)
	files := map[string]api.Drain{}
	for i := range 7 {
		name := fmt.Sprintf("service-%d", i)
		b.service(name, fmt.Sprintf("192.0.2.%d/32", i), &fakeCheck{})
		files[name] = api.Drain{Service: name, File: "drain.d/" + name}
	}
	synctest.Test(t, func(t *testing.T) {
		b.start()
		b.engine.drainFiles(drainDir{drains: files}, nil)
		later(0)
		const some = "service-0, service-1, service-2, service-3, service-4 and 2 more"
		_, checkNow := b.engine.CheckNow(t.Context(), []string{"web"})
		const unknown = `no service "web" (running: ` + some + ")"
		for _, tt := range []struct {
			err  error
			want string
		}{
			{b.engine.Drain([]string{"web"}, time.Time{}, "", ""), unknown},
			{checkNow, unknown},
			{b.engine.Resume(nil), "still drained by drain.d/" + strings.ReplaceAll(some, ", ", ", drain.d/") + ": remove that file to resume"},
		} {
			if drivertest.ErrText(tt.err) != tt.want {
				t.Errorf("got  %v\nwant %s", tt.err, tt.want)
			}
		}
		b.end()
	})
}

func TestDrainErrors(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address, &fakeCheck{})
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(0)
		if err := b.engine.Drain([]string{"dsn"}, time.Time{}, "", ""); err == nil || err.Error() != `no service "dsn" (did you mean "dns"?)` {
			t.Errorf("got %v", err)
		}
		b.engine.drainFiles(drainDir{drains: map[string]api.Drain{"dns": {Service: "dns", File: "/etc/keepcast/drain.d/dns", Reason: "rack move"}}}, nil)
		later(0)
		b.want("dns", api.Withdrawn, "drained by /etc/keepcast/drain.d/dns: rack move")
		err := b.engine.Resume(nil)
		if err == nil || err.Error() != "still drained by /etc/keepcast/drain.d/dns: remove that file to resume" {
			t.Errorf("got %v", err)
		}
		if err := os.RemoveAll(b.cfg.StateDir); err != nil {
			t.Fatal(err)
		}
		if err := b.engine.Drain(nil, time.Time{}, "", ""); err == nil || !strings.HasPrefix(err.Error(), "done, but not saved, so that a restart forgets it: ") {
			t.Errorf("got %v", err)
		}
		b.end()
		if err := b.engine.Drain(nil, time.Time{}, "", ""); !errors.Is(err, api.ErrStopped) {
			t.Errorf("got %v", err)
		}
	})
}

func TestBurstCostsTwoReloadsAtMost(t *testing.T) {
	b := newHarness(t)
	c := &fakeCheck{}
	for i := range 100 {
		s := b.service(fmt.Sprintf("s%d", i), fmt.Sprintf("192.0.2.%d/32", i+1), c)
		s.Checks[0].Jitter = 1
	}
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(10 * time.Second)
		if n := len(b.driver.have.Announced()); n != 100 {
			t.Fatalf("%d announced, want 100", n)
		}
		before := b.driver.runs
		c.set(errDead)
		later(10 * time.Second)
		if n := len(b.driver.have.Announced()); n != 0 {
			t.Fatalf("%d announced, want none", n)
		}
		if n := b.driver.runs - before; n > 2 {
			t.Errorf("%d reloads for one burst, want 2 at most", n)
		}
		b.end()
	})
}
