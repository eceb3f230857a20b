package checks

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
// failures in a row make it Down. It knows no clock and starts no goroutine.
type Health struct {
	Rise, Fall int
	verdict    Verdict
	run        int  // results in a row like the last one
	lastGood   bool // whether the last result was a success
}

// NewHealth returns a Health that starts with the verdict first, as a restarted
// daemon does with what it had decided before.
func NewHealth(rise, fall int, first Verdict) Health {
	return Health{Rise: rise, Fall: fall, verdict: first}
}

// Verdict returns the present verdict.
func (h *Health) Verdict() Verdict { return h.verdict }

// Add takes the result of one check and returns the verdict after it.
func (h *Health) Add(err error) Verdict {
	good := err == nil
	if good != h.lastGood {
		h.run = 0
	}
	h.lastGood = good
	h.run++
	switch {
	case good && h.run >= h.Rise:
		h.verdict = Up
	case !good && h.run >= h.Fall:
		h.verdict = Down
	}
	return h.verdict
}

// Moving reports whether the last result contradicts the verdict, so that the
// next one should come sooner.
func (h *Health) Moving() bool {
	return h.run > 0 && h.lastGood != (h.verdict == Up)
}
