package health

import (
	"context"
	"sync"
	"time"

	"github.com/keepcast/keepcast/driver/pace"
)

// rest is how a Probe waits for its next run: for a timer, and without a goroutine. Most checks
// rest most of the time, and the stacks of a thousand would be most of the memory of keepcast.
// While the check rests, whoever holds mu may read all of the Probe; else its turn owns it.
type rest struct {
	mu      sync.Mutex          // guards what follows
	turn    func(due time.Time) // makes the run, and has the check rest again
	timer   *time.Timer
	start   time.Time // the regular runs are whole intervals after it
	resting bool      // else a turn is under way, or the Probe has ended
	due     time.Time // when the next run is to begin; as the turn under way was to
	woken   bool      // a run is to begin for a wake
	wakes   wakes
	since   time.Time // the check is to prove itself by runs that began after that; zero: it need not
}

// begin has the check rest until its first turn.
func (p *Probe) begin(after time.Duration, turn func(due time.Time)) {
	r := &p.rest
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn, r.due, r.resting = turn, time.Now().Add(after), true
	r.start = r.due.Add(-p.Schedule.phase())
	r.timer = time.AfterFunc(after, p.ring)
}

// ring is what the timer calls, in a goroutine of its own.
func (p *Probe) ring() {
	r := &p.rest
	r.mu.Lock()
	if !r.resting { // a wake or the end came first
		r.mu.Unlock()
		return
	}
	if early := time.Until(r.due); early > 0 { // for what was due before a wake
		r.timer.Reset(early)
		r.mu.Unlock()
		return
	}
	due := r.rouse()
	r.mu.Unlock()
	r.turn(due)
}

// rouse ends the rest, for a turn that begins now, and returns when that was due. The caller
// holds mu.
func (r *rest) rouse() (due time.Time) {
	if r.woken {
		r.wakes.note(time.Now())
	}
	r.resting, r.woken = false, false
	return r.due
}

// sooner has the next run begin at a time, or now if that is over, unless it is due before. The
// caller holds mu.
func (r *rest) sooner(at, now time.Time) {
	if !at.Before(r.due) {
		return
	}
	if at.After(now) {
		r.due = at
		r.timer.Reset(at.Sub(now))
		return
	}
	r.due = now
	r.timer.Stop()
	go r.turn(r.rouse())
}

// betweenRuns reports whether the next run may begin sooner: not a run that is under way, nor the
// first one, which has its turn. The caller holds mu.
func (p *Probe) betweenRuns() bool { return p.rest.resting && !p.last.at.IsZero() }

// Hurry has the check prove itself anew. The next run begins at once, or as soon as the fast
// interval since the last one is over. While it succeeds, others follow at that interval, until
// as many as rise asks for have begun since now. It never blocks.
func (p *Probe) Hurry() {
	r := &p.rest
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	r.since = now
	if p.betweenRuns() {
		r.sooner(p.next(now), now)
	}
}

// Wake has the check run at once, or once more if it runs just now. However often it is
// called meanwhile, one run follows. It never blocks.
func (p *Probe) Wake() {
	r := &p.rest
	r.mu.Lock()
	defer r.mu.Unlock()
	r.woken = true
	if p.betweenRuns() {
		r.sooner(r.wakes.free(), time.Now())
	}
}

// goOn has the check rest again after a turn. It returns false if ctx is done: then that was
// the last one.
func (p *Probe) goOn(ctx context.Context) bool {
	r := &p.rest
	r.mu.Lock()
	defer r.mu.Unlock()
	if ctx.Err() != nil {
		return false
	}
	now := time.Now()
	next := p.next(now)
	if free := r.wakes.free(); r.woken && free.Before(next) {
		next = free
	}
	if next.Before(now) { // the run before it took that long
		next = now
	}
	r.due, r.resting = next, true
	r.timer.Reset(next.Sub(now))
	return true
}

// end ends the rest for good. It returns false if there was none: then the turn under way is
// the last one.
func (p *Probe) end() bool {
	r := &p.rest
	r.mu.Lock()
	defer r.mu.Unlock()
	rested := r.resting
	r.resting = false
	r.timer.Stop()
	return rested
}

// next returns when the check runs again, if no wake has it run before. The caller holds mu.
func (p *Probe) next(now time.Time) time.Time {
	since := p.rest.since
	switch fast := p.last.at.Add(p.Schedule.fast()); {
	case !since.IsZero() && !p.last.at.After(since):
		return fast
	case p.last.void: // soon, but what is wanting is not to be asked for all the time
		return p.last.at.Add(pace.Backoff(p.Schedule.fast(), min(p.Schedule.Interval, voidMost), p.voids))
	case p.health.Moving(), !p.last.failed && !since.IsZero() && !p.health.Proof().After(since):
		if ends := p.health.PatienceEnds(); ends.After(p.last.at) && ends.Before(fast) {
			return ends
		}
		return fast
	}
	slot := p.Schedule.slot(p.rest.start, now)
	if most := p.last.at.Add(failedMost); p.last.failed && most.Before(slot) {
		return most
	}
	return slot
}

// failedMost is the longest time until a check is run again that has failed: what was wrong
// may be over long before an interval of an hour is.
const failedMost = 30 * time.Second

// voidMost is the longest time until a check is run again after it could not be run.
const voidMost = 5 * time.Second
