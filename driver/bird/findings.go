package bird

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/bird/ctl"
)

// findings returns what stands in the way of announcing, as far as it was observed.
func (b *Driver) findings(ctx context.Context, observed driver.State, running string, protocols []protocol, neighbors []neighbor) ([]driver.Finding, error) {
	var out []driver.Finding
	if b.futile == (futileLoad{b.state, running}) && running != b.state {
		out = append(out, b.differs(running))
	}
	for _, p := range protocols {
		if p.state == "down" && slices.Contains(ownProtocols(b.desired), p.name) {
			out = append(out, protocolDisabled(p.name))
		}
	}
	if running == b.state {
		kept, err := b.keptBack(ctx, observed, protocols)
		if err != nil {
			return nil, err
		}
		out = append(out, kept...)
	}
	unloaded, err := b.unloaded(ctx)
	if err != nil {
		return nil, err
	}
	out = append(out, unloaded...)
	if undo, err := b.undoPending(ctx); err != nil {
		return nil, err
	} else if undo != "" {
		out = append(out, undoFinding(undo))
	}
	out = append(out, b.notExported(observed)...)
	out = append(out, b.unprepended(protocols)...)
	return append(out, sessionsDown(observed, neighbors)...), nil
}

// differs says that BIRD obeyed and yet runs another snippet than the one in place.
func (b *Driver) differs(running string) driver.Finding {
	f := driver.Finding{Name: "include-missing", Level: driver.LevelError, Subject: "bird", Text: "its configuration does not include keepcast's snippet"}
	f.Fix = fmt.Sprintf("add the line 'include %q;' to bird.conf, above its protocols, then run birdc configure", b.Snippet)
	if running != "" {
		f.Name = "snippet-differs"
		f.Text = fmt.Sprintf("runs another snippet (keepcast_state %q) than %s (%q)", running, b.Snippet, b.state)
		f.Fix = "correct the include line in bird.conf, then run birdc configure"
	}
	return f
}

// unprepended says that a path is to be made longer towards another AS, and is not.
func (b *Driver) unprepended(protocols []protocol) []driver.Finding {
	long := func(r driver.Route) bool { return r.Attributes.Prepend > 0 }
	announced := b.desired.Announced()
	i := slices.IndexFunc(announced, long)
	if b.AS != 0 || i < 0 {
		return nil
	}
	for _, p := range protocols {
		own, theirs := p.number("Local AS"), p.number("Neighbor AS")
		if own != 0 && theirs != 0 && own != theirs && (p.exports("ipv4") || p.exports("ipv6")) {
			return []driver.Finding{{
				Name: "prepend-unused", Level: driver.LevelWarning, Subject: "bird",
				Text: "the path of " + announced[i].Prefix.Masked().String() + " is not made longer towards " + p.name + ", for the driver's setting as is 0",
				Fix:  fmt.Sprintf("set for the driver in keepcast's configuration: as: %d", own),
			}}
		}
	}
	return nil
}

// protocolDisabled says that somebody disabled a protocol of the snippet: the gate
// is right then, and yet nothing passes. It may be meant, so it is left so.
func protocolDisabled(name string) driver.Finding {
	return driver.Finding{
		Name: "protocol-disabled", Level: driver.LevelError, Subject: "bird protocol " + name, Text: "is down, so what it carries is not announced",
		Fix: "if that is not meant, run " + birdc("enable", name),
	}
}

// birdc is a command about a protocol, as it is typed into a shell.
func birdc(command, protocol string) string {
	if strings.ContainsAny(protocol, "-.:") {
		return fmt.Sprintf(`birdc '%s "%s"'`, command, protocol)
	}
	return "birdc " + command + " " + protocol
}

// keptBack says what keeps prefixes from passing a gate that is open for them.
func (b *Driver) keptBack(ctx context.Context, observed driver.State, protocols []protocol) ([]driver.Finding, error) {
	passed := map[netip.Prefix]bool{}
	for _, r := range observed.Routes {
		passed[r.Prefix.Masked()] = true
	}
	var out []driver.Finding
	for _, r := range b.desired.Announced() {
		p := r.Prefix.Masked()
		if passed[p] {
			continue
		}
		through, err := b.routes(ctx, p.String()+" table "+mainTable(p))
		if err != nil {
			return nil, err
		}
		var found driver.Finding
		if len(through) > 0 {
			found, err = b.notPreferred(ctx, p)
		} else if r.PrefixOnly && !slices.ContainsFunc(protocols, func(o protocol) bool { return o.name == networkProtocol(r) }) {
			found, err = b.notOriginated(ctx, p)
		}
		if err != nil {
			return nil, err
		}
		if found.Name != "" {
			out = append(out, found)
		}
	}
	return out, nil
}

// notPreferred says whose route is chosen in place of keepcast's, if it still is.
func (b *Driver) notPreferred(ctx context.Context, p netip.Prefix) (driver.Finding, error) {
	r, err := b.ask(ctx, "show route "+p.String()+" table "+mainTable(p)+" primary where !defined("+announcedMark+")")
	if ctl.RefusalCode(err) == ctl.CodeNoRoute {
		return driver.Finding{}, nil
	}
	by := chosenProtocol(r)
	if err != nil || by == "" {
		return driver.Finding{}, err
	}
	return driver.Finding{
		Name: "not-preferred", Level: driver.LevelError, Subject: "bird " + p.String(),
		Text: "is in BIRD, but the route of protocol " + by + " for it is the chosen one, and only that is announced",
		Fix:  "give that protocol's channel a preference below 241, or take its route away",
	}, nil
}

// chosenProtocol returns the protocol of the first route of a reply to "show route".
func chosenProtocol(r ctl.Reply) string {
	for _, l := range r.Lines {
		if _, behind, ok := strings.Cut(l.Text, " ["); ok && l.Code == ctl.CodeRoute {
			by, _, _ := strings.Cut(behind, " ")
			return by
		}
	}
	return ""
}

// notOriginated says that nobody originates one of a service's prefixes: a template of the
// operator's may leave that to bird.conf.
func (b *Driver) notOriginated(ctx context.Context, p netip.Prefix) (driver.Finding, error) {
	family, table := "ipv4", "keepcast4"
	if p.Addr().Is6() {
		family, table = "ipv6", "keepcast6"
	}
	found, err := b.show(ctx, p.String()+" table "+table)
	if err != nil || len(found) > 0 {
		return driver.Finding{}, err
	}
	return driver.Finding{
		Name: "not-originated", Level: driver.LevelError, Subject: "bird " + p.String(),
		Text: "has no route in table " + table + ", so there is nothing that the gate could let pass",
		Fix:  fmt.Sprintf("add to bird.conf, below the include line: protocol static { %s { table %s; }; route %s blackhole; }", family, table, p),
	}, nil
}

// notExported says which prefixes are in BIRD and yet sent to nobody, although a
// neighbor that takes them is up.
func (b *Driver) notExported(observed driver.State) []driver.Finding {
	var out []driver.Finding
	used := false
	for _, r := range observed.Announced() {
		takers := slices.DeleteFunc(slices.Clone(observed.Neighbors), func(n driver.Neighbor) bool { return !n.Takes(r.Prefix) })
		takersUp := slices.DeleteFunc(slices.Clone(takers), func(n driver.Neighbor) bool { return !n.Up })
		if len(r.ExportedTo) > 0 || len(takers) > 0 && len(takersUp) == 0 {
			used = true // or would be, as far as can be seen
			continue
		}
		f := driver.Finding{Name: "not-exported", Level: driver.LevelError, Subject: "bird " + r.Prefix.Masked().String(), Fix: b.exportFix()}
		var names []string
		for _, n := range takersUp {
			names = append(names, n.Name)
		}
		f.Text = "is in BIRD, but no export filter lets it pass: not to " + strings.Join(names, ", ")
		if len(takers) == 0 {
			f.Text = "is in BIRD, but no BGP, OSPF, RIP or Babel protocol exports anything of its family"
		}
		out = append(out, f)
	}
	if used || len(out) == 0 {
		return out
	}
	return []driver.Finding{b.unused(out[0].Text)}
}

// unused says that nothing at all is announced. The reason given is that of the first
// prefix.
func (b *Driver) unused(text string) driver.Finding {
	return driver.Finding{
		Name: "gate-unused", Level: driver.LevelError, Subject: "bird", Fix: b.exportFix(),
		Text: "announces nothing of what passes the gate: " + strings.TrimPrefix(text, "is in BIRD, but "),
	}
}

func (b *Driver) exportFix() string {
	return "name keepcast_ebgp, keepcast_ibgp or keepcast_igp in the export of the protocols that are to announce it, as the head of " + b.Snippet + " shows"
}

// sessionsDown returns a finding for each neighbor that is down. It is the worse if no
// other is up, or none for a family that has something to announce.
func sessionsDown(observed driver.State, neighbors []neighbor) []driver.Finding {
	var out []driver.Finding
	alone := !slices.ContainsFunc(neighbors, func(n neighbor) bool { return n.Up })
	for _, n := range neighbors {
		if n.Up {
			continue
		}
		f := driver.Finding{Name: "session-down", Level: driver.LevelWarning, Subject: "bird neighbor " + n.Name, Text: "is down: " + n.Detail}
		f.Fix = "see " + birdc("show protocols all", n.via) + ", and the neighbor's side"
		if alone {
			f.Level = driver.LevelError
		}
		if n.off {
			f.Level, f.Fix = driver.LevelInfo, "if that is not meant, run "+birdc("enable", n.via)
		}
		if slices.ContainsFunc(observed.Announced(), func(r driver.Route) bool {
			return n.Takes(r.Prefix) && !slices.ContainsFunc(observed.Neighbors, func(o driver.Neighbor) bool { return o.Up && o.Takes(r.Prefix) })
		}) {
			f.Level = driver.LevelError
		}
		out = append(out, f)
	}
	slices.SortStableFunc(out, func(a, b driver.Finding) int { return cmp.Compare(a.Subject, b.Subject) })
	return out
}
