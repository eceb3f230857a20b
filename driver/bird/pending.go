package bird

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/bird/ctl"
)

// loadTolerance is how much later than BIRD's last reconfiguration a file must have been
// written to count as not loaded: BIRD reckons its times back from now.
const loadTolerance = time.Second

// undoPending says that an operator has BIRD undo its configuration in a while, or
// returns "": each load, also one of keepcast's, ends that.
func (b *Driver) undoPending(ctx context.Context) (string, error) {
	r, err := b.ask(ctx, "configure status")
	if ctl.RefusalCode(err) != 0 {
		return "", nil // which will say why it refuses to configure
	}
	return strings.TrimPrefix(r.Text(ctl.CodeUndo), "Configuration unconfirmed, "), err
}

// mayLoad returns a finding where a load has to wait: it would only close gates, which
// nothing passes any more, and end the undo that an operator relies on.
func (b *Driver) mayLoad(ctx context.Context) error {
	if !onlyCloses(b.inForce, b.desired) {
		return nil
	}
	undo, err := b.undoPending(ctx)
	if err != nil || undo == "" {
		return err
	}
	return undoFinding(undo)
}

// onlyCloses reports whether all that desired announces is announced alike already.
func onlyCloses(inForce *driver.State, desired driver.State) bool {
	return inForce != nil && !slices.ContainsFunc(desired.Announced(), func(r driver.Route) bool {
		return !slices.ContainsFunc(inForce.Announced(), func(o driver.Route) bool {
			return o.Prefix.Masked() == r.Prefix.Masked() && inForce.InterfaceOf(o) == desired.InterfaceOf(r) && o.Attributes.Equal(r.Attributes)
		})
	})
}

// undoFinding says that BIRD waits for an operator.
func undoFinding(undo string) driver.Finding {
	return driver.Finding{
		Name: "undo-pending", Level: driver.LevelWarning, Subject: "bird",
		Text: "runs a configuration that nobody has confirmed (" + undo + "): keepcast loads nothing that only closes its gate, since a load would end the wait",
		Fix:  "run birdc configure confirm, or birdc configure undo",
	}
}

// unloaded says that a configuration file was changed and that BIRD has not loaded it: the
// next load of keepcast's puts it in force, or is refused for it.
func (b *Driver) unloaded(ctx context.Context) ([]driver.Finding, error) {
	status, err := b.ask(ctx, "show status")
	if err != nil {
		return nil, err
	}
	if b.conf == nil {
		r, err := b.ask(ctx, "configure check")
		if err != nil && ctl.RefusalCode(err) == 0 {
			return nil, err
		}
		b.conf = new(configurationFile(r))
	}
	loaded, ok := loadedAt(status, time.Now())
	if !ok || *b.conf == "" {
		return nil, nil
	}
	file, at := b.newest()
	if !at.After(loaded.Add(loadTolerance)) {
		return nil, nil
	}
	if !at.Equal(b.checked.at) {
		r, err := b.ask(ctx, "configure check")
		if err != nil && ctl.RefusalCode(err) != ctl.CodeConfigError {
			return nil, err
		}
		b.checked = checkedFiles{at, r.Text(ctl.CodeConfigError)}
	}
	if b.checked.refusal != "" {
		return []driver.Finding{configurationRefused(b.checked.refusal)}, nil
	}
	return []driver.Finding{{
		Name: "configuration-unloaded", Level: driver.LevelWarning, Subject: "bird",
		Text: fmt.Sprintf("does not run %s as it is on disk since %s: keepcast's next load would put that in force", file, at.Format(time.DateTime)),
		Fix:  "run birdc configure, or put the file back as BIRD runs it",
	}}, nil
}

// checkedFiles is what BIRD said of the configuration when a file of it was last changed.
type checkedFiles struct {
	at      time.Time
	refusal string
}

// configurationRefused says that nothing can be loaded.
func configurationRefused(why string) driver.Finding {
	return driver.Finding{
		Name: "configuration-refused", Level: driver.LevelError, Subject: "bird", Text: "refuses its configuration as it is on disk, so no change can be loaded: " + why,
		Fix: "correct it, then run birdc configure",
	}
}

// newest returns the file of the configuration that was changed last, other than the
// snippet, and when.
func (b *Driver) newest() (file string, at time.Time) {
	for _, path := range b.includes.walk(*b.conf) {
		if t := modified(path); filepath.Clean(path) != filepath.Clean(b.Snippet) && t.After(at) {
			file, at = path, t
		}
	}
	return file, at
}

// loadedAt returns when BIRD last loaded a configuration, by the clock of now. In a format
// of the operator's BIRD's times can't be read.
func loadedAt(status ctl.Reply, now time.Time) (time.Time, bool) {
	var current, last time.Time
	for _, l := range status.Lines {
		for words, into := range map[string]*time.Time{"Current server time is ": &current, "Last reconfiguration on ": &last} {
			if when, ok := strings.CutPrefix(l.Text, words); ok {
				*into, _ = time.Parse(time.DateTime, when)
			}
		}
	}
	return now.Add(last.Sub(current)), !current.IsZero() && !last.IsZero()
}
