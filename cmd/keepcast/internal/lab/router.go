package lab

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Router is the node that chooses between the hosts.
type Router struct{ *Node }

// Path is what the router's daemon knows of one host's announcement of a prefix.
type Path struct {
	Host   string   // a or b, or a2: the second daemon of a
	Best   bool     // chosen by the router
	Metric int64    // MED of BGP, metric of the IGP's external route
	ASPath []string // of BGP, as are the others below
	// LocalPref is what the router goes by, its own choice on a session with
	// another AS; FRR has 0 where there is none.
	LocalPref        int64
	Communities      []string // as numbers, "65535:0" for graceful-shutdown, sorted
	LargeCommunities []string // "65001:1:2"
}

// Paths asks the router's daemon for every host's announcement of prefix,
// sorted by host; none is not an error. FRR's ripd and ripngd know the best only.
func (r *Router) Paths(ctx context.Context, prefix netip.Prefix) ([]Path, error) {
	paths := r.frrPaths
	if r.lab.options.daemon(r.name) == BIRD {
		paths = r.birdPaths
	}
	all, err := paths(ctx, prefix)
	if err != nil {
		return nil, fmt.Errorf("paths to %s: %w", prefix, err)
	}
	sortPaths(all)
	return all, nil
}

// neighbors is with how many daemons of hosts it speaks.
func (r *Router) neighbors() (n int) {
	for _, k := range r.links {
		if k.ToHost {
			n++
		}
	}
	return n
}

func sortPaths(all []Path) {
	slices.SortStableFunc(all, func(x, y Path) int { return strings.Compare(x.Host, y.Host) })
}

func (r *Router) converged(ctx context.Context) error {
	if r.lab.options.daemon(r.name) == BIRD {
		return r.birdConverged(ctx)
	}
	return r.frrConverged(ctx)
}

// markBest marks the paths that the kernel uses, where the daemon's database
// tells no choice.
func (r *Router) markBest(prefix netip.Prefix, all []Path) ([]Path, error) {
	hops, err := r.NextHops(prefix)
	for i := range all {
		all[i].Best = slices.Contains(hops, all[i].Host)
	}
	return all, err
}

// NextHops are the hosts to which the router's kernel sends packets for prefix,
// sorted; none if it has no such route.
func (r *Router) NextHops(prefix netip.Prefix) ([]string, error) {
	fam := netlink.FAMILY_V4
	if prefix.Addr().Is6() {
		fam = netlink.FAMILY_V6
	}
	routes, err := r.nl.RouteListFiltered(fam, &netlink.Route{Dst: ipNet(prefix)}, netlink.RT_FILTER_DST)
	if err != nil {
		return nil, fmt.Errorf("route to %s on %s: %w", prefix, r.name, err)
	}
	best := -1
	var hops []string
	for _, route := range routes {
		if best >= 0 && route.Priority > best {
			continue
		}
		if route.Priority < best {
			hops = nil
		}
		best = route.Priority
		for _, index := range outputs(route) {
			dev, err := r.nl.LinkByIndex(index)
			if err != nil {
				return nil, fmt.Errorf("route to %s on %s: interface %d: %w", prefix, r.name, index, err)
			}
			hops = append(hops, dev.Attrs().Name) // named after the host
		}
	}
	slices.Sort(hops)
	return slices.Compact(hops), nil
}

func outputs(route netlink.Route) []int {
	if len(route.MultiPath) == 0 {
		return []int{route.LinkIndex}
	}
	var all []int
	for _, hop := range route.MultiPath {
		all = append(all, hop.LinkIndex)
	}
	return all
}

// AwaitNextHops waits until the router's kernel sends packets for each prefix to
// exactly these hosts; to none if none is named.
func (r *Router) AwaitNextHops(ctx context.Context, prefixes []netip.Prefix, hosts ...string) error {
	for _, prefix := range prefixes {
		err := Until(ctx, fmt.Sprintf("route to %s by %v", prefix, hosts), func(context.Context) error {
			hops, err := r.NextHops(prefix)
			if err == nil && !slices.Equal(hops, hosts) {
				err = fmt.Errorf("is by %v", hops)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// RouteEvent is a change of the router's kernel: from At on it sends packets for
// Prefix to Hosts, or to nobody.
type RouteEvent struct {
	At     time.Time
	Prefix netip.Prefix
	Hosts  []string
}

// Watch calls event for the present and for each later way of the prefixes, until
// ctx is done; it returns early only with the error that ended it. Changes that
// follow one another within the time of reading the table may be seen as one.
func (r *Router) Watch(ctx context.Context, prefixes []netip.Prefix, event func(RouteEvent)) error {
	updates, stop := make(chan netlink.RouteUpdate, 1024), make(chan struct{})
	err := netlink.RouteSubscribeWithOptions(updates, stop, netlink.RouteSubscribeOptions{Namespace: &r.ns, ReceiveBufferSize: 1 << 20})
	if err != nil {
		return fmt.Errorf("watching routes of %s: %w", r.name, err)
	}
	defer func() {
		close(stop)
		for range updates { // until the library's goroutine has ended
		}
	}()
	last := map[netip.Prefix][]string{}
	look := func(at time.Time, prefix netip.Prefix) error {
		hops, err := r.NextHops(prefix)
		if old, seen := last[prefix]; err == nil && (!seen || !slices.Equal(old, hops)) {
			last[prefix] = hops
			event(RouteEvent{At: at, Prefix: prefix, Hosts: hops})
		}
		return err
	}
	for _, prefix := range prefixes {
		if err := look(time.Now(), prefix); err != nil {
			return err
		}
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case u, ok := <-updates:
			at := time.Now()
			if !ok {
				return fmt.Errorf("watching routes of %s: subscription ended", r.name)
			}
			if prefix := prefixOf(u.Dst); u.Table == unix.RT_TABLE_MAIN && slices.Contains(prefixes, prefix) {
				if err := look(at, prefix); err != nil {
					return err
				}
			}
		}
	}
}

// Prefixes are the host routes of addresses: /32 and /128.
func Prefixes(addrs ...netip.Addr) []netip.Prefix {
	var all []netip.Prefix
	for _, a := range addrs {
		all = append(all, netip.PrefixFrom(a, a.BitLen()))
	}
	return all
}

// hostOf is the host with that router ID, or with that address on its link.
func hostOf(id string) string {
	return map[string]string{"10.99.0.1": "a", "10.99.1.1": "a", "10.99.0.2": "b", "10.99.2.1": "b", "10.99.0.4": "a2"}[id]
}

func family(a netip.Addr) string {
	if a.Is4() {
		return "4"
	}
	return "6"
}
