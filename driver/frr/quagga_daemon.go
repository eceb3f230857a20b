package frr

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/frr/vty"
)

// quaggaLockRetry is how often a locked configuration is tried again.
const quaggaLockRetry = 20 * time.Millisecond

// quaggaDaemon is one daemon of Quagga and the connection to it.
type quaggaDaemon struct {
	role frrRole
	host driver.Options // whose log carries the daemon's name
	as   uint32

	mu  sync.Mutex // guards what is below
	vty vty.Client
	// again and soft: lists or route-maps were changed, and the daemon not yet made
	// to look at them again, in what it redistributes or in what it sends out.
	// They outlive a failed Apply.
	again, soft bool
}

// apply brings the daemon's running configuration in sync with its section.
func (d *quaggaDaemon) apply(ctx context.Context, section frrConfig, want driver.State, on frrHost) error {
	if _, err := d.vty.Open(ctx); err != nil {
		return err
	}
	run, err := d.running(ctx)
	if err != nil {
		return err
	}
	missing := breaking(d.lacks(run, want))
	if d.vty.Daemon == "isisd" {
		return missing
	}
	if run.router == "" {
		section.networks = nil // the rest can go ahead
	}
	return errors.Join(missing, d.load(ctx, run, section, on))
}

// load sends the difference, makes the daemon look at it, and reads it back.
func (d *quaggaDaemon) load(ctx context.Context, run quaggaConfig, section frrConfig, on frrHost) error {
	steps := quaggaDiff(run.frrConfig, section, on.owned)
	again, soft := d.mustLook(run.frrConfig, section, on)
	lost, err := d.lost(ctx, run, section, on)
	if err != nil {
		return err
	}
	d.again, d.soft = d.again || again || lost, d.soft || soft
	if len(steps) == 0 && !d.again && !d.soft {
		return nil
	}
	d.host.Loaded()
	refused, err := d.configure(ctx, steps)
	if err != nil {
		return errors.Join(refused, err)
	}
	if err := d.lookAgain(ctx, run); err != nil {
		return errors.Join(refused, err)
	}
	if refused != nil {
		return refused
	}
	if run, err = d.running(ctx); err != nil {
		return err
	}
	if rest := quaggaDiff(run.frrConfig, section, on.owned); len(rest) > 0 {
		return errors.New(d.vty.Daemon + " took the changes, but its running configuration still lacks \"" + rest[0].String() + "\"")
	}
	return nil
}

// mustLook tells whether the daemon has to look at its routes again: what becomes
// of a prefix that is on the host changes in what it redistributes, or, for
// bgpd, in what it sends out. A prefix that is not there is looked at when it comes.
func (d *quaggaDaemon) mustLook(run, section frrConfig, on frrHost) (again, soft bool) {
	for p := range on.present {
		isOut := func(name string) bool { return strings.HasSuffix(name, "-EBGP") || strings.HasSuffix(name, "-OUT") }
		isIn := func(name string) bool { return !isOut(name) }
		again = again || run.treatment(p, isIn) != section.treatment(p, isIn)
		soft = soft || run.treatment(p, isOut) != section.treatment(p, isOut)
	}
	return again, soft && d.vty.Daemon == "bgpd"
}

// treatment writes down all that the route-maps that of selects do with a prefix.
func (c frrConfig) treatment(p netip.Prefix, of func(routeMap string) bool) string {
	lists := map[string]bool{}
	for k, e := range c.entries {
		if k.kind != "route-map" && e.head == "permit "+p.String() {
			lists[k.name] = true
		}
	}
	var b strings.Builder
	for _, k := range sortedKeys(c.entries) {
		e := c.entries[k]
		matched := func(line string) bool {
			words := strings.Fields(line)
			return words[0] == "match" && lists[words[len(words)-1]]
		}
		if k.kind == "route-map" && of(k.name) && slices.ContainsFunc(e.lines, matched) {
			b.WriteString(k.command(e.head) + "\n" + strings.Join(e.lines, "\n") + "\n")
		}
	}
	return b.String()
}

// lost tells whether ospfd has not made an LSA of a prefix that is there and
// permitted all along: one that is announced while its old LSA is still being
// flushed, which takes up to a minute, gets lost, and Quagga does not try again.
func (d *quaggaDaemon) lost(ctx context.Context, run quaggaConfig, section frrConfig, on frrHost) (bool, error) {
	if d.vty.Daemon != "ospfd" || len(run.redistributed) == 0 {
		return false, nil
	}
	before := run.listed()
	texts, err := d.vty.Ask(ctx, "show ip ospf database external self-originate")
	if err != nil {
		return false, err
	}
	originated := quaggaOSPF(texts[0])
	for p := range section.listed() {
		if _, permitted := before[p]; permitted && on.present[p] && !originated[p] {
			return true, nil
		}
	}
	return false, nil
}

// lookAgain makes the daemon apply changed lists at once. ospfd takes the same
// redistribute line once more; bgpd refuses that, so that the line has to go for
// a moment, its return in the same write.
func (d *quaggaDaemon) lookAgain(ctx context.Context, run quaggaConfig) error {
	if d.again {
		var steps []frrStep
		for _, r := range run.redistributed {
			lines := []string{r.line}
			if d.vty.Daemon == "bgpd" {
				lines = []string{"no " + strings.Join(strings.Fields(r.line)[:2], " "), r.line}
			}
			steps = append(steps, frrStep{blocks: r.blocks, lines: lines})
		}
		refused, err := d.configure(ctx, steps)
		if err = errors.Join(refused, err); err != nil {
			return err
		}
		d.again = false
	}
	if d.soft && run.router != "" {
		answers, err := d.vty.Run(ctx, "clear ip bgp * soft out", "clear bgp ipv6 * soft out")
		if err = errors.Join(err, vty.Refusals(d.vty.Daemon, answers)); err != nil {
			return err
		}
	}
	d.soft = false
	return nil
}

// running asks the daemon for its running configuration.
func (d *quaggaDaemon) running(ctx context.Context) (quaggaConfig, error) {
	answers, err := d.vty.Run(ctx, "show running-config")
	if err = errors.Join(err, vty.Refusals(d.vty.Daemon, answers)); err != nil {
		return quaggaConfig{}, err
	}
	return quaggaRunning(answers[0].Text), nil
}

// configure sends steps and returns what the daemon refused; the error is one of
// the connection or the lock. It holds the lock for the length of one batch.
func (d *quaggaDaemon) configure(ctx context.Context, steps []frrStep) (refused, err error) {
	for _, s := range steps {
		for lines := range frrChunks(s.lines) {
			if err := d.lock(ctx); err != nil {
				return refused, err
			}
			commands := slices.Concat(s.blocks, lines, []string{"end"})
			d.host.Log.Debug("sending to quagga", "commands", commands)
			// Also if keepcast is to stop: once the connection is closed the daemon drops the rest.
			answers, err := d.vty.Run(context.WithoutCancel(ctx), commands...)
			refused = errors.Join(refused, vty.Refusals(d.vty.Daemon, answers))
			if err != nil {
				return refused, err
			}
		}
	}
	return refused, nil
}

// lock enters the configuration, which only one vty session of a daemon can be in;
// it waits for another one to leave, no longer than for an answer.
func (d *quaggaDaemon) lock(ctx context.Context) error {
	retry := time.NewTicker(quaggaLockRetry)
	defer retry.Stop()
	patience := time.NewTimer(d.vty.Timeout)
	defer patience.Stop()
	for {
		answers, err := d.vty.Run(ctx, "configure terminal")
		if err != nil {
			return err
		}
		if !strings.Contains(answers[0].Text, "is locked by other VTY") {
			return vty.Refusals(d.vty.Daemon, answers)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-patience.C:
			return driver.Finding{
				Name: "config-locked", Level: driver.LevelError, Subject: d.vty.Daemon,
				Text: "another vty session is in 'configure terminal', which locks all others out",
				Fix:  "leave it there with 'end', or close that session",
			}
		case <-retry.C:
		}
	}
}

// quaggaDiff returns the steps that bring a daemon from what runs to what is
// wanted.
func quaggaDiff(run, want frrConfig, owned map[netip.Prefix]bool) []frrStep {
	steps := slices.Concat(diffLists(run, want), quaggaRouteMaps(run, want), diffNetworks(run, want, frrHost{owned: owned}), staleEntries(run, want))
	for i := range steps {
		steps[i].blocks = quaggaBlocks(steps[i].blocks)
	}
	return steps
}

// quaggaRouteMaps makes the route-map entries. An entry that changes is deleted and
// made again: Quagga empties one that changes between permit and deny, so that
// it cannot be edited behind a deny. All of an entry goes out in one write.
func quaggaRouteMaps(run, want frrConfig) []frrStep {
	var steps []frrStep
	for _, k := range sortedKeys(want.entries) {
		e := want.entries[k]
		old, there := run.entries[k]
		if k.kind != "route-map" || old.equal(e) {
			continue
		}
		lines := slices.Concat([]string{k.command(e.head)}, e.lines)
		if there {
			lines = slices.Insert(lines, 0, "no "+k.command(old.head))
		}
		steps = append(steps, frrStep{lines: lines})
	}
	return steps
}
