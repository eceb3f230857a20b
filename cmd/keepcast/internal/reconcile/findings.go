package reconcile

import (
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/keepcast/keepcast/driver"
)

// findingLasts is how long something must have been found by every look before it counts.
// While a change is on its way through a daemon, its answers contradict each other for a
// moment: a prefix is there when it is asked for, and gone when its export is.
const findingLasts = time.Second

// findings are those of a driver that have lasted.
type findings struct {
	log    *slog.Logger
	first  map[string]time.Time      // when what the last look found was found first
	told   map[string]driver.Finding // what has lasted
	unsure bool                      // the last look found something that has not lasted yet
}

// look takes what an observation found, and leaves what has lasted in the report. What the
// last Apply failed with counts at once, and is logged already.
func (f *findings) look(r *Report, now time.Time) {
	var failed driver.Finding
	_ = errors.As(r.Err, &failed)
	was, told := f.first, f.told
	f.first, f.told, f.unsure = map[string]time.Time{}, map[string]driver.Finding{}, false
	r.Observed.Findings = slices.DeleteFunc(r.Observed.Findings, func(found driver.Finding) bool {
		id := found.Name + " " + found.Subject
		first, seen := was[id]
		if !seen {
			first = now
		}
		f.first[id] = first
		if found.Name != failed.Name && now.Sub(first) < findingLasts {
			f.unsure = true
			return true
		}
		f.told[id] = found
		return false
	})
	if r.Unobserved != nil { // what it did not tell may be as it was
		for id, first := range was {
			if _, found := f.first[id]; !found {
				f.first[id] = first
			}
		}
		f.told = told
		return
	}
	f.tell(told, failed.Name)
}

// tell logs what has come since it was told last, and what is over.
func (f *findings) tell(was map[string]driver.Finding, failed string) {
	for id, found := range f.told {
		if _, known := was[id]; !known && found.Level != driver.LevelInfo && found.Name != failed {
			f.log.Warn("finding", "finding", found.Name, "level", found.Level, "subject", found.Subject, "text", found.Text, "fix", found.Fix)
		}
	}
	for id, found := range was {
		if _, stays := f.told[id]; !stays && found.Level != driver.LevelInfo {
			f.log.Info("finding is over", "finding", found.Name, "subject", found.Subject)
		}
	}
}
