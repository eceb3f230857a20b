package checks

import (
	"fmt"
	"time"
)

// ValidateEvery implements Periodic.
func (h *HTTP) ValidateEvery(interval time.Duration) error { return reuseEvery(h.Reuse, interval) }

// reuseEvery says that a connection which is to be kept for the next run is not: it is kept for
// less than keptFor.
func reuseEvery(reuse bool, interval time.Duration) error {
	if !reuse || interval < keptFor {
		return nil
	}
	return fmt.Errorf("reuse: a connection is kept for less than a minute, and interval is %s: leave out reuse, or lower interval", interval)
}
