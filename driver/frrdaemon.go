package driver

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
)

// frrBatch bounds the commands that go out before their answers are read, so that
// neither side ever blocks on a full socket.
const frrBatch = 64

// frrDaemon is one daemon of FRR and the connection to it.
type frrDaemon struct {
	role frrRole
	host Host // whose log carries the daemon's name

	mu  sync.Mutex // guards what is below
	vty vty
	// pending: a list or route-map was changed and the daemon not yet made to look
	// at it again. It outlives a failed Apply.
	pending bool
	// resolved are the redistribute lines of isisd, on this connection, that were
	// entered while their route-map was there. isisd looks a route-map up only
	// then: a line that frr.conf has above the route-map denies for ever.
	resolved []frrRedistribute
}

// open makes sure of a connection; a new one may lead to a new daemon.
func (d *frrDaemon) open(ctx context.Context) error {
	fresh, err := d.vty.open(ctx)
	if fresh {
		d.resolved = nil
	}
	return err
}

// frrHost is what a daemon is told of the host besides its section.
type frrHost struct {
	owned   map[netip.Prefix]bool // every prefix that keepcast manages
	present map[netip.Prefix]bool // every prefix that an address on the host has now
}

// apply brings the daemon's running configuration in step with its section.
func (d *frrDaemon) apply(ctx context.Context, section frrConfig, want State, on frrHost) error {
	if err := d.open(ctx); err != nil {
		return err
	}
	run, err := d.running(ctx)
	if err != nil {
		return err
	}
	if run.router == "" && len(section.networks) > 0 {
		err = fmt.Errorf("%s has no router bgp: add 'router bgp ASN' with its neighbors to frr.conf", d.vty.daemon)
		section.networks = nil // the route-maps can go ahead
	}
	return errors.Join(err, d.load(ctx, run, section, on), d.unused(run, want))
}

// load sends the difference, makes the daemon look at it, and reads it back.
func (d *frrDaemon) load(ctx context.Context, run, section frrConfig, on frrHost) error {
	steps := frrDiff(run, section, on.owned)
	d.pending = d.pending || d.mustLook(run, section, on)
	if len(steps) == 0 && !d.pending {
		return nil
	}
	d.host.loaded()
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
	if rest := frrDiff(run, section, on.owned); len(rest) > 0 {
		return fmt.Errorf("%s took the changes, but its running configuration still lacks %q", d.vty.daemon, rest[0].String())
	}
	return nil
}

// mustLook tells whether the daemon has to look at its routes again. It has not
// for an address that is not on the host: it will look when the address comes,
// and in isisd a look uses up the one LSP that lsp-gen-interval allows in 30 s, for
// which the address would then have to wait.
func (d *frrDaemon) mustLook(run, section frrConfig, on frrHost) bool {
	routeMaps := len(diffRouteMaps(run, section)) > 0
	if routeMaps || d.role.again == againNetwork {
		return routeMaps
	}
	unresolved := func(l frrRedistribute) bool { return !slices.Contains(d.resolved, l) }
	if d.role.again == againWithdrawn && slices.ContainsFunc(run.redistribute, unresolved) {
		return true
	}
	before, after := run.listed(), section.listed()
	for p := range on.present {
		was, had := before[p]
		is, has := after[p]
		if had != has || was != is {
			return true
		}
	}
	return false
}

// running asks the daemon for its running configuration.
func (d *frrDaemon) running(ctx context.Context) (frrConfig, error) {
	answers, err := d.vty.run(ctx, "show running-config")
	if err != nil {
		return frrConfig{}, err
	}
	if err := refusals(d.vty.daemon, answers); err != nil {
		return frrConfig{}, err
	}
	return frrRunning(answers[0].text), nil
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
			answers, err := d.vty.run(ctx, commands...)
			refused = errors.Join(refused, refusals(d.vty.daemon, answers))
			if err != nil {
				return refused, err
			}
		}
	}
	return refused, nil
}

// frrChunks cuts lines into batches; no lines are one batch, for a block that is
// only to be entered.
func frrChunks(lines []string) func(yield func([]string) bool) {
	if len(lines) == 0 {
		return func(yield func([]string) bool) { yield(nil) }
	}
	return slices.Chunk(lines, frrBatch)
}

// lookAgain returns the steps that make the daemon apply changed lists at once.
// The operator's redistribute lines are entered exactly as they stand. Where one
// has to go for a moment, its return is in the same write, which is shorter than
// the 512 bytes a daemon reads at once: it does nothing in between.
func (d *frrDaemon) lookAgain(run, section frrConfig) []frrStep {
	var steps []frrStep
	for _, r := range run.redistribute {
		switch d.role.again {
		case againSame:
			steps = append(steps, frrStep{blocks: []string{r.router}, lines: []string{r.line}})
		case againWithdrawn:
			steps = append(steps, frrStep{blocks: []string{r.router}, lines: []string{"no " + r.line, r.line}})
		}
	}
	if d.role.again == againNetwork {
		steps = againNetworks(run, section)
	}
	return steps
}

// unused returns an error if the operator's configuration does not lead an
// announced address through keepcast's route-map, so that nothing would be
// announced. In isisd an interface that runs IS-IS is as good.
func (d *frrDaemon) unused(run frrConfig, want State) error {
	if d.role.again == againNetwork {
		return nil
	}
	missing := map[string]string{}
	for _, r := range want.Announced() {
		family, name := "ip", frrMark
		if r.Prefix.Addr().Is6() {
			family, name = "ipv6", frrMark+"6"
		}
		redistributed := slices.ContainsFunc(run.redistribute, func(l frrRedistribute) bool { return l.routeMap == name })
		if d.role.carries(r.Prefix.Addr()) && !redistributed && !slices.Contains(run.isis[want.Interface], family) {
			missing[name] = r.Prefix.Masked().String()
		}
	}
	var errs []error
	for _, name := range []string{frrMark, frrMark + "6"} {
		if prefix, ok := missing[name]; ok {
			errs = append(errs, fmt.Errorf("%s does not announce %s: add '%s' to frr.conf", d.vty.daemon, prefix, d.redistributeLine(name)))
		}
	}
	return errors.Join(errs...)
}

// redistributeLine returns the line that an operator has to write.
func (d *frrDaemon) redistributeLine(routeMap string) string {
	switch d.vty.daemon {
	case "isisd":
		family := "ipv4"
		if strings.HasSuffix(routeMap, "6") {
			family = "ipv6"
		}
		return "redistribute " + family + " connected level-2 route-map " + routeMap + "' under 'router isis NAME"
	case "ospf6d":
		return "redistribute connected route-map " + routeMap + "' under 'router ospf6"
	default:
		return "redistribute connected route-map " + routeMap + "' under 'router ospf"
	}
}
