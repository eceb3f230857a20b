package driver

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// Observe implements Driver. Before the first Apply it returns all that is found
// under keepcast's names.
func (f *FRR) Observe(ctx context.Context) (State, error) {
	f.mu.Lock()
	asked := f.asked
	f.mu.Unlock()
	on, err := f.on(asked)
	if err != nil {
		return State{}, err
	}
	looks := newFRRLooks(len(f.Daemons))
	err = f.each(func(i int, d *frrDaemon) error {
		s, err := d.look(ctx, asked, on)
		return looks.took(i, d.role, s, err)
	})
	return looks.together(asked, err)
}

// frrSight is what one daemon tells about what it announces.
type frrSight struct {
	held       map[netip.Prefix]bool     // what the gate permits and the daemon originates; the value tells whether as degraded
	exported   map[netip.Prefix][]string // the names of the neighbours that are sent it
	neighbours []Neighbour
	findings   []Finding
}

// frrLooks is what came of asking the daemons of a suite, each by its number.
type frrLooks struct {
	roles  []frrRole
	sights []frrSight
	errs   []error
}

func newFRRLooks(n int) frrLooks {
	return frrLooks{make([]frrRole, n), make([]frrSight, n), make([]error, n)}
}

// took takes what a daemon told, and returns err.
func (l frrLooks) took(i int, role frrRole, s frrSight, err error) error {
	l.roles[i], l.sights[i], l.errs[i] = role, s, err
	return err
}

// together makes one state of what the daemons told; err is why some did not. One
// that does not run has nothing, so it is among the errors only if all the others
// answered: else it would pass for the only one.
func (l frrLooks) together(asked State, err error) (State, error) {
	seen := frrTogether(asked, l.roles, l.sights)
	if !slices.Contains(l.errs, nil) {
		seen.Neighbours = nil // nobody told any
	}
	silent := slices.DeleteFunc(slices.Clone(l.errs), func(err error) bool { return errors.Is(err, ErrNotRunning) })
	return seen, cmp.Or(errors.Join(silent...), err)
}

// frrTogether makes one state of what all daemons tell. What is to be announced is
// there once each daemon that carries its family has it; what is to be withdrawn,
// for as long as any has.
func frrTogether(asked State, roles []frrRole, sights []frrSight) State {
	announced, exported := map[netip.Prefix]bool{}, map[netip.Prefix][]string{}
	unwanted := managed(asked)
	for _, r := range asked.Announced() {
		delete(unwanted, r.Prefix.Masked())
	}
	s := State{Interface: asked.Interface, Neighbours: []Neighbour{}}
	for _, sight := range sights {
		s.Neighbours = append(s.Neighbours, sight.neighbours...)
		s.Findings = append(s.Findings, sight.findings...)
		for p, degraded := range sight.held {
			if unwanted[p] || heldByAll(roles, sights, p) {
				announced[p] = announced[p] || degraded
				exported[p] = append(exported[p], sight.exported[p]...)
			}
		}
	}
	add := func(r Route, p netip.Prefix) {
		r.Presence, r.Degraded, r.ExportedTo = Announced, announced[p], exported[p]
		s.Routes = append(s.Routes, r)
	}
	for _, r := range asked.Routes {
		if _, ok := announced[r.Prefix.Masked()]; ok {
			add(r, r.Prefix.Masked())
		}
	}
	if len(asked.Routes) == 0 {
		for _, p := range sortedPrefixes(announced) {
			add(Route{Prefix: p}, p)
		}
	}
	return s
}

// heldByAll tells whether each daemon that carries the family of p has it.
func heldByAll(roles []frrRole, sights []frrSight, p netip.Prefix) bool {
	for i, role := range roles {
		if _, has := sights[i].held[p]; !has && role.carries(p.Addr()) {
			return false
		}
	}
	return true
}

// look asks the daemon what it originates of what the gate permits, and to whom it
// sends that.
func (d *frrDaemon) look(ctx context.Context, asked State, on frrHost) (frrSight, error) {
	if err := d.open(ctx); err != nil {
		return frrSight{}, d.vty.away(err)
	}
	run, err := d.running(ctx)
	if err != nil {
		return frrSight{}, err
	}
	var all frrSight
	for _, vrf := range on.where(run, asked) {
		s, err := d.lookInto(ctx, vrf, run, on.in(vrf, asked), on)
		if err != nil {
			return frrSight{}, err
		}
		all.join(s.in(vrf, on.ownedElsewhere(vrf)))
	}
	all.findings = append(all.findings, otherAS(d.vty.daemon, run, asked, on)...)
	return all, nil
}

// lookInto looks into one VRF; asked is what is asked for there.
func (d *frrDaemon) lookInto(ctx context.Context, vrf string, run frrConfig, asked State, on frrHost) (s frrSight, err error) {
	if d.vty.daemon == "bgpd" {
		s, err = d.lookBGP(ctx, vrf, run.instance(vrf).entered(on.ownedIn(vrf)), asked, on)
	} else {
		s, err = d.lookIGP(ctx, vrf, run.listed())
	}
	if err != nil {
		return frrSight{}, err
	}
	s.findings = slices.Concat(s.findings, d.findings(run.in(vrf), asked), unreached(d.vty.daemon, d.role, asked, s.neighbours))
	return s, nil
}

// ask asks the daemon about a VRF.
func (d *frrDaemon) ask(ctx context.Context, vrf string, questions ...string) ([]string, error) {
	into := make([]string, len(questions))
	for i, q := range questions {
		into[i] = frrInto(vrf, q)
	}
	return d.vty.ask(ctx, into...)
}

// lookIGP asks a daemon that floods what it originates to all its neighbours.
func (d *frrDaemon) lookIGP(ctx context.Context, vrf string, permitted map[netip.Prefix]bool) (frrSight, error) {
	q := frrQuestionsOf(d.vty.daemon)
	answers, err := d.ask(ctx, vrf, q.originated, q.neighbours)
	if err != nil {
		return frrSight{}, err
	}
	originated := q.readOriginated(answers[0])
	maps.DeleteFunc(permitted, func(p netip.Prefix, _ bool) bool { return !originated[p] })
	return flooded(d.vty.daemon, permitted, q.readNeighbours(answers[1])), nil
}

// flooded is the sight of a daemon that floods what it holds to all its neighbours.
func flooded(daemon string, held map[netip.Prefix]bool, neighbours []frrNeighbour) frrSight {
	s := meeting(daemon, neighbours)
	s.held = held
	for _, n := range neighbours {
		for p := range held {
			if n.Up && n.Takes(p) {
				s.exported[p] = append(s.exported[p], n.Name)
			}
		}
	}
	return s
}

// meeting is a sight of the neighbours alone.
func meeting(daemon string, neighbours []frrNeighbour) frrSight {
	s := frrSight{exported: map[netip.Prefix][]string{}, findings: neighboursDown(daemon, neighbours)}
	for _, n := range neighbours {
		s.neighbours = append(s.neighbours, n.Neighbour)
	}
	return s
}

// listed returns the prefixes that keepcast's lists permit; the value tells
// whether as degraded.
func (c frrConfig) listed() map[netip.Prefix]bool {
	out := map[netip.Prefix]bool{}
	for p, lists := range c.permits() {
		out[p] = strings.Contains(lists+" ", frrDegraded+" ")
	}
	return out
}

// eachObject calls visit with every object in a JSON text, at any depth: FRR has
// moved its objects between arrays and maps from version to version. A text that
// is no JSON ("% OSPF is not enabled") has none.
func eachObject(text string, visit func(map[string]any)) {
	var top any
	if err := json.NewDecoder(bytes.NewReader([]byte(text))).Decode(&top); err != nil {
		return
	}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			visit(v)
			for _, inner := range v {
				walk(inner)
			}
		case []any:
			for _, inner := range v {
				walk(inner)
			}
		}
	}
	walk(top)
}

// frrNeighbour is a neighbour, and what an operator can do about one that is down.
type frrNeighbour struct {
	Neighbour
	iface string // of an adjacency
	shut  bool   // the operator took it down
	fix   string
}

// neighboursDown returns a finding for each neighbour that is down. It is the worse
// if none is left to announce to.
func neighboursDown(daemon string, neighbours []frrNeighbour) []Finding {
	level := Breaks
	if slices.ContainsFunc(neighbours, func(n frrNeighbour) bool { return n.Up }) {
		level = Risks
	}
	var out []Finding
	for _, n := range neighbours {
		if n.Up {
			continue
		}
		found := Finding{Name: "session-down", Level: level, Subject: daemon + " neighbour " + n.Name, Text: "is down: " + n.Detail, Fix: n.fix}
		if n.shut {
			found.Level = Note
		}
		out = append(out, found)
	}
	return out
}

// unreached returns a finding if the daemon has no neighbour at all for something
// that is to be announced.
func unreached(daemon string, role frrRole, asked State, neighbours []Neighbour) []Finding {
	for _, r := range asked.Announced() {
		takes := func(n Neighbour) bool { return n.Takes(r.Prefix) }
		if !role.carries(r.Prefix.Addr()) || slices.ContainsFunc(neighbours, takes) {
			continue
		}
		return []Finding{{
			Name: "no-neighbour", Level: Breaks, Subject: daemon,
			Text: "has no neighbour for " + familyOf(r.Prefix.Addr()) + ", so " + r.Prefix.Masked().String() + " leaves this host by no way of it",
			Fix:  cmp.Or(frrQuestionsOf(daemon).neighbourFix, bgpNeighbourFix(r.Prefix.Addr())),
		}}
	}
	return nil
}

// familyOf names the address family in words.
func familyOf(a netip.Addr) string {
	if a.Is4() {
		return "IPv4"
	}
	return "IPv6"
}
