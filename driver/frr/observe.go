package frr

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

	"github.com/keepcast/keepcast/driver"
)

// Observe implements Driver. Before the first Apply it returns all that is found
// under keepcast's names.
func (f *FRR) Observe(ctx context.Context) (driver.State, error) {
	f.mu.Lock()
	asked := f.asked
	f.mu.Unlock()
	on, err := f.on(asked)
	if err != nil {
		return driver.State{}, err
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
	held      map[netip.Prefix]bool     // what the gate permits and the daemon originates; the value tells whether as degraded
	exported  map[netip.Prefix][]string // the names of the neighbors that are sent it
	neighbors []driver.Neighbor
	findings  []driver.Finding
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
func (l frrLooks) together(asked driver.State, err error) (driver.State, error) {
	seen := frrTogether(asked, l.roles, l.sights)
	if !slices.Contains(l.errs, nil) {
		seen.Neighbors = nil // nobody told any
	}
	silent := slices.DeleteFunc(slices.Clone(l.errs), func(err error) bool { return errors.Is(err, driver.ErrNotRunning) })
	return seen, cmp.Or(errors.Join(silent...), err)
}

// frrTogether makes one state of what all daemons tell. What is to be announced is
// there once each daemon that carries its family has it; what is to be withdrawn,
// for as long as any has.
func frrTogether(asked driver.State, roles []frrRole, sights []frrSight) driver.State {
	announced, exported := map[netip.Prefix]bool{}, map[netip.Prefix][]string{}
	unwanted := asked.Managed()
	for _, r := range asked.Announced() {
		delete(unwanted, r.Prefix.Masked())
	}
	s := driver.State{Interface: asked.Interface, Neighbors: []driver.Neighbor{}}
	for _, sight := range sights {
		s.Neighbors = append(s.Neighbors, sight.neighbors...)
		s.Findings = append(s.Findings, sight.findings...)
		for p, degraded := range sight.held {
			if unwanted[p] || heldByAll(roles, sights, p) {
				announced[p] = announced[p] || degraded
				exported[p] = append(exported[p], sight.exported[p]...)
			}
		}
	}
	add := func(r driver.Route, p netip.Prefix) {
		r.Presence, r.Degraded, r.ExportedTo = driver.Announced, announced[p], exported[p]
		s.Routes = append(s.Routes, r)
	}
	for _, r := range asked.Routes {
		if _, ok := announced[r.Prefix.Masked()]; ok {
			add(r, r.Prefix.Masked())
		}
	}
	if len(asked.Routes) == 0 {
		for _, p := range sortedPrefixes(announced) {
			add(driver.Route{Prefix: p}, p)
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
func (d *frrDaemon) look(ctx context.Context, asked driver.State, on frrHost) (frrSight, error) {
	if err := d.open(ctx); err != nil {
		return frrSight{}, d.vty.Away(err)
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
	all.findings = append(all.findings, otherAS(d.vty.Daemon, run, asked, on)...)
	return all, nil
}

// lookInto looks into one VRF; asked is what is asked for there.
func (d *frrDaemon) lookInto(ctx context.Context, vrf string, run frrConfig, asked driver.State, on frrHost) (s frrSight, err error) {
	if d.vty.Daemon == "bgpd" {
		s, err = d.lookBGP(ctx, vrf, run.instance(vrf).entered(on.ownedIn(vrf)), asked, on)
	} else {
		s, err = d.lookIGP(ctx, vrf, run.listed())
	}
	if err != nil {
		return frrSight{}, err
	}
	s.findings = slices.Concat(s.findings, d.findings(run.in(vrf), asked), unreached(d.vty.Daemon, d.role, asked, s.neighbors))
	return s, nil
}

// ask asks the daemon about a VRF.
func (d *frrDaemon) ask(ctx context.Context, vrf string, questions ...string) ([]string, error) {
	into := make([]string, len(questions))
	for i, q := range questions {
		into[i] = frrInto(vrf, q)
	}
	return d.vty.Ask(ctx, into...)
}

// lookIGP asks a daemon that floods what it originates to all its neighbors.
func (d *frrDaemon) lookIGP(ctx context.Context, vrf string, permitted map[netip.Prefix]bool) (frrSight, error) {
	q := frrQuestionsOf(d.vty.Daemon)
	answers, err := d.ask(ctx, vrf, q.originated, q.neighbors)
	if err != nil {
		return frrSight{}, err
	}
	originated := q.readOriginated(answers[0])
	maps.DeleteFunc(permitted, func(p netip.Prefix, _ bool) bool { return !originated[p] })
	return flooded(d.vty.Daemon, permitted, q.readNeighbors(answers[1])), nil
}

// flooded is the sight of a daemon that floods what it holds to all its neighbors.
func flooded(daemon string, held map[netip.Prefix]bool, neighbors []frrNeighbor) frrSight {
	s := meeting(daemon, neighbors)
	s.held = held
	for _, n := range neighbors {
		for p := range held {
			if n.Up && n.Takes(p) {
				s.exported[p] = append(s.exported[p], n.Name)
			}
		}
	}
	return s
}

// meeting is a sight of the neighbors alone.
func meeting(daemon string, neighbors []frrNeighbor) frrSight {
	s := frrSight{exported: map[netip.Prefix][]string{}, findings: neighborsDown(daemon, neighbors)}
	for _, n := range neighbors {
		s.neighbors = append(s.neighbors, n.Neighbor)
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

// frrNeighbor is a neighbor, and what an operator can do about one that is down.
type frrNeighbor struct {
	driver.Neighbor
	iface string // of an adjacency
	shut  bool   // the operator took it down
	fix   string
}

// neighborsDown returns a finding for each neighbor that is down. It is the worse
// if none is left to announce to.
func neighborsDown(daemon string, neighbors []frrNeighbor) []driver.Finding {
	level := driver.LevelError
	if slices.ContainsFunc(neighbors, func(n frrNeighbor) bool { return n.Up }) {
		level = driver.LevelWarning
	}
	var out []driver.Finding
	for _, n := range neighbors {
		if n.Up {
			continue
		}
		found := driver.Finding{Name: "session-down", Level: level, Subject: daemon + " neighbor " + n.Name, Text: "is down: " + n.Detail, Fix: n.fix}
		if n.shut {
			found.Level = driver.LevelInfo
		}
		out = append(out, found)
	}
	return out
}

// unreached returns a finding if the daemon has no neighbor at all for something
// that is to be announced.
func unreached(daemon string, role frrRole, asked driver.State, neighbors []driver.Neighbor) []driver.Finding {
	for _, r := range asked.Announced() {
		takes := func(n driver.Neighbor) bool { return n.Takes(r.Prefix) }
		if !role.carries(r.Prefix.Addr()) || slices.ContainsFunc(neighbors, takes) {
			continue
		}
		return []driver.Finding{{
			Name: "no-neighbor", Level: driver.LevelError, Subject: daemon,
			Text: "has no neighbor for " + familyOf(r.Prefix.Addr()) + ", so " + r.Prefix.Masked().String() + " leaves this host by no way of it",
			Fix:  cmp.Or(frrQuestionsOf(daemon).neighborFix, bgpNeighborFix(r.Prefix.Addr())),
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
