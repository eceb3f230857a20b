package health

import (
	"math/rand/v2"
	"time"
)

// Schedule says when a check runs and what its results add up to.
type Schedule struct {
	Interval     time.Duration `config:"interval" default:"1s" min:"10ms" max:"1h" doc:"Time from the start of one run to the start of the next; after a failure 30s at the most."`
	FastInterval time.Duration `config:"fast_interval" default:"250ms" min:"10ms" max:"1h" doc:"Interval while the check is on its way from up to down or back, or has no verdict yet; the shorter one of this and interval counts."`
	Timeout      time.Duration `config:"timeout" default:"500ms" min:"1ms" max:"10m" doc:"A run that takes longer has failed."`
	Jitter       float64       `config:"jitter" default:"0.1" min:"0" max:"1" doc:"Each run starts later by a random part of this share of the interval, so that the checks of many hosts do not run at the same moments. With 0 those of one host all run at the same moments, too."`
	Rise         int           `config:"rise" default:"3" min:"1" max:"1000" doc:"Successes in a row that make the check up."`
	Fall         int           `config:"fall" default:"2" min:"1" max:"1000" doc:"Failures in a row that make the check down. A certain failure makes it down at once: nothing listens on the port any more, the unit has stopped, the process is gone."`
	Patience     time.Duration `config:"patience" default:"0s" min:"0s" max:"10m" doc:"How long a certain failure is given to heal by itself, for a service whose restart takes a moment and need not move a route. Until then it does not count, and the check runs at fast_interval. Clients that come meanwhile are refused: leave it at 0s unless a restart takes less time than the routing needs to move twice."`
}

// slot returns when the next regular run starts: the first multiple of Interval
// after start that is still to come, plus the jitter. Counting from start keeps
// the runs from drifting; slots that a long run missed are left out.
func (s Schedule) slot(start, now time.Time) time.Time {
	n := now.Sub(start)/s.Interval + 1
	next := start.Add(n * s.Interval)
	late := next.Add(time.Duration(rand.Float64() * s.Jitter * float64(s.Interval)))
	if at := late.Add(-(time.Duration(late.UnixNano()) - firstTick) % tick); at.After(next) {
		return at
	}
	return late
}

// tick is the time between the moments at which runs with jitter begin, where it leaves the
// choice. To wake once for several checks costs less than to wake for each.
const tick = 50 * time.Millisecond

// firstTick is another one on each host, so that many hosts do not begin together.
var firstTick = rand.N(tick)

// phase returns how much of the first interval is left out. Checks that start together, as
// all do with keepcast, would else run together for ever.
func (s Schedule) phase() time.Duration {
	if s.Jitter == 0 {
		return 0
	}
	return rand.N(s.Interval)
}

// fast returns the interval while a verdict is on the move.
func (s Schedule) fast() time.Duration {
	return min(s.FastInterval, s.Interval)
}
