package frr

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// ospfMaxAge is the age of an LSA that is being flushed (RFC 2328 B), in seconds.
const ospfMaxAge = 3600

// ripInfinity is the metric of a prefix that is being withdrawn (RFC 2453, 3.6).
const ripInfinity = 16

// ospfOriginates reads `show ip ospf database external self-originate json`.
func ospfOriginates(text string) map[netip.Prefix]bool {
	out := map[netip.Prefix]bool{}
	eachObject(text, func(lsa map[string]any) {
		id, _ := lsa["linkStateId"].(string)
		bits, isNumber := lsa["networkMask"].(float64)
		addr, err := netip.ParseAddr(id)
		if err != nil || !isNumber || lsa["lsaAge"] == float64(ospfMaxAge) {
			return
		}
		// The id may have host bits set (RFC 2328 appendix E).
		if p, err := addr.Prefix(int(bits)); err == nil {
			out[p] = true
		}
	})
	return out
}

// ospf6Originates reads `show ipv6 ospf6 database as-external self-originated json`.
func ospf6Originates(text string) map[netip.Prefix]bool {
	out := map[netip.Prefix]bool{}
	eachObject(text, func(lsa map[string]any) {
		payload, _ := lsa["payload"].(string)
		if p, err := netip.ParsePrefix(payload); err == nil && lsa["age"] != float64(ospfMaxAge) {
			out[p.Masked()] = true
		}
	})
	return out
}

// isisOriginates reads `show isis database detail`: the reachability lines of the
// LSPs that are marked as this host's by an asterisk.
func isisOriginates(text string) map[netip.Prefix]bool {
	out := map[netip.Prefix]bool{}
	own := false
	for line := range strings.Lines(text) {
		if line[0] != ' ' {
			words := strings.Fields(line)
			own = len(words) > 1 && words[1] == "*"
			continue
		}
		_, rest, found := strings.Cut(line, "Reachability: ")
		if word, _, _ := strings.Cut(rest, " "); own && found {
			if p, err := netip.ParsePrefix(strings.TrimSpace(word)); err == nil {
				out[p.Masked()] = true
			}
		}
	}
	return out
}

// ripOriginates reads `show ip rip`: "C(r) 192.0.2.53/32  0.0.0.0  1 self  0".
func ripOriginates(text string) map[netip.Prefix]bool {
	return ripTable(text, regexp.MustCompile(`(?m)^\w\([rs]\) +(\S+)\s+\S+\s+(\d+)\s+self\b`))
}

// ripngOriginates reads `show ipv6 ripng`, which breaks the line after the prefix
// and has the metric behind "self".
func ripngOriginates(text string) map[netip.Prefix]bool {
	return ripTable(text, regexp.MustCompile(`(?m)^\w\([rs]\) +(\S+)\s+\S+\s+self\s+(\d+)\b`))
}

// ripTable returns the prefixes that lines finds with a metric below infinity.
func ripTable(text string, lines *regexp.Regexp) map[netip.Prefix]bool {
	out := map[netip.Prefix]bool{}
	for _, m := range lines.FindAllStringSubmatch(text, -1) {
		p, err := netip.ParsePrefix(m[1])
		if metric, _ := strconv.Atoi(m[2]); err == nil && metric < ripInfinity {
			out[p.Masked()] = true
		}
	}
	return out
}

// babelOriginates reads `show babel route`: "192.0.2.53/32 metric 0 (exported)".
func babelOriginates(text string) map[netip.Prefix]bool {
	out := map[netip.Prefix]bool{}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 4 || words[1] != "metric" || words[len(words)-1] != "(exported)" {
			continue
		}
		if p, err := netip.ParsePrefix(words[0]); err == nil {
			out[p.Masked()] = true
		}
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
