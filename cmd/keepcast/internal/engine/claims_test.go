package engine

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/driver"
)

// The README claims three things of keepcast that other tools can't. "A withdrawal waits for
// nothing" is held by TestNothingStallsTheKernel, the others here.

// "After a reload that failed: retried for ever, and shown." The daemon refuses for a day.
func TestRetriedForEverAndShown(t *testing.T) {
	b := newHarness(t)
	b.keep = true
	b.service("dns", address, &fakeCheck{})
	b.driver.fail = errDead
	synctest.Test(t, func(t *testing.T) {
		b.start()
		for range 24 {
			later(time.Hour)
			s, err := b.engine.Status()
			if err != nil {
				t.Fatal(err)
			}
			if d := s.Drivers[1]; d.InSync || d.Error != errDead.Error() {
				t.Fatalf("shown as %+v", d)
			}
		}
		b.driver.set(func() { b.driver.fail = nil })
		later(30 * time.Second) // the longest time between two attempts
		if s, err := b.engine.Status(); err != nil || !s.Drivers[1].InSync {
			t.Errorf("not retried: %v, %+v", err, s.Drivers)
		}
		b.end()
	})
}

// keepingDriver is a daemon that lets go of nothing that it ever had.
type keepingDriver struct{ *fakeDriver }

func (d keepingDriver) Apply(ctx context.Context, want driver.State) error {
	if len(want.Announced()) == 0 {
		return nil
	}
	return d.fakeDriver.Apply(ctx, want)
}

// "What it believes: what kernel and daemon answer when asked." The daemon says that it took
// everything, and has nothing of it. Then it keeps what it was told to let go of.
func TestBelievesWhatIsAnswered(t *testing.T) {
	b := newHarness(t)
	b.keep = true
	c := &fakeCheck{}
	b.service("dns", address, c)
	b.driver.deaf = true
	b.cfg.Drivers[0].Driver = keepingDriver{b.driver}
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(time.Minute)
		b.want("dns", api.Announced, "all checks up")
		b.shows("dns", api.Announcing)
		b.driver.set(func() { b.driver.deaf = false })
		later(time.Minute)
		b.shows("dns", api.Announced)
		c.set(errDead)
		later(time.Minute)
		b.want("dns", api.Withdrawn, "check checka: connection refused")
		b.shows("dns", api.Withdrawing)
		if s, err := b.engine.Status(); err != nil || s.Drivers[1].InSync {
			t.Errorf("in sync, though it announces what is withdrawn: %v, %+v", err, s.Drivers[1])
		}
		b.end()
	})
}
