package engine

import (
	"cmp"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/keepcast/keepcast/checks"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
)

// mostReason is how long the reason of a report may be, in bytes: it is in the log and in
// each status.
const mostReason = 1024

// mostTTL is how long a report may hold: the most that a check may have as its ttl.
const mostTTL = 7 * 24 * time.Hour

// Report hands a check of kind push what somebody says of its service. What follows from it
// is decided as for any other run.
func (e *Engine) Report(r api.ReportRequest, by string) error {
	ttl := time.Duration(r.Seconds * float64(time.Second))
	switch {
	case !strings.Contains(r.Check, "/"):
		return fmt.Errorf("%q names no check: a report is for one, as in SERVICE/CHECK", r.Check)
	case math.IsNaN(r.Seconds) || r.Seconds < 0 || r.Seconds > mostTTL.Seconds():
		return fmt.Errorf("a report can't hold for %gs: from 0s (as long as the check has it) to %s", r.Seconds, mostTTL)
	case len(r.Reason) > mostReason:
		return fmt.Errorf("the reason has %d bytes, more than %d", len(r.Reason), mostReason)
	}
	var refused error
	err := e.call(func() {
		var chosen []*check
		if chosen, refused = e.chosen([]string{r.Check}); refused != nil {
			return
		}
		c := chosen[0]
		push, ok := c.runs.(*checks.Push)
		if !ok {
			refused = fmt.Errorf("check %s is of kind %s: reports are for those of kind push", r.Check, c.cfg.Kind)
			return
		}
		push.Report(checks.Report{Up: r.Up, Reason: r.Reason, TTL: ttl, By: by, At: time.Now()})
		c.log.Debug("reported", "up", r.Up, "reason", r.Reason, "ttl", ttl, "by", by)
	})
	return cmp.Or(err, refused)
}

// inheritReport has a check of kind push go on with what an earlier one was told.
func inheritReport(cfg *config.Check, was *check) {
	to, isPush := cfg.Checker.(*checks.Push)
	if from, wasPush := was.runs.(*checks.Push); isPush && wasPush {
		to.Inherit(from)
	}
}
