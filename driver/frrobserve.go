package driver

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// ospfMaxAge is the age of an LSA that is being flushed (RFC 2328 B), in seconds.
const ospfMaxAge = 3600

// Observe implements Driver. Before the first Apply it returns all that is found
// under keepcast's names.
func (f *FRR) Observe(ctx context.Context) (State, error) {
	f.mu.Lock()
	asked := f.asked
	f.mu.Unlock()
	owned := managed(asked)
	all := f.all()
	held := make([]map[netip.Prefix]bool, len(all))
	err := f.each(func(d *frrDaemon) error {
		h, err := d.held(ctx, owned)
		held[slices.Index(all, d)] = h
		return err
	})
	if err != nil {
		return State{}, err
	}
	everywhere := map[netip.Prefix]bool{}
	for _, h := range held {
		for p, degraded := range h {
			if heldByAll(all, held, p) {
				everywhere[p] = everywhere[p] || degraded
			}
		}
	}
	return announcedOf(asked, everywhere), nil
}

// heldByAll tells whether each daemon that carries the family of p has it.
func heldByAll(all []*frrDaemon, held []map[netip.Prefix]bool, p netip.Prefix) bool {
	for i, d := range all {
		if _, has := held[i][p]; !has && d.role.carries(p.Addr()) {
			return false
		}
	}
	return true
}

// announcedOf returns the announced ones of the routes that were asked for.
func announcedOf(asked State, announced map[netip.Prefix]bool) State {
	s := State{Interface: asked.Interface}
	for _, r := range asked.Routes {
		if degraded, ok := announced[r.Prefix.Masked()]; ok {
			s.Routes = append(s.Routes, Route{Prefix: r.Prefix, Service: r.Service, Presence: Announced, Degraded: degraded})
		}
	}
	if len(asked.Routes) == 0 {
		for _, p := range sortedPrefixes(announced) {
			s.Routes = append(s.Routes, Route{Prefix: p, Presence: Announced, Degraded: announced[p]})
		}
	}
	return s
}

// held returns the prefixes that the gate permits and that the daemon really
// originates; the value tells whether as degraded.
func (d *frrDaemon) held(ctx context.Context, owned map[netip.Prefix]bool) (map[netip.Prefix]bool, error) {
	if err := d.open(ctx); err != nil {
		return nil, err
	}
	run, err := d.running(ctx)
	if err != nil {
		return nil, err
	}
	permitted := run.listed()
	if d.role.again == againNetwork {
		permitted = run.entered(owned)
	}
	if len(permitted) == 0 {
		return nil, nil
	}
	originated, err := d.originated(ctx, sortedPrefixes(permitted))
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(permitted, func(p netip.Prefix, _ bool) bool { return !originated[p] })
	return permitted, nil
}

// entered returns the prefixes of keepcast's network lines; the value tells
// whether as degraded.
func (c frrConfig) entered(owned map[netip.Prefix]bool) map[netip.Prefix]bool {
	out := map[netip.Prefix]bool{}
	for p, rest := range c.networks {
		name := frrRouteMap(strings.Fields(rest))
		if owned[p] || strings.HasPrefix(name, frrMark) {
			out[p] = strings.HasSuffix(name, "-DEGRADED")
		}
	}
	return out
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

// originated asks the daemon's own database which of the prefixes it announces.
func (d *frrDaemon) originated(ctx context.Context, prefixes []netip.Prefix) (map[netip.Prefix]bool, error) {
	out := map[netip.Prefix]bool{}
	switch d.vty.daemon {
	case "bgpd":
		for some := range slices.Chunk(prefixes, frrBatch) {
			var questions []string
			for _, p := range some {
				questions = append(questions, "show bgp "+strings.TrimPrefix(frrFamily(p.Addr()), "address-family ")+" "+p.String()+" json")
			}
			answers, err := d.vty.ask(ctx, questions...)
			if err != nil {
				return nil, err
			}
			for i, p := range some {
				out[p] = bgpOriginates(answers[i])
			}
		}
		return out, nil
	case "ospfd":
		answers, err := d.vty.ask(ctx, "show ip ospf database external self-originate json")
		if err != nil {
			return nil, err
		}
		return ospfOriginates(answers[0]), nil
	case "ospf6d":
		answers, err := d.vty.ask(ctx, "show ipv6 ospf6 database as-external self-originated json")
		if err != nil {
			return nil, err
		}
		return ospf6Originates(answers[0]), nil
	default:
		answers, err := d.vty.ask(ctx, "show isis database detail")
		if err != nil {
			return nil, err
		}
		return isisOriginates(answers[0]), nil
	}
}

// bgpOriginates reads `show bgp AFI unicast P json`. The prefix is announced by
// this host if a path of its own is valid: other hosts announce the same prefix.
func bgpOriginates(text string) bool {
	found := false
	eachObject(text, func(o map[string]any) {
		found = found || o["local"] == true && o["valid"] == true
	})
	return found
}

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
// LSPs that are marked as this host's by an asterisk. (The JSON form of FRR 8.4
// repeats keys and so loses prefixes.)
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
