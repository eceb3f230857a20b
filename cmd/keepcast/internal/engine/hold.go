package engine

import (
	"time"

	"github.com/keepcast/keepcast/driver/pace"
)

// hold keeps a service that failed withdrawn for a while, twice as long with each
// failure that follows, so that its flapping does not reach the routers: flap damping
// upstream (RFC 2439) would hold it down for much longer.
type hold struct {
	first, most time.Duration
	failures    int // in a row
	last        time.Time
}

// failed notes that the service fell out of an announcing state. The count starts again
// with a failure that comes later than h.most after the last hold-down ended.
func (h *hold) failed(now time.Time) {
	if now.Sub(h.last) > h.length()+h.most {
		h.failures = 0
	}
	h.failures++
	h.last = now
}

// length is how long the service is held down after the last failure.
func (h *hold) length() time.Duration { return pace.Backoff(h.first, h.most, h.failures) }

// until is when the service may be announced again; zero: at once.
func (h *hold) until() time.Time {
	if h.failures == 0 || h.first == 0 {
		return time.Time{}
	}
	return h.last.Add(h.length())
}
