package frr

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/frr/vty"
)

const (
	// enter enters the configuration node.
	enter = "configure terminal"
	// batchSize bounds the commands that go out before their answers are read, so that
	// neither side ever blocks on a full socket.
	batchSize = 64
	// lockRetry is how often a locked configuration is tried again.
	lockRetry = 20 * time.Millisecond
)

// configure sends steps and returns what the daemon refused; the error is one of the
// connection or the lock. After a refusal it goes on with the rest: what is missing
// denies, and a withdrawal must not wait for somebody to repair a template. The
// connection is left outside the configuration node.
func (d *daemon) configure(ctx context.Context, steps []step) (refused, err error) {
	for _, s := range steps {
		for lines := range chunks(s.lines) {
			commands := slices.Concat(d.dialect.headers(s.blocks), lines, []string{"end"})
			d.opts.Log.Debug("sending commands", "commands", commands)
			answers, err := d.send(ctx, commands)
			d.noteRefused(s.blocks, answers)
			refused = errors.Join(refused, vty.Refusals(d.configClient().Daemon, d.dialect.refusals(answers)))
			if err != nil {
				return refused, err
			}
		}
	}
	return refused, nil
}

// send enters the configuration and sends commands there in one write, so that the
// daemon does nothing in between. It hears the daemon out even if keepcast is to stop:
// once the connection is closed the daemon drops the rest, such as a redistribute line on
// its return. mgmtd loses what comes while it works, so it gets them one by one.
func (d *daemon) send(ctx context.Context, commands []string) ([]vty.Answer, error) {
	whole := context.WithoutCancel(ctx) // the timeout bounds it
	switch {
	case d.dialect.locked != "":
		if err := d.lock(ctx); err != nil {
			return nil, err
		}
		return d.vty.Run(whole, commands...)
	case !d.byMgmtd():
		return d.vty.Run(whole, append([]string{enter}, commands...)...)
	}
	var all []vty.Answer
	for _, c := range append([]string{enter}, commands...) {
		answer, err := insist(whole, &d.mgmtd, c, "could not lock")
		if err != nil {
			return all, err
		}
		all = append(all, answer)
	}
	return all, nil
}

// lock enters the configuration, which only one vty session of the daemon can be in. It
// waits for another one to leave, no longer than for an answer.
func (d *daemon) lock(ctx context.Context) error {
	answer, err := insist(ctx, &d.vty, enter, d.dialect.locked)
	switch {
	case err != nil:
		return err
	case strings.Contains(answer.Text, d.dialect.locked):
		return driver.Finding{
			Name: "config-locked", Level: driver.LevelError, Subject: d.name,
			Text: "another vty session is in 'configure terminal', which locks all others out",
			Fix:  "leave it there with 'end', or close that session",
		}
	}
	return vty.Refusals(d.name, []vty.Answer{answer})
}

// insist sends a command again and again for as long as the answer says that the
// configuration is locked, because somebody else is in it or the daemon has just
// started. It gives up after the timeout of an answer, and returns the last one.
func insist(ctx context.Context, to *vty.Client, command, locked string) (vty.Answer, error) {
	retry := time.NewTicker(lockRetry)
	defer retry.Stop()
	for end := time.Now().Add(to.Timeout); ; {
		answers, err := to.Run(ctx, command)
		if err != nil {
			return vty.Answer{}, err
		}
		if !strings.Contains(answers[0].Text, locked) || time.Now().After(end) {
			return answers[0], nil
		}
		select {
		case <-ctx.Done():
			return answers[0], context.Cause(ctx)
		case <-retry.C:
		}
	}
}

// chunks cuts lines into batches. No lines are one batch, for a block that is only to be
// entered.
func chunks(lines []string) func(yield func([]string) bool) {
	if len(lines) == 0 {
		return func(yield func([]string) bool) { yield(nil) }
	}
	return slices.Chunk(lines, batchSize)
}
