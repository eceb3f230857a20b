package health

import (
	"slices"
	"time"
)

// Verdict is what a check's results add up to.
type Verdict int

// The verdicts. Unknown is the verdict of a check that has not yet succeeded
// or failed often enough since it started; it counts as down.
const (
	Unknown Verdict = iota
	Down
	Up
)

// String returns the verdict as it is shown: unknown, down or up.
func (v Verdict) String() string {
	switch v {
	case Down:
		return "down"
	case Up:
		return "up"
	default:
		return "unknown"
	}
}

// MarshalText makes a verdict readable in JSON and in the saved state.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads what MarshalText wrote; anything else is Unknown.
func (v *Verdict) UnmarshalText(text []byte) error {
	switch string(text) {
	case "up":
		*v = Up
	case "down":
		*v = Down
	default:
		*v = Unknown
	}
	return nil
}

// Health turns results into a verdict: Rise successes in a row make it Up, Fall
// failures in a row make it Down, and so does one that is certain. A certain one does not
// count before Patience is over. It starts no goroutine. A copy is independent.
type Health struct {
	Rise, Fall int
	Patience   time.Duration
	verdict    Verdict
	run        int         // results in a row like the last one
	lastGood   bool        // whether the last result was a success
	begun      []time.Time // when the last successes in a row began, Rise of them at most
	certain    time.Time   // when the first certain failure since the last success began; zero: there is none
}

// NewHealth returns a Health that starts with the verdict first, as a restarted
// daemon does with what it had decided before.
func NewHealth(rise, fall int, first Verdict) Health {
	return Health{Rise: rise, Fall: fall, verdict: first}
}

// Verdict returns the present verdict.
func (h *Health) Verdict() Verdict { return h.verdict }

// Add takes the result of one check that began at a time, and returns the verdict after it.
// A void result changes nothing.
func (h *Health) Add(err error, began time.Time) Verdict {
	if IsVoid(err) {
		return h.verdict
	}
	good, certain := err == nil, IsCertain(err)
	if good != h.lastGood {
		h.run, h.begun = 0, nil
	}
	h.lastGood = good
	switch {
	case good:
		h.certain = time.Time{}
	case certain && h.certain.IsZero():
		h.certain = began
	}
	if certain && began.Before(h.PatienceEnds()) {
		return h.verdict // it may heal by itself
	}
	h.run++
	if good {
		h.begun = append(slices.Clone(h.begun), began)
		h.begun = h.begun[max(0, len(h.begun)-h.Rise):]
	}
	switch {
	case good && h.run >= h.Rise:
		h.verdict = Up
	case certain, !good && h.run >= h.Fall:
		h.verdict = Down
	}
	return h.verdict
}

// PatienceEnds returns when a certain failure counts, if it has not healed by then; zero
// where there was none since the last success.
func (h *Health) PatienceEnds() time.Time {
	if h.certain.IsZero() {
		return time.Time{}
	}
	return h.certain.Add(h.Patience)
}

// InARow returns how many results like the last one there were in a row, and how many of them
// it takes for a verdict.
func (h *Health) InARow() (results, takes int) {
	if h.lastGood {
		return h.run, h.Rise
	}
	return h.run, h.Fall
}

// Moving reports whether the last result contradicts the verdict, or there is none yet, so
// that the next one should come sooner.
func (h *Health) Moving() bool {
	return (h.run > 0 || !h.certain.IsZero()) && (h.verdict == Unknown || h.lastGood != (h.verdict == Up))
}

// Proof returns when the oldest of the last Rise successes in a row began; zero unless
// there are as many. What was so before may not be so since.
func (h *Health) Proof() time.Time {
	if h.Rise < 1 || len(h.begun) < h.Rise {
		return time.Time{}
	}
	return h.begun[len(h.begun)-h.Rise]
}

// Carried returns the Health with the rise, fall and patience of a Schedule. What it has
// counted stays.
func (h *Health) Carried(s Schedule) Health {
	out := *h
	out.Rise, out.Fall, out.Patience = s.Rise, s.Fall, s.Patience
	return out
}
