package checks

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keepcast/keepcast/checks/health"
)

func newPush(ttl time.Duration) *Push {
	p := func() Checker { k, _ := KindByName("push"); return k.New() }().(*Push)
	p.TTL = ttl
	return p
}

// What a push check says, as time goes on and reports come.
func TestPush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPush(10 * time.Second)
		says := func(what, want string, void, certain bool) {
			t.Helper()
			err := p.Check(t.Context())
			got := ""
			if err != nil {
				got = err.Error()
			}
			if got != want || health.IsVoid(err) != void || health.IsCertain(err) != certain {
				t.Errorf("%s: got %q, void %t, certain %t", what, got, health.IsVoid(err), health.IsCertain(err))
			}
		}
		says("at first", "nobody has reported yet", true, false)
		time.Sleep(10*time.Second - 1)
		says("right before the time is over", "nobody has reported yet", true, false)
		time.Sleep(time.Nanosecond)
		says("silence", "nobody has reported within 10s of the start", false, false)
		p.Report(Report{Up: true, By: "alice", At: time.Now()})
		says("up", "", false, false)
		time.Sleep(10*time.Second - 1)
		says("still up", "", false, false)
		time.Sleep(time.Nanosecond)
		says("over", "the report that it is up, by alice, held for 10s and is over", false, false)
		p.Report(Report{Reason: "CHG-1", TTL: time.Hour, By: "bob", At: time.Now()})
		says("down", "reported down by bob: CHG-1", false, true)
		time.Sleep(59 * time.Minute)
		says("still down", "reported down by bob: CHG-1", false, true)
		time.Sleep(time.Minute)
		says("down is over", "the report that it is down, by bob, held for 1h0m0s and is over", false, false)
		p.Report(Report{By: "bob", At: time.Now()})
		says("without a reason", "reported down by bob", false, true)
	})
}

// A report, and the end of its time, wake the check.
func TestPushWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPush(10 * time.Second)
		ctx, stop := context.WithCancel(t.Context())
		var woken atomic.Int64
		done := make(chan error)
		go func() { done <- p.Watch(ctx, func() { woken.Add(1) }) }()
		after := func(d time.Duration, want int64) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			if n := woken.Load(); n != want {
				t.Errorf("woken %d times, want %d", n, want)
			}
		}
		after(10*time.Second-1, 0)
		after(1, 1) // nobody has reported
		p.Report(Report{Up: true, At: time.Now()})
		after(0, 2)
		after(9*time.Second, 2)
		p.Report(Report{Up: true, At: time.Now(), TTL: time.Hour})
		after(0, 3)
		after(time.Hour-1, 3)
		after(1, 4)
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// A reload that changes the settings forgets no report, and does not begin the wait anew.
func TestPushInherits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := newPush(time.Minute)
		time.Sleep(time.Minute)
		silent := newPush(time.Minute)
		silent.Inherit(old)
		if err := silent.Check(t.Context()); err == nil || health.IsVoid(err) {
			t.Errorf("the wait begins anew: %v", err)
		}
		old.Report(Report{Up: true, At: time.Now()})
		told := newPush(time.Second)
		told.Inherit(old)
		time.Sleep(59 * time.Second)
		if err := told.Check(t.Context()); err != nil {
			t.Errorf("the report is forgotten: %v", err)
		}
	})
}
