package engine

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
)

// A service is what it announces, whatever its name and its checks are. So what has the same
// addresses under another name goes on as it was, also where two services swapped names. What
// has only some of them goes on as well, also where a service was split. A name alone carries
// nothing over: what was announced was another service.

// identity is what a service is known by from one configuration to the next.
type identity struct {
	name      string
	announces []netip.Prefix // sorted; an address is the same with any length
}

type identified interface{ id() identity }

func (id identity) id() identity { return id }

// substance is all that a service announces. No two services of a configuration announce the
// same.
func (id identity) substance() string { return fmt.Sprint(id.announces) }

func (id identity) shares(other identity) bool {
	return slices.ContainsFunc(id.announces, func(p netip.Prefix) bool { return slices.Contains(other.announces, p) })
}

// mayShare does so, too. What an older keepcast saved does not always say what it announces.
func (id identity) mayShare(other identity) bool { return len(id.announces) == 0 || id.shares(other) }

func (s savedService) id() identity {
	id := identity{name: s.Name, announces: slices.Clone(s.Prefixes)}
	for _, a := range s.Addresses {
		id.announces = append(id.announces, netip.PrefixFrom(a.Addr(), a.Addr().BitLen()))
	}
	slices.SortFunc(id.announces, netip.Prefix.Compare)
	return id
}

func (s *service) id() identity { return announces(*s.cfg).id() }

// ids returns the identities of services, whatever is known of each.
func ids[T identified](services []T) []identity {
	var out []identity
	for _, s := range services {
		out = append(out, s.id())
	}
	return out
}

// identities returns those of configured services.
func identities(services []config.Service) []identity {
	var out []identity
	for _, cfg := range services {
		out = append(out, announces(cfg).id())
	}
	return out
}

// successions returns, by the names that services have now, what of before each goes on from:
// what announces the same, else what has the same name and announces some of it, else what
// announces most of it. Where several do, the first one counts. One that was split has
// several successors.
func successions[T identified](before []T, now []identity) map[string]T {
	whole, named, part := map[string]int{}, map[string]int{}, map[netip.Prefix]int{}
	for i, old := range slices.Backward(before) {
		id := old.id()
		whole[id.substance()], named[id.name] = i, i
		for _, p := range id.announces {
			part[p] = i
		}
	}
	out := map[string]T{}
	for _, id := range now {
		if i, known := whole[id.substance()]; known {
			out[id.name] = before[i]
		} else if i, known := named[id.name]; known && before[i].id().mayShare(id) {
			out[id.name] = before[i]
		} else if i, known := mostShared(part, id); known {
			out[id.name] = before[i]
		}
	}
	return out
}

// mostShared returns which one has most of what id announces, by what each prefix had.
func mostShared(part map[netip.Prefix]int, id identity) (most int, known bool) {
	shares := map[int]int{}
	for _, p := range id.announces {
		if i, had := part[p]; had {
			shares[i]++
		}
	}
	for _, i := range slices.Sorted(maps.Keys(shares)) {
		if !known || shares[i] > shares[most] {
			most, known = i, true
		}
	}
	return most, known
}

// renames returns the names that services had before, by the other ones that they have now.
func renames[T identified](successors map[string]T) map[string]string {
	out := map[string]string{}
	for to, old := range successors {
		if was := old.id().name; was != to {
			out[to] = was
		}
	}
	return out
}

// former returns what the last run saved of each service, by the names that they have now.
func (e *Engine) former(last saved) map[string]savedService {
	return successions(last.Services, identities(e.cfg.Services))
}
