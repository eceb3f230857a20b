// Package kernel puts the addresses on the interface, takes them off, and has what is
// withdrawn delivered locally. It speaks netlink and remembers nothing.
package kernel

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/ask"
)

// What marks a local delivery route as keepcast's own. Only routes of table
// local with this protocol number are ever looked at or removed.
const (
	// LocalProtocol is the protocol number (rtm_protocol) of the local delivery
	// routes: free in iproute2's rt_protos, and seen by no routing daemon.
	LocalProtocol = 250
	// LocalMetric is their metric. The kernel's own local route of an address
	// has metric 0, so both can be there at once and neither removes the other.
	LocalMetric = 4242
)

// Kernel puts the addresses on the interface and keeps what is withdrawn
// delivered. It is no kind that a configuration names: every keepcast has one.
//
// The reconciler calls Shrink before the routing daemons are told, and Grow once
// their gates are open, or after a limit. A Kernel remembers nothing: each call asks
// the kernel first and then sends only the changes that are needed.
type Kernel struct {
	iface string
	log   *slog.Logger
	ns    netns.NsHandle // netns.None() is the namespace that keepcast runs in

	// Checks, which ask, never take what is kept to act.
	acting, asking *sockets
	routes         *ask.Asker

	vrfs vrfs

	mu     sync.Mutex
	others []string // interfaces that routes named, now or before, beside iface
}

// New returns a Kernel that manages the interface of that name, whatever
// State.Interface says, and those that routes name themselves.
func New(iface string, log *slog.Logger) *Kernel {
	return newAt(netns.None(), iface, log)
}

// newAt is New for a namespace.
func newAt(ns netns.NsHandle, iface string, log *slog.Logger) *Kernel {
	return &Kernel{iface: iface, log: log, ns: ns, acting: newSockets(ns), asking: newSockets(ns), routes: ask.New(ns, unix.NETLINK_ROUTE)}
}

// Close closes what is kept open. The Kernel may be used again.
func (k *Kernel) Close() {
	k.acting.close()
	k.asking.close()
	k.routes.Close()
}

// interfaceOf returns the interface that carries the address of r.
func (k *Kernel) interfaceOf(r driver.Route) string { return cmp.Or(r.Interface, k.iface) }

// Manage adds the interfaces that routes name to those that are looked at. One
// that no route names any more stays: what is left there has to go.
func (k *Kernel) Manage(routes []driver.Route) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, r := range routes {
		if on := k.interfaceOf(r); on != k.iface && !r.PrefixOnly && !slices.Contains(k.others, on) {
			k.others = append(k.others, on)
		}
	}
}

// interfaces returns the names of all that are managed.
func (k *Kernel) interfaces() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]string{k.iface}, k.others...)
}

// each calls work with what each interface has, and joins the errors.
func (k *Kernel) each(ctx context.Context, work func(*view) error) error {
	var errs []error
	for _, name := range k.interfaces() {
		v, err := k.read(ctx, name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, work(v))
		k.acting.put(v.h)
	}
	return errors.Join(errs...)
}

// Apply is Shrink, then Grow.
func (k *Kernel) Apply(ctx context.Context, desired driver.State) error {
	return errors.Join(k.Shrink(ctx, desired), k.Grow(ctx, desired))
}

// Shrink takes the addresses off the interface that are not to be announced: a
// delivered one gets its local delivery route first, so that packets and
// connections in flight are served while the network converges; an absent one
// loses that route too. A fault with one address does not hold up the others.
// It needs no interface.
func (k *Kernel) Shrink(ctx context.Context, desired driver.State) error {
	k.Manage(desired.Routes)
	return k.each(ctx, func(v *view) error {
		var errs []error
		for _, r := range desired.Routes {
			addr := r.Prefix.Addr()
			switch {
			case r.PrefixOnly:
			case k.interfaceOf(r) != v.iface:
				// It belongs to another interface, and is delivered on its way there.
				if on := v.addrs[addr]; len(on) > 0 {
					errs = append(errs, v.deliver(addr), v.remove(on))
				}
			case r.Presence == driver.Delivered:
				// Without the route a drain loses packets; without the removal the
				// network goes on sending them. So the removal comes in any case.
				errs = append(errs, v.deliver(addr), v.remove(v.addrs[addr]))
			case r.Presence == driver.Absent:
				errs = append(errs, v.remove(v.addrs[addr]), v.undeliver(addr))
			}
		}
		return errors.Join(errs...)
	})
}

// Grow makes the interface if it is missing (of type dummy; one of any type is
// accepted), brings it up, puts the announced addresses on it and then drops
// their local delivery routes.
func (k *Kernel) Grow(ctx context.Context, desired driver.State) error {
	k.Manage(desired.Routes)
	return k.each(ctx, func(v *view) error {
		own := slices.DeleteFunc(slices.Clone(desired.Routes), func(r driver.Route) bool { return r.PrefixOnly || k.interfaceOf(r) != v.iface })
		if len(own) == 0 && v.iface != k.iface {
			return nil // no service has this interface any more
		}
		// A link that was down has lost its IPv6 addresses, but its IPv4 ones are
		// as they were: what was observed still holds.
		if err := v.ensureLink(); err != nil {
			return err
		}
		var errs []error
		var there []netip.Addr
		for _, r := range own {
			if r.Presence != driver.Announced {
				continue
			}
			if err := v.add(r.Prefix); err != nil {
				errs = append(errs, err)
				continue
			}
			there = append(there, r.Prefix.Addr())
		}
		return errors.Join(append(errs, v.release(ctx, there))...)
	})
}

// Remind makes the kernel send its messages about the announced addresses of desired
// again. The addresses stay as they are. A burst of changes can overflow the netlink
// socket of a daemon, which then looks at the interfaces anew in a minute only (BIRD:
// scan time of protocol device).
func (k *Kernel) Remind(ctx context.Context, desired driver.State) error {
	return k.each(ctx, func(v *view) error {
		var errs []error
		for _, r := range desired.Routes {
			if r.Presence != driver.Announced || r.PrefixOnly || k.interfaceOf(r) != v.iface {
				continue
			}
			for _, a := range v.addrs[r.Prefix.Addr()] {
				if usable(a) && prefixOf(a) == r.Prefix {
					errs = append(errs, v.reannounce(a))
				}
			}
		}
		return errors.Join(errs...)
	})
}

// Recall puts the withdrawn addresses of desired on the interface and takes them off again,
// so that the kernel sends its messages about their going once more. A daemon that has no
// gate and has missed the first ones announces such an address for ever: Quagga's isisd,
// after zebra was away. What is delivered stays so all the while. An address that is there
// is left alone: it is not withdrawn.
func (k *Kernel) Recall(ctx context.Context, desired driver.State) error {
	return k.each(ctx, func(v *view) error {
		var errs []error
		for _, r := range desired.Routes {
			if r.Presence != driver.Announced && !r.PrefixOnly && k.interfaceOf(r) == v.iface && len(v.addrs[r.Prefix.Addr()]) == 0 {
				errs = append(errs, v.recall(ctx, r.Prefix))
			}
		}
		return errors.Join(errs...)
	})
}

// Observe returns every address of the managed interfaces, the operator's own
// too, as an Announced route with its length on the interface, if that is up;
// and every other address that has keepcast's local delivery route as a
// Delivered one, with the full length (/32, /128). The caller picks its own by
// address. A route on another interface than the first names it.
func (k *Kernel) Observe(ctx context.Context) (driver.State, error) {
	s := driver.State{Interface: k.iface}
	delivered := map[netip.Addr]bool{}
	asked := map[int]bool{} // the tables of local routes
	err := k.each(ctx, func(v *view) error {
		if table := v.tables(netip.Addr{})[0].table; !asked[table] {
			asked[table] = true
			found, err := v.delivered(table)
			if err != nil {
				return err
			}
			maps.Copy(delivered, found)
		}
		s.Routes = append(s.Routes, v.announced(k.iface)...)
		return nil
	})
	if err != nil {
		return driver.State{}, err
	}
	for _, r := range s.Routes {
		delete(delivered, r.Prefix.Addr())
	}
	for addr := range delivered {
		s.Routes = append(s.Routes, driver.Route{Prefix: netip.PrefixFrom(addr, addr.BitLen()), Presence: driver.Delivered})
	}
	sortRoutes(s.Routes)
	return s, nil
}
