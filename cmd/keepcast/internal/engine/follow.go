package engine

import (
	"cmp"
	"fmt"
	"net/netip"
	"reflect"

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

// carrier is a service of before, and the drain that it has.
type carrier struct {
	identity
	drain *order
}

// carriers returns the services of before with their drains, and the drains that are of none
// of them: their services left the configuration earlier, or nothing is known of before.
func carriers(list []order, before []identity) []carrier {
	var out []carrier
	drained, carried := successions(list, before), map[string]bool{}
	for _, id := range before {
		c := carrier{identity: id}
		if o, ok := drained[id.name]; ok {
			c.drain, carried[o.Service] = &o, true
		}
		out = append(out, c)
	}
	for _, o := range list {
		if !carried[o.Service] {
			out = append(out, carrier{o.id(), &o})
		}
	}
	return out
}

// follow returns drains by command, by the names that their services have now. A drain whose
// service is not there keeps its name, and drains whatever is called so: when in doubt, it
// stays drained. But where the name is now that of a service that was another one, and was not
// drained, the drain is over.
func (e *Engine) follow(list []order, before []identity) map[string]order {
	now := identities(e.cfg.Services)
	out, followed, other := map[string]order{}, map[string]bool{}, map[string]bool{}
	for to, c := range successions(carriers(list, before), now) {
		other[to] = c.name != to
		if c.drain == nil {
			continue
		}
		followed[c.drain.Service] = true
		if was := c.drain.Service; was != to {
			e.log.Info("drain follows the service to its new name", "service", to, "was", was)
		}
		out[to] = *c.drain
	}
	for _, o := range list {
		switch _, drained := out[o.Service]; {
		case followed[o.Service]:
		case drained || other[o.Service]:
			e.log.Warn("drain is over: its service left the configuration, and another one has its name", "service", o.Service)
		default:
			out[o.Service] = o
		}
	}
	for _, id := range now {
		if o, drained := out[id.name]; drained {
			o.Service, o.Announces = id.name, id.announces
			out[id.name] = o
		}
	}
	return out
}

// moveDrains has all drains follow the services from before to their names in the
// configuration that is in force now.
func (e *Engine) moveDrains(before []*service, renamed map[string]string) {
	list, ordered := e.drains.list(), map[string]bool{}
	for name := range e.drains.ordered {
		ordered[cmp.Or(renamed[name], name)] = true
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
	now := map[string]*service{}
	for _, s := range e.services {
		now[s.cfg.Name] = s
	}
	for from, to := range renamed {
		d, drained := e.drains.files[from]
		_, commanded := e.drains.commanded[to]
		_, again := e.drains.files[to]
		switch {
		case !drained || commanded || again:
		case d.File == e.cfg.DrainDir: // it can't be read
			d.Service = to
			e.drains.files[to] = d
		default:
			e.log.Warn("service was drained by a file with its former name, and stays drained until keepcast resume", "service", to, "was", from, "file", d.File)
			d.Reason, d.File = fmt.Sprintf("by %s when the service was called %s", d.File, from), ""
			e.order(now[to], d)
		}
	}
}
