package engine

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

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

// drainsOf returns the drains of the services of before, by their names. A drain is of none
// whose service left the configuration, or if nothing is known of before.
func drainsOf(before []identity, list []*order) map[string]*order {
	out, named, whole := map[string]*order{}, map[string]identity{}, map[string]identity{}
	for _, id := range before {
		named[id.name], whole[id.substance()] = id, id
	}
	for _, o := range list {
		id, known := named[o.Service]
		if !known { // a crash may have come between the drains and the rest
			id, known = whole[o.id().substance()]
		}
		if len(o.Announces) == 0 { // an older keepcast did not save them
			o.Announces = id.announces
		}
		if known && out[id.name] == nil {
			out[id.name] = o
		}
	}
	return out
}

// follow returns drains by command, by the names that their services have now. What goes on
// from a drained service is drained, so each part of one that was split. A drain that nobody
// goes on from waits for its addresses: what has nothing else from before is drained when it
// has some of them, or the name.
func (e *Engine) follow(list []order, before []identity) map[string]order {
	var orders []*order
	for i := range list {
		orders = append(orders, &list[i])
	}
	now := identities(e.cfg.Services)
	heirs, drained := successions(before, now), drainsOf(before, orders)
	var fresh []identity
	drains, followed := map[string]*order{}, map[*order]bool{}
	for _, id := range now {
		if was, goesOn := heirs[id.name]; !goesOn {
			fresh = append(fresh, id)
		} else if o := drained[was.name]; o != nil {
			drains[id.name], followed[o] = o, true
		}
	}
	for to, o := range successions(orders, fresh) {
		drains[to], followed[o] = o, true
	}
	for _, id := range fresh { // when in doubt, it stays drained
		at := slices.IndexFunc(orders, func(o *order) bool { return o.Service == id.name && !followed[o] })
		if drains[id.name] == nil && at >= 0 {
			drains[id.name], followed[orders[at]] = orders[at], true
		}
	}
	return e.called(now, drains, slices.DeleteFunc(orders, func(o *order) bool { return followed[o] }))
}

// called returns the drains of services and those that wait, each with its name and with what
// is to be drained by it. One that waits is over for addresses which a service has that was
// not drained: that one is not to go for it.
func (e *Engine) called(now []identity, drains map[string]*order, waiting []*order) map[string]order {
	out, had := map[string]order{}, map[netip.Prefix]bool{}
	for _, id := range now {
		for _, p := range id.announces {
			had[p] = true
		}
	}
	free := func(o *order) []netip.Prefix {
		return slices.DeleteFunc(slices.Clone(o.Announces), func(p netip.Prefix) bool { return had[p] })
	}
	names := map[string]bool{}
	for _, id := range now {
		names[id.name] = true
		if o := drains[id.name]; o != nil {
			if o.Service != id.name {
				e.log.Info("drain follows the service to its new name", "service", id.name, "was", o.Service)
			}
			d := order{o.Drain, append(free(o), id.announces...)}
			slices.SortFunc(d.Announces, netip.Prefix.Compare)
			d.Service = id.name
			out[id.name] = d
		}
	}
	for _, o := range waiting {
		kept := free(o)
		if len(kept) == 0 && len(o.Announces) > 0 {
			e.log.Warn("drain is over: its service left the configuration, and another one has its addresses", "service", o.Service, "addresses", o.Announces)
			continue
		}
		d := order{o.Drain, kept}
		for names[d.Service] {
			d.Service += " (left)" // no service can be called so
		}
		names[d.Service], out[d.Service] = true, d
	}
	return out
}

// moveDrains has all drains follow the services from before to their names in the
// configuration that is in force now.
func (e *Engine) moveDrains(before []*service, renamed map[string]string) {
	now := time.Now()
	list := slices.DeleteFunc(e.drains.list(), func(o order) bool { return o.Over(now) })
	ordered := map[string]bool{}
	for _, s := range e.services {
		ordered[s.cfg.Name] = e.drains.ordered[cmp.Or(renamed[s.cfg.Name], s.cfg.Name)]
	}
	e.drains.commanded, e.drains.ordered = e.follow(list, ids(before)), ordered
	e.followFiles(renamed)
	if len(list)+len(e.drains.commanded) > 0 { // else nothing has changed
		e.saveDrains()
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
			by := fmt.Sprintf("by %s before it became %s, until keepcast resume", d.File, to)
			if d.Reason != "" {
				by = d.Reason + " (" + by + ")"
			}
			d.Reason, d.File = by, ""
			e.order(s, d)
		}
	}
}
