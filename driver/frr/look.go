package frr

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/keepcast/keepcast/driver"
)

// frrHost is what a daemon is told of the host besides its section.
type frrHost struct {
	owned      map[netip.Prefix]bool   // every prefix that keepcast manages
	present    map[netip.Prefix]bool   // every prefix that an address on the host has now
	prefixOnly map[netip.Prefix]bool   // every network without an address
	vrfs       map[netip.Prefix]string // the VRF of each prefix, "" the default one
}

func frrHostOf(want driver.State) frrHost {
	on := frrHost{owned: want.Managed(), present: onHost(want.Managed()), prefixOnly: map[netip.Prefix]bool{}}
	for _, r := range want.Routes {
		if r.PrefixOnly {
			on.prefixOnly[r.Prefix.Masked()] = true
		}
	}
	return on
}

// has tells whether there can be a route of p in the kernel, for a daemon to see.
func (h frrHost) has(p netip.Prefix) bool { return h.present[p] || h.prefixOnly[p] }

// onHost returns the prefixes of the addresses that the host has now, or those of
// otherwise if the kernel does not tell.
func onHost(otherwise map[netip.Prefix]bool) map[netip.Prefix]bool {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return otherwise
	}
	out := map[netip.Prefix]bool{}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out[p.Masked()] = true
		}
	}
	return out
}

// mustLook tells whether the daemon has to look at its routes again. It has not
// for an address that is not on the host: it will look when the address comes,
// and in isisd a look uses up the one LSP that lsp-gen-interval allows in 30 s, for
// which the address would then have to wait.
func (d *frrDaemon) mustLook(run, section frrConfig, on frrHost) bool {
	switch d.role.again {
	case againNothing:
		return false
	case againNetwork:
		return run.cutShort || len(diffRouteMaps(run, section)) > 0
	case againAlone:
		changed, kept := prefixOnlyChange(run, section, on)
		return changed && !kept
	}
	if len(diffRouteMaps(run, section)) > 0 {
		return true
	}
	unresolved := func(l frrRedistribute) bool { return !slices.Contains(d.resolved, l) }
	if d.role.again == againWithdrawn && slices.ContainsFunc(run.redistribute, unresolved) {
		return true
	}
	before, after := run.permits(), section.permits()
	for p := range on.owned {
		if on.has(p) && before[p] != after[p] {
			return true
		}
	}
	return false
}

// prefixOnlyChange tells whether anything changes for the networks without an
// address, and whether one of them stays announced as it is.
func prefixOnlyChange(run, section frrConfig, on frrHost) (changed, kept bool) {
	before, after := run.permits(), section.permits()
	for p := range on.prefixOnly {
		changed = changed || before[p] != after[p]
		kept = kept || before[p] != "" && after[p] != ""
	}
	return changed, kept
}

// permits returns for each prefix that keepcast's lists let through the names of
// these lists.
func (c frrConfig) permits() map[netip.Prefix]string {
	out := map[netip.Prefix]string{}
	gone := []netip.Prefix{}
	for _, k := range sortedKeys(c.entries) {
		action, value, _ := strings.Cut(c.entries[k].head, " ")
		p, err := netip.ParsePrefix(value)
		switch {
		case err != nil || action != "permit":
		case strings.HasSuffix(k.name, frrWithdrawn):
			gone = append(gone, p)
		default:
			out[p] += " " + k.name
		}
	}
	for _, p := range gone {
		delete(out, p)
	}
	return out
}

// lookAgain returns the steps that make the daemon apply changed lists at once.
// The operator's redistribute lines are entered exactly as they stand. Where one
// has to go for a moment, its return is in the same write, which is shorter than
// the 512 bytes a daemon reads at once: it does nothing in between.
func (d *frrDaemon) lookAgain(run, section frrConfig) []frrStep {
	if d.role.again == againNetwork {
		return lookNow(run.delay, section.routeMaps())
	}
	var steps []frrStep
	for _, r := range run.redistribute {
		switch {
		case d.role.again == againSame:
			steps = append(steps, frrStep{blocks: []string{r.router}, lines: []string{r.line}})
		case d.role.again == againWithdrawn, d.role.again == againAlone && !r.connected():
			steps = append(steps, frrStep{blocks: []string{r.router}, lines: []string{"no " + r.line, r.line}})
		}
	}
	return steps
}

// frrDelay begins the name of the list that is there while the operator's
// delay-timer is another; it goes on with the operator's value.
const frrDelay = frrMark + "-DELAY-"

// lookNow returns the steps that make bgpd apply changed route-maps at once, also
// to what it has announced already: it puts that off for the operator's delay-timer
// (5 s), and does what it has put off when the timer is set to 0. With 0 it never
// does it of itself: then an entry that changes nothing is made and taken away
// under another timer.
//
// bgpd drops the rest of a write once keepcast is dead. So a list remembers the
// operator's value until that is back, for the next keepcast to find.
func lookNow(delay string, routeMaps []string) []frrStep {
	const timer = "bgp route-map delay-timer "
	mark := "ip prefix-list " + frrDelay + delay + " seq 5 deny any"
	under := func(other, back string, lines ...string) frrStep {
		return frrStep{lines: slices.Concat([]string{mark, timer + other}, lines, []string{back, "no " + mark})}
	}
	switch delay {
	case "":
		return []frrStep{under("0", "no "+strings.TrimSpace(timer))}
	case "0":
		var steps []frrStep
		for some := range slices.Chunk(routeMaps, frrBatch/2-2) { // so that each step is one write
			lines := []string{}
			for _, name := range some {
				last := "route-map " + name + " deny 65535"
				lines = append(lines, last, "no "+last)
			}
			steps = append(steps, under("600", timer+"0", lines...))
		}
		return steps
	}
	return []frrStep{under("0", timer+delay)}
}

// routeMaps returns the names of the route-maps, sorted.
func (c frrConfig) routeMaps() []string {
	var names []string
	for k := range c.entries {
		if k.kind == "route-map" {
			names = append(names, k.name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
