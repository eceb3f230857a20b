package bird

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/bird/ctl"
)

const (
	oldestVersion = "2.0.7"          // the oldest that the snippet is tried with
	longHold      = 30 * time.Second // a neighbor that is unreachable for longer is a slow failover
	shortScan     = 10               // seconds between two scans of the interfaces, up to which there is nothing to say
)

// Examine looks BIRD over: whether it can be asked and told, whether what keepcast
// announces gets out, and what makes a failover slow or fragile.
func (b *Driver) Examine(ctx context.Context, desired driver.State) []driver.Finding {
	probe := *b // with a connection of its own
	probe.ctl, probe.desired, probe.holders = &ctl.Client{Socket: b.Socket, Timeout: b.Timeout}, desired, driver.Holders{}
	defer probe.ctl.Close()
	status, err := probe.ask(ctx, "show status")
	if err != nil {
		return []driver.Finding{probe.unreachable(err)}
	}
	out := findVersion(strings.TrimPrefix(status.Text(ctl.CodeBanner), "BIRD "))
	out = append(out, probe.configuration(ctx, desired, status)...)
	out = append(out, probe.readable()...)
	// Doctor has no desired snippet: the running one counts as desired.
	if probe.state, err = probe.running(ctx); err == nil {
		var more []driver.Finding
		more, err = probe.examine(ctx)
		out = append(out, more...)
	}
	if err != nil {
		out = append(out, probe.unreachable(err))
	}
	slices.SortStableFunc(out, driver.CompareFindings)
	return slices.CompactFunc(out, func(a, b driver.Finding) bool { return driver.CompareFindings(a, b) == 0 })
}

// examine is what Observe finds, and how fast neighbors notice that this host is dead.
func (b *Driver) examine(ctx context.Context) ([]driver.Finding, error) {
	protocols, neighbors, err := b.surroundings(ctx)
	if err != nil {
		return nil, err
	}
	observed, err := b.observe(ctx, protocols, neighbors)
	if err != nil {
		return nil, err
	}
	stale, err := b.stale(ctx)
	if err != nil {
		return nil, err
	}
	out := append(observed.Findings, stale...)
	out = append(out, ungated(b.desired, protocols)...)
	if b.state != "" && len(observed.Routes) == 0 && len(neighbors) == 0 {
		out = append(out, b.unused("no BGP, OSPF, RIP or Babel protocol exports anything"))
	}
	if !slices.ContainsFunc(protocols, func(p protocol) bool { return p.kind == "device" && p.state == "up" }) {
		out = append(out, driver.Finding{
			Name: "device-missing", Level: driver.LevelError, Subject: "bird", Text: "has no protocol device that is up, so it does not see the addresses that keepcast adds and removes",
			Fix: "add to bird.conf: protocol device {}",
		})
	}
	slow, err := b.slowToNotice(ctx, protocols, neighbors)
	return append(out, slow...), err
}

// unreachable says why BIRD can't be asked.
func (b *Driver) unreachable(err error) driver.Finding {
	f := driver.Finding{Name: "daemon-unreachable", Level: driver.LevelError, Subject: "bird", Text: err.Error(), Fix: "see that this is the control socket of a bird that works: " + b.Socket}
	switch {
	case errors.Is(err, driver.ErrNotRunning):
		f.Name, f.Fix = "daemon-down", "start bird, or correct the setting socket"
	case errors.Is(err, fs.ErrPermission):
		f.Name, f.Text, f.Fix = "socket-forbidden", "keepcast may not use its control socket "+b.Socket, ctl.SocketGroupFix(b.Socket)
	case ctl.RefusalCode(err) == ctl.CodeDenied:
		f.Name, f.Fix = "socket-restricted", "name the socket of bird's -s option, not one of a cli block with restrict"
	}
	return f
}

// findVersion says that a version is too old, if it is.
func findVersion(version string) []driver.Finding {
	if !older(version, oldestVersion) {
		return nil
	}
	return []driver.Finding{{
		Name: "version-old", Level: driver.LevelError, Subject: "bird", Text: "is version " + version + ", which does not understand keepcast's snippet, or was never tried with it",
		Fix: "install " + oldestVersion + " or later, any 2.x or 3.x",
	}}
}

// older compares versions by their numbers; what is no number ends them.
func older(a, b string) bool {
	numbers := func(text string) []int {
		var out []int
		for word := range strings.SplitSeq(strings.TrimPrefix(text, "v"), ".") {
			n, err := strconv.Atoi(word)
			if err != nil {
				break
			}
			out = append(out, n)
		}
		return out
	}
	return len(numbers(a)) > 0 && slices.Compare(numbers(a), numbers(b)) < 0
}

// slowToNotice says which neighbors would notice late that this host is dead, and which
// would go on sending to it.
func (b *Driver) slowToNotice(ctx context.Context, protocols []protocol, neighbors []neighbor) ([]driver.Finding, error) {
	r, err := b.ask(ctx, "show bfd sessions")
	if err != nil && ctl.RefusalCode(err) == 0 {
		return nil, err
	}
	watched := map[string]bool{} // by BFD, and heard of
	for _, row := range readRows(r) {
		watched[row.column(0)] = watched[row.column(0)] || row.column(2) == "Up"
	}
	var out []driver.Finding
	for _, p := range protocols {
		if p.kind == "bgp" && (p.exports("ipv4") || p.exports("ipv6")) {
			out = append(out, slowBGPToNotice(p, watched)...)
		}
	}
	dead, timers := map[string]time.Duration{}, deadTimers{} // by protocol and interface
	for _, n := range neighbors {
		where := n.via + " " + n.iface
		if _, asked := dead[where]; asked || n.Protocol != "ospf" || n.iface == "" {
			continue
		}
		if dead[where], err = b.deadTimer(ctx, n, timers); err != nil {
			return out, err
		}
		if address, _, _ := strings.Cut(strings.TrimPrefix(n.Name, n.via+" "), "%"); dead[where] > longHold && !watched[address] {
			out = append(out, driver.Finding{
				Name: "no-bfd", Level: driver.LevelWarning, Subject: "bird protocol " + n.via + " on " + n.iface,
				Text: fmt.Sprintf("its neighbors notice only after %s (dead) that this host is dead, and there is no BFD", dead[where]),
				Fix:  fmt.Sprintf(`set on both sides: interface %q { hello 1; dead 4; }; or bfd on; with a protocol bfd {}`, n.iface),
			})
		}
	}
	return out, nil
}

// slowBGPToNotice tells of a session with a long hold time, and of graceful restart.
func slowBGPToNotice(p protocol, watched map[string]bool) []driver.Finding {
	var out []driver.Finding
	subject := "bird protocol " + p.name
	address, _, _ := strings.Cut(p.details["Neighbor address"], "%")
	_, hold, ok := strings.Cut(p.details["Hold timer"], "/")
	seconds, err := strconv.ParseFloat(hold, 64)
	if after := time.Duration(seconds * float64(time.Second)); ok && err == nil && (after > longHold || after == 0) && !watched[address] {
		when := fmt.Sprintf("only after %s (hold time)", after)
		if after == 0 {
			when = "never (no hold time)"
		}
		out = append(out, driver.Finding{
			Name: "no-bfd", Level: driver.LevelWarning, Subject: subject, Text: "its neighbor notices " + when + " that this host is dead, and there is no BFD session that is up",
			Fix: "set bfd on; in it, with a protocol bfd {}, on both sides, or hold time 9;",
		})
	}
	if restart, stale := p.waits(); restart+stale > 0 {
		out = append(out, driver.Finding{
			Name: "bgp-graceful-restart", Level: driver.LevelWarning, Subject: subject,
			Text: fmt.Sprintf("asks for graceful restart: if BIRD dies, its neighbor goes on sending to this host for up to %.0f s (restart time %.0f s, long-lived %.0f s)",
				(restart + stale).Seconds(), restart.Seconds(), stale.Seconds()),
			Fix: "set graceful restart aware; in it, and long lived graceful restart aware;",
		})
	}
	return out
}

// deadTimers is when BIRD's OSPF protocols give neighbors up, by protocol and interface.
type deadTimers map[string]map[string]time.Duration

// deadTimer returns when a neighbor is given up on the interface of n, 0 if BIRD does not
// tell. A protocol that is not among those known is asked, about all its interfaces.
func (b *Driver) deadTimer(ctx context.Context, n neighbor, known deadTimers) (time.Duration, error) {
	if _, asked := known[n.via]; !asked {
		r, err := b.ask(ctx, "show ospf interface "+quoted(n.via))
		if err != nil && ctl.RefusalCode(err) == 0 {
			return 0, err
		}
		known[n.via] = readDeadTimers(r)
	}
	return known[n.via][n.iface], nil
}

// readDeadTimers reads "show ospf interface".
func readDeadTimers(r ctl.Reply) map[string]time.Duration {
	out := map[string]time.Duration{}
	iface := ""
	for _, l := range r.Lines {
		f := strings.Fields(l.Text)
		if len(f) > 1 && f[0] == "Interface" {
			iface = f[1]
		}
		if _, told := out[iface]; !told && iface != "" && len(f) == 3 && f[0] == "Dead" {
			seconds, err := strconv.Atoi(f[2])
			if err != nil {
				seconds = 0
			}
			out[iface] = time.Duration(seconds) * time.Second
		}
	}
	return out
}

// findRouterID says that the router id is one of the addresses that come and go.
func findRouterID(status ctl.Reply, desired driver.State) []driver.Finding {
	id, err := netip.ParseAddr(strings.TrimPrefix(status.Text(ctl.CodeRouterID), "Router ID is "))
	if err != nil || !slices.ContainsFunc(desired.Routes, func(r driver.Route) bool { return r.Prefix.Addr() == id }) {
		return nil
	}
	return []driver.Finding{{
		Name: "router-id", Level: driver.LevelError, Subject: "bird", Text: "has the router id " + id.String() + ", an anycast address: no two routers may have the same",
		Fix: "set in bird.conf: router id ADDRESS; with an address that only this host has",
	}}
}
