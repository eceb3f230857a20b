package engine

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// slowCheck takes its time, and counts the runs that began.
type slowCheck struct {
	takes, runs atomic.Int64
	fails       atomic.Bool
}

func (c *slowCheck) Check(context.Context) error {
	c.runs.Add(1)
	time.Sleep(time.Duration(c.takes.Load()))
	if c.fails.Load() {
		return errDead
	}
	return nil
}

// checkedNow is what a check of the harness says that ran just now.
func checkedNow(service string, verdict health.Verdict, err string, inARow, takes int) api.CheckedNow {
	return api.CheckedNow{Service: service, CheckStatus: api.CheckStatus{
		Name: "checka", Kind: "fake", OnFailure: "withdraw", Verdict: verdict, Error: err, LastRun: time.Now(),
	}, InARow: inARow, Takes: takes}
}

// Checks that are asked for run at once, and no others.
func TestCheckNow(t *testing.T) {
	b := newHarness(t)
	dns, ldap := &fakeCheck{}, &fakeCheck{err: errDead}
	b.service("dns", address, dns)
	b.service("ldap", "192.0.2.54/32", ldap)
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(5500 * time.Millisecond)
		dns.ran()
		ldap.ran()
		for _, tt := range []struct {
			names     []string
			dns, ldap int
		}{
			{[]string{"dns"}, 1, 0},
			{[]string{"ldap/checka"}, 0, 1},
			{nil, 1, 1},
			{[]string{"ldap", "dns/checka", "ldap/checka"}, 1, 1},
		} {
			asked := time.Now()
			got, err := b.engine.CheckNow(t.Context(), tt.names)
			var want []api.CheckedNow
			if tt.ldap > 0 {
				want = append(want, checkedNow("ldap", health.Down, "connection refused", 2, 2))
			}
			if tt.dns > 0 {
				want = append(want, checkedNow("dns", health.Up, "", 3, 3))
			}
			if len(tt.names) == 0 {
				want[0], want[1] = want[1], want[0]
			}
			if diff := cmp.Diff(want, got); diff != "" || err != nil || time.Since(asked) != 0 {
				t.Errorf("%s: after %s: %v\n%s", tt.names, time.Since(asked), err, diff)
			}
			if d, l := dns.ran(), ldap.ran(); d != tt.dns || l != tt.ldap {
				t.Errorf("%s: dns ran %d times, ldap %d", tt.names, d, l)
			}
			later(5 * time.Second)
			dns.ran()
			ldap.ran()
		}
		b.end()
	})
}

func TestCheckNowUnknown(t *testing.T) {
	b := newHarness(t)
	c := &fakeCheck{}
	b.service("dns", address, c, &fakeCheck{})
	b.service("ldap", "192.0.2.54/32", &fakeCheck{})
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(5500 * time.Millisecond)
		c.ran()
		for name, want := range map[string]string{
			"web":        `no service "web" (running: dns, ldap)`,
			"web/checka": `no service "web" (running: dns, ldap)`,
			"dns/c":      `service dns has no check "c" (running: checka, checkb)`,
			"dns/":       `service dns has no check "" (running: checka, checkb)`,
		} {
			got, err := b.engine.CheckNow(t.Context(), []string{"dns", name})
			if drivertest.ErrText(err) != want || got != nil {
				t.Errorf("%s: got %v, %v", name, got, err)
			}
		}
		later(0)
		if n := c.ran(); n > 0 {
			t.Errorf("ran %d times", n)
		}
		b.end()
		if _, err := b.engine.CheckNow(t.Context(), nil); !errors.Is(err, api.ErrStopped) {
			t.Errorf("once it has ended: %v", err)
		}
	})
}

// A run that was asked for counts as any other, also of a drained service, and who asks for
// the status next is told what it led to.
func TestCheckNowCounts(t *testing.T) {
	b := newHarness(t)
	dns, ldap := &fakeCheck{}, &fakeCheck{}
	b.service("dns", address, dns)
	b.service("ldap", "192.0.2.54/32", ldap)
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(5500 * time.Millisecond)
		if err := b.engine.Drain([]string{"ldap"}, time.Time{}, "", ""); err != nil {
			t.Fatal(err)
		}
		dns.set(errDead)
		ldap.set(errDead)
		got, err := b.engine.CheckNow(t.Context(), []string{"ldap", "dns"})
		want := []api.CheckedNow{checkedNow("ldap", health.Up, "connection refused", 1, 2), checkedNow("dns", health.Up, "connection refused", 1, 2)}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v\n%s", err, diff)
		}
		b.want("dns", api.Announced, "all checks up")
		later(249 * time.Millisecond) // the fast interval is over in a moment
		got, err = b.engine.CheckNow(t.Context(), []string{"dns"})
		if diff := cmp.Diff([]api.CheckedNow{checkedNow("dns", health.Down, "connection refused", 2, 2)}, got); diff != "" || err != nil {
			t.Errorf("%v\n%s", err, diff)
		}
		if state, _ := b.state("dns"); state != api.Withdrawn {
			t.Errorf("it is %s", state)
		}
		b.end()
	})
}

// Whoever asks all the time, and however many do, a service is not flooded.
func TestCheckNowDoesNotFlood(t *testing.T) {
	b := newHarness(t)
	c := &fakeCheck{}
	b.service("dns", address, c).Checks[0].Interval = time.Hour
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(time.Minute)
		c.ran()
		began := time.Now()
		ended := make(chan error)
		for range 10 {
			go func() {
				for range 20 {
					if _, err := b.engine.CheckNow(context.Background(), nil); err != nil {
						ended <- err
						return
					}
				}
				ended <- nil
			}()
		}
		for range 10 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		took := time.Since(began)
		if n, most := c.ran(), 1+int(took/checkNowGap); n > most || took < 19*checkNowGap || took > 30*checkNowGap {
			t.Errorf("ran %d times in %s", n, took)
		}
		b.end()
	})
}

// A run that began before somebody asked does not answer, and one that takes too long is
// not waited for; the loop waits for neither.
func TestCheckNowPending(t *testing.T) {
	b := newHarness(t)
	c := &slowCheck{}
	c.takes.Store(int64(3 * time.Second))
	s := b.service("dns", address, c)
	s.Checks[0].Timeout, s.Checks[0].Interval, s.Checks[0].Rise = time.Minute, time.Hour, 1
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(time.Second)
		asked := time.Now()
		got, err := b.engine.CheckNow(t.Context(), nil)
		if took := time.Since(asked); took != 5*time.Second || err != nil || c.runs.Load() != 2 || got[0].Pending || got[0].LastRun != asked.Add(2*time.Second) || got[0].Seconds != 3 {
			t.Errorf("after %s and %d runs: %+v, %v", took, c.runs.Load(), got, err)
		}
		c.takes.Store(int64(20 * time.Second))
		asked = time.Now()
		done := make(chan api.CheckedNow)
		go func() {
			got, _ := b.engine.CheckNow(context.Background(), nil)
			done <- got[0]
		}()
		later(time.Second)
		if err := b.engine.Drain(nil, time.Time{}, "", ""); err != nil || time.Since(asked) != time.Second {
			t.Errorf("a drain takes %s, %v", time.Since(asked), err)
		}
		if got := <-done; !got.Pending || got.Verdict != health.Up || time.Since(asked) != checkNowLimit {
			t.Errorf("after %s: %+v", time.Since(asked), got)
		}
		gone, leave := context.WithCancel(t.Context())
		leave()
		asked = time.Now()
		if got, err := b.engine.CheckNow(gone, nil); err != nil || !got[0].Pending || time.Since(asked) != 0 {
			t.Errorf("who has gone: %+v, %v", got, err)
		}
		waiting := -1
		if err := b.engine.call(func() { waiting = len(b.engine.services[0].checks[0].waiters) }); err != nil || waiting != 0 {
			t.Errorf("%d wait still, %v", waiting, err)
		}
		later(time.Minute)
		go func() {
			_, err := b.engine.CheckNow(context.Background(), nil)
			if !errors.Is(err, api.ErrStopped) {
				t.Errorf("at the end: %v", err)
			}
		}()
		later(time.Second)
		b.stop()
		<-b.done
		later(time.Minute)
	})
}

// What a run led to is decided before its result is told, also in the middle of a burst: who
// asks for the status next is told of it.
func TestCheckNowIsDecidedFirst(t *testing.T) {
	b := newHarness(t)
	c := &slowCheck{}
	s := b.service("dns", address, c)
	s.Checks[0].Interval, s.Checks[0].Rise, s.Checks[0].Fall = time.Hour, 1, 1
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(time.Second)
		b.want("dns", api.Announced, "all checks up")
		c.takes.Store(int64(100 * time.Millisecond))
		c.fails.Store(true)
		go func() { _, _ = b.engine.CheckNow(context.Background(), nil) }()
		synctest.Wait() // the check runs
		learn, answer := make(chan struct{}), make(chan struct{})
		b.engine.post(func() { <-learn })
		later(time.Second) // its result waits
		b.engine.post(func() { <-answer })
		close(learn)
		synctest.Wait() // the answer waits
		var seen api.State
		b.engine.post(func() { seen, _ = b.state("dns") })
		close(answer)
		synctest.Wait()
		if seen != api.Withdrawn {
			t.Errorf("%s behind the answer", seen)
		}
		b.end()
	})
}
