package frr

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/frr/vty"
)

// mgmtdName is the daemon that configures some of the others from FRR 10 on.
const mgmtdName = "mgmtd"

// daemon is one daemon and the connection to it.
type daemon struct {
	spec
	dialect *dialect
	opts    driver.Options // whose log carries the daemon's name
	as      uint32         // of the driver's settings

	vty   vty.Client
	mgmtd vty.Client // used where mgmtd configures the daemon
	zebra vty.Client // asked what it knows of the daemon
	major int        // version of FRR; known once the daemon has been asked for it
	// pending are the effects that a change of the configuration asks for and that have
	// not been carried out yet. They outlive a failed Apply.
	pending []bool
	// resolved are the redistribute lines of isisd, on this connection, that were
	// entered while their route-map was there. isisd looks a route-map up only then: a
	// line that frr.conf has above the route-map denies for ever.
	resolved []redistribution
	holders  driver.Holders // the neighbors that may wait for it once it is gone
	process  int            // that is connected to, 0 if it can't be told
	met      bool           // it was connected to before
	back     time.Time      // since when another process than before is, or may be
	// lines are the redistribute lines that the daemon showed last, on this connection: it
	// may hide some after zebra was restarted.
	lines []redistribution

	// Of FRR.

	refused refusals // by mgmtd
	theirs  string   // the operator's part of the running configuration in which it did so
	// retold: the daemon asked the zebra of this connection for what it redistributes.
	retold bool
	mute   bool // it can't ask zebra again; known once zebra was asked

	// Of Quagga.

	link    link             // to zebra, at the last Apply
	linesAt time.Time        // when it showed the lines
	hidden  []redistribution // those of the lines that it no longer shows
	// kept are the prefixes that it goes on announcing without an address, and since when
	// that has been seen.
	kept map[netip.Prefix]time.Time
}

// open makes sure of a connection; a new one may lead to a new daemon.
func (d *daemon) open(ctx context.Context) error {
	fresh, err := d.vty.Open(ctx)
	if err != nil {
		return err
	}
	if fresh {
		d.resolved, d.lines, d.hidden, d.major, d.refused = nil, nil, nil, 0, nil
		d.meet(d.vty.Process())
	}
	if d.spec.mgmtd && d.major == 0 {
		answers, err := d.vty.Ask(ctx, "show version")
		if err != nil {
			return err
		}
		if d.major, err = majorOf(answers[0]); err != nil {
			return fmt.Errorf("%s: %w", d.name, err)
		}
	}
	if d.byMgmtd() {
		if fresh, err = d.mgmtd.Open(ctx); fresh {
			d.refused = nil
		}
	}
	return err
}

// meet notes which process the daemon is. It may be the same as before: a daemon that was
// late with an answer is connected to anew.
func (d *daemon) meet(process int) {
	if d.met && (process == 0 || process != d.process) {
		d.back = time.Now()
	}
	d.met, d.process = true, process
}

// close ends the connections.
func (d *daemon) close() error { return errors.Join(d.vty.Close(), d.mgmtd.Close(), d.zebra.Close()) }

// byMgmtd tells whether mgmtd configures the daemon.
func (d *daemon) byMgmtd() bool { return d.spec.mgmtd && d.major >= 10 }

// isBlind tells whether the daemon can't match a prefix in a route-map: it takes such a
// line, and lets everything through.
func (d *daemon) isBlind() bool { return d.blind && !d.byMgmtd() }

// listFilters tells whether a distribute-list of the operator has to filter what the
// daemon sends.
func (d *daemon) listFilters() bool { return d.filters || d.isBlind() }

// configClient returns the connection on which the daemon is configured.
func (d *daemon) configClient() *vty.Client {
	if d.byMgmtd() {
		return &d.mgmtd
	}
	return &d.vty
}

// majorOf returns the first number of the version in an answer to show version.
func majorOf(text string) (int, error) {
	v, ok := versionOf(text)
	if !ok || v[0] < 1 {
		first, _, _ := strings.Cut(text, "\n")
		return 0, fmt.Errorf("show version: %q names no version of FRR", first)
	}
	return v[0], nil
}

// apply brings the daemon's running configuration in sync with its section.
func (d *daemon) apply(ctx context.Context, section config, desired driver.State, m managed) error {
	if err := d.open(ctx); err != nil {
		return err
	}
	run, err := d.running(ctx)
	if err != nil {
		return err
	}
	d.link = d.zebraLink(ctx)
	run = d.redistributed(run, d.link)
	if err := d.enterLost(ctx, d.link); err != nil {
		return err
	}
	missing := errorsOf(slices.Concat(d.findings(run, desired, m), d.zebraAway(d.link)))
	if d.interfaceGate {
		return missing
	}
	if d.isBlind() {
		section = section.forBlind(m)
	}
	section.prependAS(run.as())
	section.spread(m.vrfs)
	return errors.Join(d.load(ctx, run, section, m), missing)
}

// load sends the difference, has it take effect, and reads it back.
func (d *daemon) load(ctx context.Context, run, section config, m managed) error {
	if d.prepare != nil {
		if err := d.prepare(ctx, d, run, section); err != nil {
			return err
		}
	}
	section, known := d.refused.without(section)
	steps := d.dialect.diff(run, section, m)
	if err := d.noteEffects(ctx, run, section, m); err != nil {
		return err
	}
	if len(steps) == 0 && !slices.Contains(d.pending, true) {
		return errors.Join(known, d.relearn(ctx, run, m))
	}
	d.opts.Loaded()
	refused, err := d.configure(ctx, steps)
	if err != nil {
		return errors.Join(refused, err)
	}
	more, err := d.carryOut(ctx, run, section)
	if refused = errors.Join(known, refused, more); refused != nil || err != nil {
		return errors.Join(refused, err)
	}
	now, err := d.running(ctx)
	if err != nil {
		return err
	}
	if rest := d.dialect.diff(now, section, m); len(rest) > 0 {
		return fmt.Errorf("%s took the changes, but its running configuration still lacks %q", d.name, rest[0].String())
	}
	return d.relearn(ctx, run.still(now), m)
}

// noteEffects notes the effects that the way from run to section asks for.
func (d *daemon) noteEffects(ctx context.Context, run, section config, m managed) error {
	for i, e := range d.effects {
		due, err := e.due(ctx, d, run, section, m)
		if err != nil {
			return err
		}
		d.pending[i] = d.pending[i] || due
	}
	return nil
}

// carryOut carries the pending effects out, and returns what the daemon refused; the
// error is one of the connection.
func (d *daemon) carryOut(ctx context.Context, run, section config) (refused, err error) {
	for i, e := range d.effects {
		if !d.pending[i] {
			continue
		}
		r, err := e.carryOut(ctx, d, run, section)
		refused = errors.Join(refused, r)
		if err != nil {
			return refused, err
		}
		d.pending[i] = r != nil
	}
	return refused, nil
}

// running asks the daemon for its running configuration.
func (d *daemon) running(ctx context.Context) (config, error) {
	from := d.configClient()
	answers, err := from.Run(ctx, "show running-config")
	if err != nil {
		return config{}, err
	}
	if err := vty.Refusals(from.Daemon, answers); err != nil {
		return config{}, err
	}
	run := parseRunning(d.dialect.read(answers[0].Text))
	if d.byMgmtd() {
		run = run.forFamilies(d.spec)
		d.forgetRefused(answers[0].Text)
	}
	return run, nil
}
