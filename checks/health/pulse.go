package health

import (
	"runtime"
	"sync"
	"time"
)

// Pulse knows how late keepcast itself was of late: it wants to wake at fixed times and notes
// when it did. While the processor is short, an answer that came in time is read too late, and
// a healthy service would seem to time out. It beats only while somebody may ask, so that an
// idle host sleeps. The zero Pulse is at rest; a nil one never beats and knows of no delay.
type Pulse struct {
	mu    sync.Mutex // guards what follows
	users int        // who have it beat
	timer *time.Timer
	due   time.Time // when the next beat should come; zero at rest
	delay []delay   // the newest last; each is longer than those after it
}

// delay is a beat that came late.
type delay struct {
	at time.Time // when it came
	by time.Duration
}

const (
	beat  = 20 * time.Millisecond // time from one beat to the next
	first = beat / 4              // time until the first one: the timeout of a run may be short
	noted = 2 * time.Millisecond  // a shorter delay is usual
	kept  = 15 * time.Minute      // longer than any timeout
)

// start has the pulse beat until stop is called.
func (p *Pulse) start() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.users++; p.users > 1 {
		return
	}
	p.due = time.Now().Add(first)
	if p.timer == nil {
		p.timer = time.AfterFunc(first, p.beat)
	} else {
		p.timer.Reset(first)
	}
}

// stop is the end of a start.
func (p *Pulse) stop() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.users--; p.users == 0 {
		p.timer.Stop()
		p.due = time.Time{}
	}
}

// beat is what the timer calls.
func (p *Pulse) beat() {
	// A goroutine that a timer wakes goes before all others. One whose answer has
	// come waits its turn, so the pulse does the same.
	runtime.Gosched()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.users == 0 { // stop came first
		return
	}
	now := time.Now()
	p.note(now, now.Sub(p.due))
	p.due = now.Add(beat)
	p.timer.Reset(beat)
}

// note takes a beat that came now, late by so much. The caller holds mu.
func (p *Pulse) note(now time.Time, by time.Duration) {
	if by < noted {
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
