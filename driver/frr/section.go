package frr

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/keepcast/keepcast/driver/community"
)

// sectionMark begins the section of a daemon in the snippet.
const sectionMark = "! daemon: "

// parseSections returns the sections of a snippet by their daemon.
func (l *dialect) parseSections(snippet []byte) (map[string]config, error) {
	texts := map[string]*strings.Builder{}
	names := []string{}
	var current *strings.Builder
	for line := range strings.Lines(l.read(string(snippet))) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), sectionMark); ok {
			current = new(strings.Builder)
			texts[name], names = current, append(names, name)
		}
		if current != nil {
			current.WriteString(line)
		}
	}
	sections := map[string]config{}
	for _, name := range names {
		c, err := parseSection(name, texts[name].String())
		if err != nil {
			return nil, fmt.Errorf("template %s: %w", l.template, err)
		}
		sections[name] = c
	}
	return sections, nil
}

// parseSection reads a section of the snippet. A line that keepcast would not recognise as
// its own again, once it runs, is an error.
func parseSection(daemon, text string) (config, error) {
	c, foreign := parseConfig(text)
	if len(foreign) > 0 {
		return c, fmt.Errorf("section %s: %q is nothing keepcast can keep up to date (only prefix-list entries with seq and route-map entries named %s..., and network lines in router bgp)", daemon, foreign[0], mark)
	}
	return c, nil
}

// section returns the section of a daemon. A template may leave it out only where there
// is nothing to load.
func (l *dialect) section(sections map[string]config, s spec) (config, error) {
	section, ok := sections[s.name]
	if !ok && !s.interfaceGate {
		return section, fmt.Errorf("template %s: no section %q", l.template, sectionMark+s.name)
	}
	return section, nil
}

// prependAS puts the number of the own AS in the place of the word AS. Without a
// number the lines that need it go.
func (c config) prependAS(as string) {
	for k, e := range c.entries {
		lines := []string{}
		for _, l := range e.lines {
			words := strings.Fields(l)
			if as == "" && slices.Contains(words, "AS") {
				continue
			}
			for i, w := range words {
				if w == "AS" {
					words[i] = as
				}
			}
			lines = append(lines, strings.Join(words, " "))
		}
		e.lines = lines
		c.entries[k] = e
	}
}

// forFamilies returns the part of c that is of the families that a daemon carries.
func (c config) forFamilies(s spec) config {
	c.entries = maps.Clone(c.entries)
	maps.DeleteFunc(c.entries, func(k entryKey, _ entry) bool { return !s.owns(k.name) })
	c.redistribute = slices.DeleteFunc(slices.Clone(c.redistribute), func(r redistribution) bool { return !s.owns(r.routeMap) })
	return c
}

// forBlind returns the section for a daemon that can't match a prefix in a
// route-map, but filters what it sends by the list alone. What is withdrawn is
// denied only while it is on the host: else the neighbors would not be told
// that it is gone.
func (c config) forBlind(m managed) config {
	gone := config{entries: maps.Clone(c.entries)}
	maps.DeleteFunc(gone.entries, func(k entryKey, e entry) bool {
		return !strings.HasSuffix(k.name, withdrawnSuffix) || !strings.HasPrefix(e.head, "permit ")
	})
	denied := map[string]bool{}
	for _, e := range gone.entries {
		value := strings.TrimPrefix(e.head, "permit ")
		if p, err := netip.ParsePrefix(value); err == nil && m.has(p) {
			denied["permit "+value] = true
		}
	}
	entries := map[entryKey]entry{}
	for k, e := range c.entries {
		if denied[e.head] {
			e.head = "deny " + strings.TrimPrefix(e.head, "permit ")
		}
		if !strings.Contains(k.name, "-") && (k.kind != "route-map" || k.seq == seqBase) {
			entries[k] = e
		}
	}
	c.entries = entries
	return c
}

// canonicalAttribute joins the words of a line in a route-map. Communities become
// numbers, sorted: daemons show them by name, in an order of their own.
func canonicalAttribute(words []string) string {
	if len(words) < 3 || words[0] != "set" || words[1] != "community" && words[1] != "large-community" {
		return strings.Join(words, " ")
	}
	values := slices.Clone(words[2:])
	additive := values[len(values)-1] == "additive"
	if additive {
		values = values[:len(values)-1]
	}
	for i, v := range values {
		var known community.Standard
		if number, ok := frrCommunities()[v]; ok {
			values[i] = number
		} else if known.UnmarshalText([]byte(v)) == nil {
			values[i] = known.String()
		}
	}
	slices.SortFunc(values, compareCommunities)
	values = append(words[:2:2], slices.Compact(values)...)
	if additive {
		values = append(values, "additive")
	}
	return strings.Join(values, " ")
}

// compareCommunities compares by numbers; a word that is none comes last.
func compareCommunities(a, b string) int {
	x, wordX := communityNumbers(a)
	y, wordY := communityNumbers(b)
	return cmp.Or(strings.Compare(wordX, wordY), slices.Compare(x, y))
}

// communityNumbers reads the numbers of a community of either kind, or returns the
// text as it is.
func communityNumbers(text string) (numbers []uint64, word string) {
	for part := range strings.SplitSeq(text, ":") {
		n, err := strconv.ParseUint(part, 10, 32)
		if err != nil {
			return nil, text
		}
		numbers = append(numbers, n)
	}
	return numbers, ""
}

// frrCommunities returns the names that only FRR has for communities.
func frrCommunities() map[string]string {
	return map[string]string{
		"internet": "0:0", "local-AS": "65535:65283", "accept-own-nexthop": "65535:8",
		"route-filter-translated-v4": "65535:2", "route-filter-v4": "65535:3",
		"route-filter-translated-v6": "65535:4", "route-filter-v6": "65535:5",
	}
}
