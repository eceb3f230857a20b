package health

import "time"

// wakes bounds how often a check is woken. A service that closes a socket at each question,
// or a unit that changes all the time, would else be asked without a pause. A few wakes that
// come after quiet have no delay.
type wakes struct {
	last [wakeBurst]time.Time // the latest of them, in a ring
	next int                  // where the oldest is
}

const (
	wakeBurst = 5
	wakeGap   = 50 * time.Millisecond // between two, on average
)

// free returns from when on a wake has the check run.
func (w *wakes) free() time.Time { return w.last[w.next].Add(wakeBurst * wakeGap) }

// note notes that a wake had the check run.
func (w *wakes) note(at time.Time) {
	w.last[w.next] = at
	w.next = (w.next + 1) % wakeBurst
}
