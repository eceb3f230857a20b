package engine

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/reconcile"
)

// stopLimit bounds what a stop waits for beyond linger.
const stopLimit = 10 * time.Second

// ErrNotWithdrawn is the error of a stop that had to leave something behind.
var ErrNotWithdrawn = errors.New("stopped, but not everything is withdrawn")

// withdrawAll drains everything, waits for linger, unless that is to be skipped, and takes
// it off the host. It gives up stopLimit later on a daemon that is not in sync. The error
// names what may be left.
func (e *Engine) withdrawAll() error {
	e.stopping = true
	e.log.Info("withdrawing all services", "hint", "a second signal skips linger, a third exits at once")
	e.decide()
	drained := func() bool {
		return !slices.ContainsFunc(e.services, func(s *service) bool { return s.state == api.Draining })
	}
	e.loop(e.opts.Hurry, time.Time{}, drained)
	if !drained() {
		e.log.Warn("linger is skipped: what still arrives is not served any more")
	}
	e.finished = true
	e.decide()
	e.loop(nil, time.Now().Add(stopLimit), e.followed)
	left := e.remains()
	if left != nil {
		e.log.Error("stopping although not everything is withdrawn: see the errors before")
		return left
	}
	e.warnOfGates()
	return nil
}

// warnOfGates warns of what is not in sync at the end of a stop that has withdrawn
// everything.
func (e *Engine) warnOfGates() {
	for _, name := range e.expected() {
		switch why := e.whyNot(name); {
		case e.follows(name):
		case name == reconcile.KernelName:
			e.log.Warn("withdrawn, but what is delivered locally may be left", "err", why)
		default:
			e.log.Warn("withdrawn, but the gate is not known to be closed", "driver", name, "err", why)
		}
	}
}

// whyNot is why one of them has not done what was posted last.
func (e *Engine) whyNot(name string) error {
	r := e.reports[name]
	return cmp.Or(r.Err, r.Unobserved, errors.New("it has not answered"))
}

// followed reports whether the kernel and every daemon have done what was posted last, and
// no driver that left has still a gate to close.
func (e *Engine) followed() bool {
	return len(e.departing) == 0 && !slices.ContainsFunc(e.expected(), func(name string) bool { return !e.follows(name) })
}

// follows reports whether one of them has done what was posted last.
func (e *Engine) follows(name string) bool {
	r := e.reports[name]
	return r.InSync && r.Gen >= e.posted.Gen
}

// remains is the error that names what may still be announced, or nil. A daemon that is
// not in sync but has nothing, since it does not run, leaves nothing behind.
func (e *Engine) remains() error {
	var errs []error
	for _, name := range e.expected() {
		report := e.reports[name]
		if e.follows(name) {
			continue
		}
		var left []string
		for _, r := range e.posted.State.Routes {
			only := e.posted.Drivers[r.Service]
			if len(only) > 0 && !slices.Contains(only, name) && name != reconcile.KernelName || r.PrefixOnly && name == reconcile.KernelName {
				continue
			}
			if o := observation(report.Observed, r.Prefix.Masked()); o.Present || o.Unknown {
				left = append(left, r.Prefix.String())
			}
		}
		if len(left) > 0 {
			errs = append(errs, fmt.Errorf("%s may still have %s: %w", name, strings.Join(left, ", "), e.whyNot(name)))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(e.departing)) {
		why := cmp.Or(e.departing[name].Err, errors.New("it has not answered"))
		errs = append(errs, fmt.Errorf("%s, which left the configuration, may still have its gate open: %w", name, why))
	}
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrNotWithdrawn, errors.Join(errs...))
}
