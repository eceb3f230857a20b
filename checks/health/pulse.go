package health

import (
	"context"
	"runtime"
	"sync"
	"time"
)

// Pulse knows how late keepcast itself was of late: a goroutine that wants to wake at
// fixed times notes when it did. While the processor is short, an answer that came in
// time is read too late, and a healthy service would seem to time out. The
// zero Pulse does not beat and, like a nil one, knows of no delay.
type Pulse struct {
	mu    sync.Mutex // guards what follows: Run writes, each probe that timed out reads
	due   time.Time  // when the next beat should come; zero while Run is not running
	delay []delay    // the newest last; each is longer than those after it
}

// delay is a beat that came late.
type delay struct {
	at time.Time // when it came
	by time.Duration
}

const (
	beat  = 20 * time.Millisecond // time from one beat to the next
	noted = 2 * time.Millisecond  // a shorter delay is usual
	kept  = 15 * time.Minute      // longer than any timeout
)

// Run beats until ctx is done. One Run at a time.
func (p *Pulse) Run(ctx context.Context) {
	next := time.NewTimer(beat)
	defer next.Stop()
	p.note(time.Time{}, time.Now())
	defer p.rest()
	for {
		due := time.Now().Add(beat)
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		}
		// A goroutine that a timer wakes goes before all others. One whose answer has
		// come waits its turn, so the pulse does the same.
		runtime.Gosched()
		now := time.Now()
		p.note(due, now)
		next.Reset(beat)
	}
}

// note takes a beat that was due and came now.
func (p *Pulse) note(due, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.due = now.Add(beat)
	by := now.Sub(due)
	if due.IsZero() || by < noted {
		return
	}
	n := len(p.delay)
	for n > 0 && p.delay[n-1].by <= by {
		n--
	}
	old := 0
	for old < n && now.Sub(p.delay[old].at) > kept {
		old++
	}
	p.delay = append(p.delay[old:n], delay{now, by})
}

func (p *Pulse) rest() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.due = time.Time{}
}

// Late returns the longest time that keepcast was late since then, the present delay
// included.
func (p *Pulse) Late(since time.Time) time.Duration {
	if p == nil {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	var most time.Duration
	if !p.due.IsZero() {
		most = min(now.Sub(p.due), now.Sub(since))
	}
	for _, d := range p.delay {
		most = max(most, min(d.by, d.at.Sub(since)))
	}
	return max(most, 0)
}
