package checks

import (
	"fmt"
	"time"
)

// The kinds that keep a connection for the next run where they are told to, see kept.

// ValidateEvery implements Periodic.
func (d *DNS) ValidateEvery(interval time.Duration) error { return reuseEvery(d.Reuse, interval) }

// Close implements io.Closer.
func (d *DNS) Close() error { d.kept.drop(); return nil }

// ValidateEvery implements Periodic.
func (g *GRPC) ValidateEvery(interval time.Duration) error { return reuseEvery(g.Reuse, interval) }

// Close implements io.Closer.
func (g *GRPC) Close() error { g.kept.drop(); return nil }

// ValidateEvery implements Periodic.
func (h *HTTP) ValidateEvery(interval time.Duration) error { return reuseEvery(h.Reuse, interval) }

// Close implements io.Closer.
func (h *HTTP) Close() error { h.kept.drop(); return nil }

// ValidateEvery implements Periodic.
func (m *Metrics) ValidateEvery(interval time.Duration) error { return reuseEvery(m.Reuse, interval) }

// Close implements io.Closer.
func (m *Metrics) Close() error { m.kept.drop(); return nil }

// reuseEvery says that a connection which is to be kept for the next run is not: it is kept for
// less than keptFor.
func reuseEvery(reuse bool, interval time.Duration) error {
	if !reuse || interval < keptFor {
		return nil
	}
	return fmt.Errorf("reuse: a connection is kept for less than a minute, and interval is %s: leave out reuse, or lower interval", interval)
}
