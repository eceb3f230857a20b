package frr

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/frr/vty"
)

// frrBatch bounds the commands that go out before their answers are read, so that
// neither side ever blocks on a full socket.
const frrBatch = 64

// frrLockRetry is how long to wait for the lock on the configuration of mgmtd.
const frrLockRetry = 50 * time.Millisecond

// frrDaemon is one daemon of FRR and the connection to it.
type frrDaemon struct {
	role frrRole
	host driver.Options // whose log carries the daemon's name

	mu    sync.Mutex // guards what is below
	vty   vty.Client
	mgmtd vty.Client // used where mgmtd configures the daemon
	major int        // version of FRR; known once the daemon has been asked for it
	// pending: a list or route-map was changed and the daemon not yet made to look
	// at it again. It outlives a failed Apply.
	pending bool
	// resolved are the redistribute lines of isisd, on this connection, that were
	// entered while their route-map was there. isisd looks a route-map up only
	// then: a line that frr.conf has above the route-map denies for ever.
	resolved []frrRedistribute
}

// frrMgmtd is the daemon that configures some of the others from FRR 10 on.
const frrMgmtd = "mgmtd"

// open makes sure of a connection; a new one may lead to a new daemon.
func (d *frrDaemon) open(ctx context.Context) error {
	fresh, err := d.vty.Open(ctx)
	if err != nil {
		return err
	}
	if fresh {
		d.resolved, d.major = nil, 0
	}
	if d.role.mgmtd && d.major == 0 {
		answers, err := d.vty.Ask(ctx, "show version")
		if err != nil {
			return err
		}
		if d.major, err = frrMajor(answers[0]); err != nil {
			return fmt.Errorf("%s: %w", d.vty.Daemon, err)
		}
	}
	if d.managed() {
		_, err = d.mgmtd.Open(ctx)
	}
	return err
}

// managed tells whether mgmtd configures the daemon.
func (d *frrDaemon) managed() bool { return d.role.mgmtd && d.major >= 10 }

// blind tells whether the daemon can't match a prefix in a route-map: ripngd takes
// such a line before FRR 10, and lets everything through.
func (d *frrDaemon) blind() bool { return d.vty.Daemon == "ripngd" && !d.managed() }

// config returns the connection on which the daemon is configured.
func (d *frrDaemon) config() *vty.Client {
	if d.managed() {
		return &d.mgmtd
	}
	return &d.vty
}

// frrMajor returns the first number of the version in an answer to show version.
func frrMajor(text string) (int, error) {
	v, ok := frrVersionOf(text)
	if !ok || v[0] < 1 {
		first, _, _ := strings.Cut(text, "\n")
		return 0, fmt.Errorf("show version: %q names no version of FRR", first)
	}
	return v[0], nil
}

// apply brings the daemon's running configuration in sync with its section.
func (d *frrDaemon) apply(ctx context.Context, section frrConfig, want driver.State, on frrHost) error {
	if err := d.open(ctx); err != nil {
		return err
	}
	run, err := d.running(ctx)
	if err != nil {
		return err
	}
	if d.blind() {
		section = section.forBlind(on)
	}
	section.prependAS(run.as())
	section.spread(on.vrfs)
	missing := breaking(d.findingsOf(run, want, on))
	return errors.Join(d.load(ctx, run, section, on), missing)
}

// load sends the difference, makes the daemon look at it, and reads it back.
func (d *frrDaemon) load(ctx context.Context, run, section frrConfig, on frrHost) error {
	if err := d.retake(ctx, run, section); err != nil {
		return err
	}
	steps := frrDiff(run, section, on)
	d.pending = d.pending || d.mustLook(run, section, on)
	if len(steps) == 0 && !d.pending {
		return nil
	}
	d.host.Loaded()
	refused, err := d.configure(ctx, steps)
	if err != nil {
		return errors.Join(refused, err)
	}
	if d.pending {
		r, err := d.configure(ctx, d.lookAgain(run, section))
		refused = errors.Join(refused, r)
		if err != nil {
			return errors.Join(refused, err)
		}
		d.pending = r != nil
		if r == nil {
			d.resolved = run.redistribute
		}
	}
	if refused != nil {
		return refused
	}
	if run, err = d.running(ctx); err != nil {
		return err
	}
	if rest := frrDiff(run, section, on); len(rest) > 0 {
		return fmt.Errorf("%s took the changes, but its running configuration still lacks %q", d.vty.Daemon, rest[0].String())
	}
	return nil
}

// running asks the daemon for its running configuration.
func (d *frrDaemon) running(ctx context.Context) (frrConfig, error) {
	from := d.config()
	answers, err := from.Run(ctx, "show running-config")
	if err != nil {
		return frrConfig{}, err
	}
	if err := vty.Refusals(from.Daemon, answers); err != nil {
		return frrConfig{}, err
	}
	run := frrRunning(answers[0].Text)
	if d.managed() {
		run = run.of(d.role)
	}
	return run, nil
}

// configure sends steps and returns what the daemon refused; the error is one of
// the connection. After a refusal it goes on with the rest: what is missing
// denies, and a withdrawal must not wait for somebody to repair a template. The
// connection is left outside the configuration node.
func (d *frrDaemon) configure(ctx context.Context, steps []frrStep) (refused, err error) {
	for _, s := range steps {
		for lines := range frrChunks(s.lines) {
			commands := slices.Concat([]string{"configure terminal"}, s.blocks, lines, []string{"end"})
			d.host.Log.Debug("sending to frr", "commands", commands)
			answers, err := d.send(ctx, commands)
			refused = errors.Join(refused, vty.Refusals(d.config().Daemon, answers))
			if err != nil {
				return refused, err
			}
		}
	}
	return refused, nil
}

// send sends commands to the daemon in one write, so that it does nothing in
// between, and hears it out even if keepcast is to stop: once the connection is
// closed the daemon drops the rest, such as a redistribute line on its return.
// mgmtd loses what comes while it works, so it gets them one by one.
func (d *frrDaemon) send(ctx context.Context, commands []string) ([]vty.Answer, error) {
	ctx = context.WithoutCancel(ctx) // the timeout bounds it
	if !d.managed() {
		return d.vty.Run(ctx, commands...)
	}
	var all []vty.Answer
	for _, c := range commands {
		answers, err := d.insist(ctx, c)
		all = append(all, answers...)
		if err != nil {
			return all, err
		}
	}
	return all, nil
}

// insist sends a command to mgmtd, again and again for as long as that has its
// configuration locked, because it works for somebody else or has just started.
func (d *frrDaemon) insist(ctx context.Context, command string) ([]vty.Answer, error) {
	pause := time.NewTicker(frrLockRetry)
	defer pause.Stop()
	for end := time.Now().Add(d.mgmtd.Timeout); ; {
		answers, err := d.mgmtd.Run(ctx, command)
		if err != nil || !strings.Contains(answers[0].Text, "could not lock") || time.Now().After(end) {
			return answers, err
		}
		select {
		case <-ctx.Done():
			return answers, context.Cause(ctx)
		case <-pause.C:
		}
	}
}

// frrChunks cuts lines into batches; no lines are one batch, for a block that is
// only to be entered.
func frrChunks(lines []string) func(yield func([]string) bool) {
	if len(lines) == 0 {
		return func(yield func([]string) bool) { yield(nil) }
	}
	return slices.Chunk(lines, frrBatch)
}
