package reconcile

import (
	"context"
	"fmt"
	"time"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/pace"
)

// nextObserve returns when the next observation is due.
func (w *worker) nextObserve() time.Time {
	wait := observeInterval
	if !w.agreed {
		wait = pace.Backoff(loadSpacing, observeInterval, w.misses)
	}
	if w.findings.unsure {
		wait = min(wait, findingLasts)
	}
	return time.Now().Add(wait)
}

// observe asks the daemon what it announces.
func (w *worker) observe(ctx context.Context) {
	observed, err := w.driver.Driver.Observe(ctx)
	if ctx.Err() != nil {
		return
	}
	if err != nil && w.state.Unobserved == nil && w.state.Err == nil {
		w.log.Warn("daemon can't be asked what it announces", "err", err)
	}
	w.state.Observed, w.state.Unobserved = observedOf(observed, err), err
	w.findings.look(&w.state, time.Now())
	w.agreed = err == nil && w.state.Observed.agrees(w.now.State)
	w.misses++
	if w.agreed {
		w.misses, w.reminders, w.recalls = 0, 0, 0
	}
	if err == nil {
		w.keeps(w.state.Observed.kept(w.now.State))
	}
	report := w.status()
	// Whatever the last Apply failed with: nothing else takes these back.
	if recall := w.state.Observed.Recall; err == nil && w.misses > missesTolerated && w.recalls < remindersMost && len(recall) > 0 {
		w.recalls++
		report.recall = recall
	}
	if err == nil && w.ok && w.misses > missesTolerated && w.reminders < remindersMost {
		report.missed = w.state.Observed.missed(w.now.State)
		if len(report.missed) > 0 {
			w.reminders++
		}
	}
	w.report(report)
}

// keeps notes what the daemon goes on announcing, once it has had the time to withdraw it.
func (w *worker) keeps(kept []driver.Route) {
	was := w.kept
	switch {
	case len(kept) == 0 || w.state.Err != nil:
		w.kept = nil
	case len(kept) == 1 && (was != nil || w.misses > missesTolerated):
		w.kept = fmt.Errorf("still announces %s, which is withdrawn", kept[0].Prefix.Masked())
	case was != nil || w.misses > missesTolerated:
		w.kept = fmt.Errorf("still announces %s and %d more, which are withdrawn", kept[0].Prefix.Masked(), len(kept)-1)
	}
	switch {
	case w.kept != nil && was == nil:
		w.log.Error("daemon does not withdraw", "err", w.kept)
	case len(kept) == 0 && was != nil:
		w.log.Info("daemon has withdrawn it by now")
	}
}
