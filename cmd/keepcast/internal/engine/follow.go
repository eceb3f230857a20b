package engine

import (
	"cmp"
	"fmt"
	"net/netip"
	"reflect"
	"slices"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
)

// order is a drain by command, and what its service announces: it follows that, whatever the
// service is called later.
type order struct {
	api.Drain
	Announces []netip.Prefix `json:"announces,omitempty"` // empty: saved by an older keepcast
}

func (o order) id() identity { return identity{o.Service, o.Announces} }

// order has a service drained by command.
func (e *Engine) order(s *service, d api.Drain) {
	id := s.id()
	d.Service = id.name
	e.drains.commanded[id.name] = order{d, id.announces}
}

// carrier is what a service may go on from, and the drain that it has.
type carrier struct {
	identity
	drain *order
}

// carriers returns the drains, and the services of before that are not drained. What an older
// keepcast saved of a drain tells its service by name.
func carriers(list []order, before []identity) []carrier {
	var out []carrier
	drained, announces := map[string]bool{}, map[string][]netip.Prefix{}
	for _, id := range before {
		announces[id.name] = id.announces
	}
	for i := range list {
		o := &list[i]
		if drained[o.Service] = true; len(o.Announces) == 0 {
			o.Announces = announces[o.Service]
		}
		out = append(out, carrier{o.id(), o})
	}
	for _, id := range before {
		if !drained[id.name] {
			out = append(out, carrier{identity: id})
		}
	}
	return out
}

// follow returns drains by command, by the names that their services have now. A drain goes
// with the addresses of its service, also where that is split. It is over for what a service
// has that was not drained, for that one is not to go for it. A drain of addresses that no
// service has is kept until they come back, or resume. It drains what is called like its
// service and has nothing from before: when in doubt, that stays drained.
func (e *Engine) follow(list []order, before []identity) map[string]order {
	now := identities(e.cfg.Services)
	heirs := successions(carriers(list, before), now)
	out, followed := map[string]order{}, map[*order]bool{}
	for to, c := range heirs {
		if c.drain == nil {
			continue
		}
		followed[c.drain] = true
		if was := c.drain.Service; was != to {
			e.log.Info("drain follows the service to its new name", "service", to, "was", was)
		}
		out[to] = *c.drain
	}
	had := map[netip.Prefix]bool{}
	for _, id := range now {
		for _, p := range id.announces {
			had[p] = true
		}
	}
	free := func(o order) []netip.Prefix { // what of it no service has
		return slices.DeleteFunc(slices.Clone(o.Announces), func(p netip.Prefix) bool { return had[p] })
	}
	for i, o := range list {
		_, taken := heirs[o.Service]
		switch kept := free(o); {
		case followed[&list[i]]:
		case taken || len(kept) == 0 && len(o.Announces) > 0:
			e.log.Warn("drain is over: its service left the configuration, and another one has its name or its addresses", "service", o.Service, "addresses", o.Announces)
		default:
			o.Announces = kept
			out[o.Service] = o
		}
	}
	for _, id := range now {
		if o, drained := out[id.name]; drained {
			o.Service, o.Announces = id.name, append(free(o), id.announces...)
			slices.SortFunc(o.Announces, netip.Prefix.Compare)
			out[id.name] = o
		}
	}
	return out
}

// moveDrains has all drains follow the services from before to their names in the
// configuration that is in force now.
func (e *Engine) moveDrains(before []*service, renamed map[string]string) {
	list, ordered := e.drains.list(), map[string]bool{}
	for _, s := range e.services {
		ordered[s.cfg.Name] = e.drains.ordered[cmp.Or(renamed[s.cfg.Name], s.cfg.Name)]
	}
	e.drains.commanded, e.drains.ordered = e.follow(list, ids(before)), ordered
	e.followFiles(renamed)
	if after := e.drains.list(); !reflect.DeepEqual(list, after) {
		e.disk.drains.Put(after)
	}
}

// followFiles has the drains by files follow services that were renamed. A drain by a file
// that has the former name becomes one by command, unless there is a file of the new name: a
// service that is drained does not come back because it is called otherwise.
func (e *Engine) followFiles(renamed map[string]string) {
	for _, s := range e.services {
		to := s.cfg.Name
		from, other := renamed[to]
		d, drained := e.drains.files[from]
		_, commanded := e.drains.commanded[to]
		_, again := e.drains.files[to]
		switch {
		case !other || !drained || commanded || again:
		case d.File == e.cfg.DrainDir: // it can't be read
			d.Service = to
			e.drains.files[to] = d
		default:
			e.log.Warn("service was drained by a file with its former name, and stays drained until keepcast resume", "service", to, "was", from, "file", d.File)
			d.Reason, d.File = fmt.Sprintf("by %s when the service was called %s", d.File, from), ""
			e.order(s, d)
		}
	}
}
