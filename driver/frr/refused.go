package frr

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/keepcast/keepcast/driver/frr/vty"
	"github.com/keepcast/keepcast/driver/pace"
)

const (
	// statusFailed is the status byte of a command that was understood, but that the
	// daemon could not bring in force (CMD_WARNING_CONFIG_FAILED in FRR).
	statusFailed = 13
	// resendFirst and resendMost bound how long a line that mgmtd refused is not sent again.
	resendFirst, resendMost = time.Minute, time.Hour
)

// refusals are the lines that mgmtd could not bring in force, by where they stand. Mgmtd
// 10.3 aborts at about one such line in ten. So none is sent again soon, unless something has
// changed: mgmtd or its daemon was restarted, or the operator changed the configuration. For
// ever would be too long: it may have been no fault of the line that a daemon was away from
// mgmtd.
type refusals map[string]refusal

// refusal is what mgmtd said to a line.
type refusal struct {
	err   error
	times int
	again time.Time // when it is sent again
}

// noteRefused notes what mgmtd answered to the lines below the headers.
func (d *daemon) noteRefused(headers []string, answers []vty.Answer) {
	if !d.byMgmtd() {
		return
	}
	for _, a := range answers {
		if a.Status != statusFailed {
			continue
		}
		if d.refused == nil {
			d.refused = refusals{}
		}
		where := below(headers, a.Command)
		times := d.refused[where].times + 1
		d.refused[where] = refusal{
			err: vty.Refusals(mgmtdName, []vty.Answer{a}), times: times, again: time.Now().Add(pace.Backoff(resendFirst, resendMost, times)),
		}
	}
}

// forgetRefused forgets what was refused if the operator's part of the running
// configuration has changed.
func (d *daemon) forgetRefused(running string) {
	var theirs strings.Builder
	eachLine(running, func(blocks []string, line string) {
		if where := below(blocks, line); !strings.Contains(where, mark) {
			theirs.WriteString(where + "\n")
		}
	})
	if theirs.String() != d.theirs {
		d.refused, d.theirs = nil, theirs.String()
	}
}

// without returns the section without the lines that are not to be sent yet, and why they
// were refused.
func (r refusals) without(section config) (config, error) {
	var errs []error
	refused := func(headers []string, line string) bool {
		one, ok := r[below(headers, line)]
		ok = ok && time.Now().Before(one.again)
		if ok {
			errs = append(errs, fmt.Errorf("%w; it is told so again at %s, or once its configuration has changed, for mgmtd 10.3 may abort when it refuses", one.err, one.again.Format(time.TimeOnly)))
		}
		return ok
	}
	entries := map[entryKey]entry{}
	for _, k := range sortedKeys(section.entries) {
		e := section.entries[k]
		if k.kind != "route-map" && refused(nil, k.command(e.head)) {
			continue
		}
		e.lines = slices.DeleteFunc(slices.Clone(e.lines), func(line string) bool { return refused([]string{k.command("deny")}, line) })
		entries[k] = e
	}
	section.entries = entries
	return section, errors.Join(errs...)
}

// below names a line by the headers that it stands below.
func below(headers []string, line string) string {
	return strings.Join(append(slices.Clone(headers), line), " / ")
}
