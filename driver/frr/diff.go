package frr

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// step is a run of commands in one block of the configuration. Order matters,
// between the steps and within.
type step struct {
	blocks []string // the headers to go through, none at the top level
	lines  []string
}

// String returns the first command of the step, for an error.
func (s step) String() string {
	return strings.Join(slices.Concat(s.blocks, s.lines[:min(1, len(s.lines))]), " / ")
}

// diff returns the steps that bring a daemon from what runs to what is desired. A network
// line is keepcast's if it names one of its route-maps, or a prefix that it manages in
// that VRF.
//
// At no point between two commands is more permitted than before and after: what is
// missing denies.
func (l *dialect) diff(run, desired config, m managed) []step {
	return slices.Concat(diffLists(run, desired), l.routeMaps(run, desired), diffNetworks(run, desired, m), staleEntries(run, desired))
}

// diffLists makes the prefix-list entries. FRR 8.4 silently ignores an entry whose
// twin is in the list under another number, so such a twin goes first.
func diffLists(run, desired config) []step {
	type slot struct{ kind, name, head string }
	wanted := map[slot]bool{}
	for k, e := range desired.entries {
		wanted[slot{k.kind, k.name, e.head}] = true
	}
	var twins, lines []string
	for _, k := range sortedKeys(run.entries) {
		e := run.entries[k]
		if k.kind != "route-map" && desired.entries[k].head != e.head && wanted[slot{k.kind, k.name, e.head}] {
			twins = append(twins, "no "+k.command(e.head))
		}
	}
	for _, k := range sortedKeys(desired.entries) {
		e := desired.entries[k]
		if k.kind != "route-map" && run.entries[k].head != e.head {
			lines = append(lines, k.command(e.head))
		}
	}
	return nonEmpty(step{lines: append(twins, lines...)})
}

// editRouteMaps makes the route-map entries of FRR. An entry is a deny while it is edited.
// It is never deleted and made again: isisd keeps a pointer to the map it found by name.
func editRouteMaps(run, desired config) []step {
	var steps []step
	for _, k := range sortedKeys(desired.entries) {
		e, old := desired.entries[k], run.entries[k]
		if k.kind != "route-map" || old.equal(e) {
			continue
		}
		var lines []string
		for _, l := range old.lines {
			if !slices.Contains(e.lines, l) {
				lines = append(lines, negated(l))
			}
		}
		for _, l := range e.lines {
			if !slices.Contains(old.lines, l) {
				lines = append(lines, l)
			}
		}
		steps = append(steps, step{blocks: []string{k.command("deny")}, lines: lines})
		if e.head != "deny" {
			steps = append(steps, step{lines: []string{k.command(e.head)}})
		}
	}
	return steps
}

// remakeRouteMaps makes the route-map entries of Quagga. An entry that changes is deleted
// and made again: Quagga empties one that changes between permit and deny, so that it
// cannot be edited behind a deny. All of an entry goes out in one write.
func remakeRouteMaps(run, desired config) []step {
	var steps []step
	for _, k := range sortedKeys(desired.entries) {
		e := desired.entries[k]
		old, there := run.entries[k]
		if k.kind != "route-map" || old.equal(e) {
			continue
		}
		lines := slices.Concat([]string{k.command(e.head)}, e.lines)
		if there {
			lines = slices.Insert(lines, 0, "no "+k.command(old.head))
		}
		steps = append(steps, step{lines: lines})
	}
	return steps
}

// editedRouteMaps returns the names of the route-maps of which an entry is to be made,
// changed or taken away.
func editedRouteMaps(run, desired config) map[string]bool {
	names := map[string]bool{}
	for _, k := range append(sortedKeys(run.entries), sortedKeys(desired.entries)...) {
		if k.kind == "route-map" && !run.entries[k].equal(desired.entries[k]) {
			names[k.name] = true
		}
	}
	return names
}

// negated returns the command that takes a line of a route-map away. Of a path, FRR
// 8.4 takes no more than one number there.
func negated(line string) string {
	if strings.HasPrefix(line, "set as-path prepend ") {
		line = "set as-path prepend"
	}
	return "no " + line
}

// diffNetworks takes away and makes the network lines of each instance of BGP that
// the operator has.
func diffNetworks(run, desired config, m managed) []step {
	var steps []step
	for vrf, bgp := range run.instances() {
		if bgp.router != "" {
			steps = append(steps, bgp.diff(desired.instance(vrf).networks, m.ownedIn(vrf))...)
		}
	}
	return steps
}

// diff takes away and makes the network lines of an instance.
func (b bgpInstance) diff(desired map[netip.Prefix]string, owned map[netip.Prefix]bool) []step {
	lines := familyLines{}
	for _, p := range sortedPrefixes(b.entered(owned)) {
		if _, wanted := desired[p]; !wanted {
			lines.add(p, "no "+networkLine(p, b.networks[p]))
		}
	}
	for _, p := range sortedPrefixes(desired) {
		if rest, there := b.networks[p]; !there || rest != desired[p] {
			lines.add(p, networkLine(p, desired[p]))
		}
	}
	return lines.steps(b.router)
}

// familyLines are lines about prefixes, by the header of their address family.
type familyLines map[string][]string

func (l familyLines) add(p netip.Prefix, line string) {
	l[familyHeader(p.Addr())] = append(l[familyHeader(p.Addr())], line)
}

func (l familyLines) steps(router string) []step {
	var steps []step
	for _, family := range slices.Sorted(maps.Keys(l)) {
		steps = append(steps, step{blocks: []string{router, family}, lines: l[family]})
	}
	return steps
}

// staleEntries takes away what keepcast made once and what is not desired any more,
// route-maps before the lists they name.
func staleEntries(run, desired config) []step {
	var routeMaps, lists []string
	wanted := map[string]bool{}
	for k, e := range desired.entries {
		wanted[k.kind+k.name+e.head] = true
	}
	for _, k := range sortedKeys(run.entries) {
		e := run.entries[k]
		switch _, there := desired.entries[k]; {
		case there:
		case k.kind == "route-map":
			routeMaps = append(routeMaps, "no "+k.command(e.head))
		case !wanted[k.kind+k.name+e.head]: // else diffLists took it away as a twin
			lists = append(lists, "no "+k.command(e.head))
		}
	}
	return nonEmpty(step{lines: append(routeMaps, lists...)})
}

func nonEmpty(s step) []step {
	if len(s.lines) == 0 {
		return nil
	}
	return []step{s}
}

func networkLine(p netip.Prefix, rest string) string {
	return strings.TrimSpace("network " + p.String() + " " + rest)
}

func sortedKeys(m map[entryKey]entry) []entryKey {
	return slices.SortedFunc(maps.Keys(m), func(a, b entryKey) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.name, b.name), cmp.Compare(a.seq, b.seq))
	})
}

func sortedPrefixes[V any](m map[netip.Prefix]V) []netip.Prefix {
	return slices.SortedFunc(maps.Keys(m), netip.Prefix.Compare)
}
