package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver/pace"
)

// checkNowLimit is how long who has checks run now waits for them: less than the command
// does, which would take keepcast for one that hangs.
const checkNowLimit = 8 * time.Second

// waiter is somebody who waits for a run of a check.
type waiter struct {
	since time.Time     // the run begins no earlier
	ran   chan struct{} // closed by the loop when it has ended
}

// asking is one check that is to run now.
type asking struct {
	check *check
	wake  func()
	waiter
}

// CheckNow has checks run now, beside their schedule, and returns what they say then. Names
// are SERVICE or SERVICE/CHECK; none: all. The runs count as any other. The loop goes on
// meanwhile: who asks waits. A check that has not run within checkNowLimit, or before ctx is
// done, is pending.
func (e *Engine) CheckNow(ctx context.Context, names []string) ([]api.CheckedNow, error) {
	ctx, cancel := context.WithTimeout(ctx, checkNowLimit)
	defer cancel()
	var all []asking
	var unknown error
	err := e.call(func() { all, unknown = e.ask(names, time.Now()) })
	if err != nil || unknown != nil {
		return nil, cmp.Or(err, unknown)
	}
	for _, a := range all {
		if pace.Wait(ctx, time.Until(a.since)) {
			a.wake()
		}
	}
	for _, a := range all {
		select {
		case <-a.ran:
		case <-ctx.Done():
		case <-e.quit:
		}
	}
	out := []api.CheckedNow{}
	err = e.call(func() {
		if e.undecided { // the state that is asked for next is to be newer than the runs
			e.decide()
		}
		for _, a := range all {
			out = append(out, a.answer())
		}
	})
	return out, err
}

// checkNowGap is the least time between two runs of a check that somebody asked for: who asks
// all the time does not have keepcast flood the service.
const checkNowGap = 250 * time.Millisecond

// ask notes that checks are to run, and from when on.
func (e *Engine) ask(names []string, now time.Time) ([]asking, error) {
	chosen, err := e.chosen(names)
	if err != nil {
		return nil, err
	}
	var all []asking
	asked := map[*check]bool{}
	for _, c := range chosen {
		run := c.run()
		if !run.woken.After(now) && !asked[run] { // else those who ask now share that run
			if run.woken = run.woken.Add(checkNowGap); run.woken.Before(now) {
				run.woken = now
			}
			run.wakeOne = sync.OnceFunc(run.wake)
		}
		asked[run] = true
		w := waiter{run.woken, make(chan struct{})}
		c.waiters = append(c.waiters, w)
		all = append(all, asking{c, run.wakeOne, w})
	}
	return all, nil
}

// chosen returns the checks of names, each once.
func (e *Engine) chosen(names []string) ([]*check, error) {
	var services []string
	for _, s := range e.services {
		services = append(services, s.cfg.Name)
	}
	if len(names) == 0 {
		names = services
	}
	var out []*check
	for _, name := range names {
		service, one, isOne := strings.Cut(name, "/")
		s := e.service(service)
		if s == nil {
			return nil, fmt.Errorf("no service %q%s", service, config.Hint(service, "running", services))
		}
		var known []string
		found := false
		for _, c := range s.checks {
			known = append(known, c.cfg.Name)
			if isOne && c.cfg.Name != one {
				continue
			}
			if found = true; !slices.Contains(out, c) {
				out = append(out, c)
			}
		}
		if !found {
			return nil, fmt.Errorf("service %s has no check %q%s", service, one, config.Hint(one, "running", known))
		}
	}
	return out, nil
}

// tellWaiters tells those who wait for the run that has just ended.
func (c *check) tellWaiters() {
	c.waiters = slices.DeleteFunc(c.waiters, func(w waiter) bool {
		over := !c.result.At.Before(w.since)
		if over {
			close(w.ran)
		}
		return over
	})
}

// answer returns what the check says now. Nobody waits for it any more.
func (a asking) answer() api.CheckedNow {
	before := len(a.check.waiters)
	a.check.waiters = slices.DeleteFunc(a.check.waiters, func(w waiter) bool { return w == a.waiter })
	results, takes := a.check.result.Health.InARow()
	return api.CheckedNow{
		Service: a.check.service.cfg.Name, CheckStatus: a.check.status(), Pending: len(a.check.waiters) < before,
		InARow: min(results, takes), Takes: takes,
	}
}
