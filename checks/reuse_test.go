package checks

import (
	"testing"
	"time"
)

func TestReuseEvery(t *testing.T) {
	for _, tt := range []struct {
		reuse    bool
		interval time.Duration
		err      string
	}{
		{true, time.Minute - 1, ""},
		{true, time.Minute, "reuse: a connection is kept for less than a minute, and interval is 1m0s: leave out reuse, or lower interval"},
		{false, time.Hour, ""},
	} {
		var h Periodic = &HTTP{Reuse: tt.reuse}
		sameError(t, h.ValidateEvery(tt.interval), tt.err, "")
	}
}
