package engine

import (
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// moves returns what the log told of the states of a service.
func (b *harness) moves(name string) (told []string) {
	for _, m := range regexp.MustCompile(`msg="service state (decided|reached)" service=`+name+` state=(\w+)`).FindAllStringSubmatch(b.log.String(), -1) {
		told = append(told, m[1]+" "+m[2])
	}
	return told
}

// The log said that a service was degraded, or draining, as soon as that was decided: the
// neighbors still had it as before, or at all, since the daemon refused the change.
func TestReachedOnceItIs(t *testing.T) {
	b := newHarness(t)
	b.keep = true
	c, worse := &fakeCheck{}, &fakeCheck{}
	b.service("dns", address, c, worse).Checks[1].OnFailure = "degrade"
	b.driver.neighbors = []driver.Neighbor{{Name: "r1", Protocol: "bgp", IPv4: true, Up: true}}
	b.cfg.Drivers[0].FollowsAddress = false // its gate closes at once
	obeys := func(err error) { b.driver.set(func() { b.driver.fail = err }) }
	synctest.Test(t, func(t *testing.T) {
		b.start()
		told := 0
		for _, step := range []struct {
			what string
			do   func()
			then time.Duration
			want []string
		}{
			{"it is fit", func() {}, 5 * time.Second, []string{"decided announced", "reached announced"}},
			{"it is slow", func() { worse.set(errDead) }, 5 * time.Second, []string{"decided degraded", "reached degraded"}},
			{"it is not, but its daemon refuses", func() { obeys(errDead); worse.set(nil) }, 5 * time.Second, []string{"decided announced"}},
			{"its daemon obeys", func() { obeys(nil) }, time.Minute, []string{"reached announced"}},
			{"it is slow, but its daemon refuses", func() { obeys(errDead); worse.set(errDead) }, 5 * time.Second, []string{"decided degraded"}},
			{"its daemon obeys", func() { obeys(nil) }, time.Minute, []string{"reached degraded"}},
			{"it is drained", func() { b.order("dns") }, 5 * time.Second, []string{"decided draining", "reached draining"}},
			{"linger is over", func() {}, 10 * time.Second, []string{"decided withdrawn", "reached withdrawn"}},
			{"it is resumed", func() { b.resume("dns") }, 5 * time.Second, []string{"decided degraded", "reached degraded"}},
			{"it is drained, but its daemon refuses", func() { obeys(errDead); b.order("dns") }, 2 * time.Second, []string{"decided draining"}},
			{"its daemon obeys", func() { obeys(nil) }, 6 * time.Second, []string{"reached draining"}},
			{"linger is over", func() {}, 5 * time.Second, []string{"decided withdrawn", "reached withdrawn"}},
			{"it is resumed", func() { b.resume("dns") }, 5 * time.Second, []string{"decided degraded", "reached degraded"}},
			{"it is drained, but its daemon refuses", func() { obeys(errDead); b.order("dns") }, 15 * time.Second, []string{"decided draining", "decided withdrawn"}},
			{"its daemon obeys", func() { obeys(nil) }, time.Minute, []string{"reached withdrawn"}},
		} {
			step.do()
			later(step.then)
			moves := b.moves("dns")
			if diff := cmp.Diff(step.want, moves[told:]); diff != "" {
				t.Errorf("%s (-want +got):\n%s", step.what, diff)
			}
			told = len(moves)
		}
		b.end()
	})
}

// A service is reached at once where nothing is left to be done, and never as long as its
// daemon does not answer.
func TestReachedWhen(t *testing.T) {
	b := newHarness(t)
	b.keep = true
	c, worse := &fakeCheck{}, &fakeCheck{}
	dns := b.service("dns", address, c, worse)
	dns.Checks[1].OnFailure, dns.Linger = "degrade", 7*time.Second // no daemon is asked just then
	b.driver.neighbors = []driver.Neighbor{{Name: "r1", Protocol: "bgp", IPv4: true, Up: true}}
	b.cfg.Drivers[0].FollowsAddress = false
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(5 * time.Second)
		b.driver.set(func() { b.driver.hang = true })
		worse.set(errDead)
		later(50 * time.Second) // a minute is the limit of one Apply
		b.wantLog(1, `msg="service state decided" service=dns state=degraded`)
		b.wantLog(0, `msg="service state reached" service=dns state=degraded`)
		b.driver.set(func() { b.driver.hang = false })
		later(time.Minute)
		b.wantLog(1, `msg="service state reached" service=dns state=degraded`)
		b.order("dns")
		later(20 * time.Second)
		b.wantLog(1, `msg="service state reached" service=dns state=withdrawn after=0s`)
		b.end()
	})
}

// A daemon that exports a service whatever its driver fails with is believed.
func TestReachedThoughDriverFails(t *testing.T) {
	b := newHarness(t)
	b.keep = true
	b.service("dns", address, &fakeCheck{})
	b.driver.neighbors = []driver.Neighbor{{Name: "r1", Protocol: "bgp", IPv4: true, Up: true}}
	b.driver.fail = errDead
	b.driver.have.Routes = []driver.Route{drivertest.Route(address, driver.Announced)}
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(10 * time.Second)
		if diff := cmp.Diff([]string{"decided announced", "reached announced"}, b.moves("dns")); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		b.end()
	})
}

// order drains a service, and resume ends that.
func (b *harness) order(name string) {
	b.t.Helper()
	if err := b.engine.Drain([]string{name}, time.Time{}, "", ""); err != nil {
		b.t.Error(err)
	}
}

func (b *harness) resume(name string) {
	b.t.Helper()
	if err := b.engine.Resume([]string{name}); err != nil {
		b.t.Error(err)
	}
}
