package frr

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/keepcast/keepcast/driver"
)

// Observe implements driver.Driver. Before the first Apply it returns all that is found
// under keepcast's names.
func (s *suite) Observe(ctx context.Context) (driver.State, error) {
	m, err := s.managed(s.asked)
	if err != nil {
		return driver.State{}, err
	}
	all := newObservations(len(s.daemons()))
	err = s.each(func(i int, d *daemon) error {
		o, err := d.observe(ctx, s.sections[d.name], s.asked, m)
		return all.add(i, d.spec, o, err)
	})
	return all.together(s.asked, err)
}

// observation is what one daemon tells about what it announces.
type observation struct {
	held      map[netip.Prefix]bool     // what the gate permits and the daemon originates; the value tells whether as degraded
	exported  map[netip.Prefix][]string // the names of the neighbors that are sent it
	neighbors []driver.Neighbor
	findings  []driver.Finding
	sessions  map[string]driver.Session // of the neighbors, as Holders.Note wants them
	kept      []driver.Held             // what neighbors may hold beyond what is exported
	recall    []netip.Prefix            // as in driver.State
}

// observationOf is an observation of the neighbors alone.
func observationOf(daemon string, neighbors []neighbor) observation {
	o := observation{
		held: map[netip.Prefix]bool{}, exported: map[netip.Prefix][]string{}, findings: neighborsDown(daemon, neighbors), sessions: map[string]driver.Session{},
	}
	for _, n := range neighbors {
		o.neighbors = append(o.neighbors, n.Neighbor)
	}
	return o
}

// observations is what came of asking the daemons of a suite, each by its number.
type observations struct {
	specs []spec
	all   []observation
	errs  []error
}

func newObservations(n int) observations {
	return observations{make([]spec, n), make([]observation, n), make([]error, n)}
}

// add takes what a daemon told, and returns err.
func (os observations) add(i int, s spec, o observation, err error) error {
	os.specs[i], os.all[i], os.errs[i] = s, o, err
	return err
}

// together makes one state of what the daemons told; err is why some did not. That a
// daemon does not run is in the error only if all the others answered: the caller takes
// such an error to mean that nothing else is unknown.
func (os observations) together(asked driver.State, err error) (driver.State, error) {
	state := os.state(asked)
	if !slices.Contains(os.errs, nil) {
		state.Neighbors = nil // nobody told any
	}
	silent := slices.DeleteFunc(slices.Clone(os.errs), func(err error) bool { return errors.Is(err, driver.ErrNotRunning) })
	return state, cmp.Or(errors.Join(silent...), err)
}

// state makes one state of what all daemons tell. What is to be announced is there once
// each daemon that carries its family has it; what is to be withdrawn, for as long as any
// has. Before the first Apply it has all that is found, by daemons with a gate.
func (os observations) state(asked driver.State) driver.State {
	announced, exported := map[netip.Prefix]bool{}, map[netip.Prefix][]string{}
	unwanted := asked.Managed()
	for _, r := range asked.Announced() {
		delete(unwanted, r.Prefix.Masked())
	}
	state := driver.State{Interface: asked.Interface, Neighbors: []driver.Neighbor{}}
	for _, o := range os.all {
		state.Neighbors = append(state.Neighbors, o.neighbors...)
		state.Findings = append(state.Findings, o.findings...)
		state.Held = append(state.Held, o.kept...)
		state.Recall = append(state.Recall, o.recall...)
		for p, degraded := range o.held {
			if unwanted[p] || os.heldByAll(p) {
				announced[p] = announced[p] || degraded
				exported[p] = append(exported[p], o.exported[p]...)
			}
		}
	}
	add := func(r driver.Route, p netip.Prefix) {
		r.Presence, r.Degraded, r.ExportedTo = driver.Announced, announced[p], exported[p]
		state.Routes = append(state.Routes, r)
	}
	for _, r := range asked.Routes {
		if _, ok := announced[r.Prefix.Masked()]; ok {
			add(r, r.Prefix.Masked())
		}
	}
	gated := slices.ContainsFunc(os.specs, func(s spec) bool { return !s.interfaceGate })
	if len(asked.Routes) == 0 && gated {
		for _, p := range sortedPrefixes(announced) {
			add(driver.Route{Prefix: p}, p)
		}
	}
	return state
}

// heldByAll tells whether each daemon that carries the family of p has it.
func (os observations) heldByAll(p netip.Prefix) bool {
	for i, s := range os.specs {
		if _, has := os.all[i].held[p]; !has && s.carries(p.Addr()) {
			return false
		}
	}
	return true
}

// observe asks the daemon what it originates of what the gate permits, and to whom it
// sends that. Section is what was loaded last.
func (d *daemon) observe(ctx context.Context, section config, asked driver.State, m managed) (observation, error) {
	if err := d.open(ctx); err != nil {
		return d.away(d.vty.Away(err))
	}
	run, err := d.running(ctx)
	if err != nil {
		return observation{}, err
	}
	l := d.zebraLink(ctx)
	run = d.redistributed(run, l)
	all := observation{held: map[netip.Prefix]bool{}, exported: map[netip.Prefix][]string{}, sessions: map[string]driver.Session{}}
	for _, vrf := range m.vrfsOf(run, asked) {
		o, err := d.observeVRF(ctx, vrf, run, m.inVRF(vrf, asked), m)
		if err != nil {
			return observation{}, err
		}
		all.join(o.inVRF(vrf, m.ownedElsewhere(vrf)))
	}
	all.findings = slices.Concat(all.findings, otherAS(d.name, run, asked, m), d.zebraFindings(ctx, run))
	if err := d.observeZebra(ctx, l, &all, m); err != nil {
		return observation{}, err
	}
	all.kept = d.holders.Note(time.Now(), all.sessions, all.exported)
	if d.degrades != nil {
		inSync := len(d.dialect.diff(run, section, m)) == 0
		for _, r := range asked.Announced() {
			if _, held := all.held[r.Prefix.Masked()]; held {
				all.held[r.Prefix.Masked()] = r.Degraded && inSync && d.degrades(run, r)
			}
		}
	}
	return all, nil
}

// away is what is observed of a daemon that can't be connected to: one that does not run
// has no sessions any more.
func (d *daemon) away(err error) (observation, error) {
	var o observation
	if errors.Is(err, driver.ErrNotRunning) {
		o.kept = d.holders.Note(time.Now(), nil, nil)
	}
	return o, err
}

// observeVRF observes one VRF; asked is what is asked for there.
func (d *daemon) observeVRF(ctx context.Context, vrf string, run config, asked driver.State, m managed) (o observation, err error) {
	permitted := run.listed()
	maps.Copy(permitted, run.instance(vrf).entered(m.ownedIn(vrf)))
	if d.bgp != nil {
		o, err = d.observeBGP(ctx, vrf, run.instance(vrf), permitted, asked, m)
	} else {
		o, err = d.observeIGP(ctx, vrf, run, permitted, m)
	}
	if err != nil {
		return observation{}, err
	}
	o.findings = slices.Concat(o.findings, d.vrfFindings(run.inVRF(vrf), asked), d.unreached(asked, o.neighbors))
	return o, nil
}

// ask asks the daemon about a VRF.
func (d *daemon) ask(ctx context.Context, vrf string, questions ...string) ([]string, error) {
	out := make([]string, len(questions))
	for i, q := range questions {
		out[i] = intoVRF(vrf, q)
	}
	return d.vty.Ask(ctx, out...)
}

// observeIGP asks a daemon that floods what it originates to all its neighbors. Of what
// is not permitted it looks at keepcast's: the daemon may have kept it. Where the interface
// is the gate, what is permitted is whatever it originates.
func (d *daemon) observeIGP(ctx context.Context, vrf string, run config, permitted map[netip.Prefix]bool, m managed) (observation, error) {
	questions := []string{d.originated, d.neighbors}
	if d.hold.question != "" {
		questions = append(questions, d.hold.question)
	}
	answers, err := d.ask(ctx, vrf, questions...)
	if err != nil {
		return observation{}, err
	}
	neighbors := d.readNeighbors(answers[1])
	o := observationOf(d.name, neighbors)
	o.sessions = d.hold.sessions(neighbors, answers[len(answers)-1], run.graces[vrf], d.back)
	for p := range d.readOriginated(answers[0]) {
		degraded, ok := permitted[p]
		if !ok && !m.owned[p] && !d.interfaceGate {
			continue
		}
		o.held[p] = degraded
		for _, n := range neighbors {
			if n.Up && n.Takes(p) {
				o.exported[p] = append(o.exported[p], n.Name)
			}
		}
	}
	return o, nil
}

// listed returns the prefixes that keepcast's lists permit; the value tells whether as
// degraded.
func (c config) listed() map[netip.Prefix]bool {
	out := map[netip.Prefix]bool{}
	for p, lists := range c.permits() {
		out[p] = strings.Contains(lists+" ", degradedSuffix+" ")
	}
	return out
}

// permits returns for each prefix that keepcast's lists let through the names of these
// lists.
func (c config) permits() map[netip.Prefix]string {
	out := map[netip.Prefix]string{}
	gone := []netip.Prefix{}
	for _, k := range sortedKeys(c.entries) {
		action, value, _ := strings.Cut(c.entries[k].head, " ")
		p, err := netip.ParsePrefix(value)
		switch {
		case err != nil || action != "permit":
		case strings.HasSuffix(k.name, withdrawnSuffix):
			gone = append(gone, p)
		default:
			out[p] += " " + k.name
		}
	}
	for _, p := range gone {
		delete(out, p)
	}
	return out
}
