package frr

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/keepcast/keepcast/driver"
)

// relearn has zebra of FRR tell the daemon again of what it should. A zebra that was
// restarted alone has forgotten what the daemons had asked it for, and they do not ask
// again when they are connected to it anew, some 10 s later: bgpd for a route to each of
// its networks, the others for what they redistribute. From then on they hear of no address
// that comes or goes. So keepcast asks zebra what it knows, and has the daemons ask it
// again.
//
// Before is what ran before anything was loaded: what is new since may still be on its way
// to zebra.
func (d *daemon) relearn(ctx context.Context, before config, m managed) error {
	if !d.dialect.relearns {
		return nil
	}
	if d.bgp == nil {
		return d.relearnRedistributed(ctx, before, m)
	}
	for vrf, bgp := range before.instances() {
		lost := d.lost(ctx, vrf, bgp, m)
		if len(lost) == 0 {
			continue
		}
		if to, known := d.told(ctx); known && !to.connected {
			return nil // the watch tells when it is; Observe says so meanwhile
		}
		if err := d.enterAnew(ctx, bgp, vrf, lost); err != nil {
			return err
		}
	}
	return nil
}

// lost returns the prefixes of network lines that bgpd wants to see a route of, but that
// zebra does not watch for it. A zebra that does not answer has lost nothing, as far as is
// known.
func (d *daemon) lost(ctx context.Context, vrf string, bgp *bgpInstance, m managed) []netip.Prefix {
	entered := bgp.entered(m.ownedIn(vrf))
	if bgp.router == "" || bgp.unchecked || len(entered) == 0 {
		return nil
	}
	watched, known := d.watched(ctx, vrf)
	if !known {
		return nil
	}
	maps.DeleteFunc(entered, func(p netip.Prefix, _ bool) bool { _, is := watched[p.Addr()]; return is })
	return sortedPrefixes(entered)
}

// enterAnew takes network lines away and enters them again, in one write: bgpd does
// nothing in between, and asks zebra about them when it sees them again. A bgpd that could
// crash of that gets the two apart.
func (d *daemon) enterAnew(ctx context.Context, bgp *bgpInstance, vrf string, prefixes []netip.Prefix) error {
	away, again := familyLines{}, familyLines{}
	both := familyLines{}
	for _, p := range prefixes {
		line := networkLine(p, bgp.networks[p])
		away.add(p, "no "+line)
		again.add(p, line)
		both.add(p, "no "+line)
		both.add(p, line)
	}
	d.opts.Log.Info("zebra has forgotten what bgpd asked it for, entering the network lines anew", "prefixes", prefixes)
	crashes, err := d.diesOfUpdate(ctx)
	if err != nil {
		return err
	}
	steps := both.steps(bgp.router)
	if crashes {
		refused, err := d.configure(ctx, away.steps(bgp.router))
		if refused != nil || err != nil {
			return errors.Join(refused, err)
		}
		if err := d.gone(ctx, vrf, prefixes); err != nil {
			return err
		}
		steps = again.steps(bgp.router)
	}
	refused, err := d.configure(ctx, steps)
	return errors.Join(refused, err)
}

// relearnRedistributed takes the operator's redistribute lines out and in again if zebra
// has not told the daemon of a single route. One that has no such route at all is asked
// once for each zebra. While the daemon is not connected, and if it can't ask again, that
// is done only to take back what is not on the host any more.
func (d *daemon) relearnRedistributed(ctx context.Context, run config, m managed) error {
	if len(run.redistribute) > 0 {
		d.lines = run.redistribute
	} else if run.redistribute = d.lines; !d.filters || len(d.lines) == 0 { // babeld hides its own after zebra was restarted
		return nil
	}
	to, known := d.told(ctx)
	if !known || to.lost() && d.retold || to.connected && !to.lost() {
		return nil
	}
	stale, err := d.stale(ctx, run, m)
	if err != nil {
		return err
	}
	asks := to.connected && !d.mute
	if stale || asks {
		d.opts.Log.Info("zebra has forgotten what the daemon asked it for, entering the redistribute lines anew")
		refused, err := reenter(itself)(ctx, d, run, config{})
		if err := errors.Join(refused, err); err != nil {
			return err
		}
		d.retold = asks
	}
	if to.connected && !asks {
		return d.unlearned(to)
	}
	return nil // if it is not connected, the watch tells when it is; Observe says so meanwhile
}

// stale tells whether the daemon originates something that is not on the host.
func (d *daemon) stale(ctx context.Context, run config, m managed) (bool, error) {
	if d.filters { // by the list alone
		return false, nil
	}
	for _, vrf := range m.vrfsOf(run, driver.State{}) {
		texts, err := d.ask(ctx, vrf, d.originated)
		if err != nil {
			return false, err
		}
		for p := range d.readOriginated(texts[0]) {
			if m.owned[p] && m.vrfs[p] == vrf && !m.has(p) {
				return true, nil
			}
		}
	}
	return false, nil
}

// unlearned says that the daemon hears nothing of zebra.
func (d *daemon) unlearned(to zebraClient) driver.Finding {
	if to.connected {
		return driver.Finding{
			Name: "zebra-forgot", Level: driver.LevelError, Subject: d.name,
			Text: "hears of no address that comes or goes: zebra was restarted alone, and " + d.name + " of this FRR does not ask it again",
			Fix:  "restart it: systemctl restart frr",
		}
	}
	return driver.Finding{
		Name: "zebra-unconnected", Level: driver.LevelError, Subject: d.name,
		Text: "is not connected to zebra, as after zebra was restarted alone: it hears of no address that comes or goes, until it connects again 10 s later, or 60 s after several failures",
		Fix:  "wait a minute; if it stays so, restart all of FRR: systemctl restart frr",
	}
}

// zebraFindings are those of Observe.
func (d *daemon) zebraFindings(ctx context.Context, run config) []driver.Finding {
	if !d.dialect.relearns || d.bgp == nil && len(run.redistribute)+len(d.lines) == 0 {
		return nil
	}
	to, known := d.told(ctx)
	if known && (!to.connected || d.bgp == nil && to.lost() && d.mute) {
		return []driver.Finding{d.unlearned(to)}
	}
	return nil
}

// watched returns the addresses that zebra watches the routes of for bgpd, in a VRF; the
// value tells whether it has one.
func (d *daemon) watched(ctx context.Context, vrf string) (addrs map[netip.Addr]bool, known bool) {
	in := ""
	if vrf != "" {
		in = " vrf " + vrf
	}
	texts, err := d.askZebra(ctx, "show ip nht"+in, "show ipv6 nht"+in)
	return nexthopsOf(strings.Join(texts, "\n"), d.client), err == nil
}

// nexthopsOf reads `show ip nht`: an address, and indented whether there is a route to it
// and who wants to know.
func nexthopsOf(text, client string) map[netip.Addr]bool {
	out := map[netip.Addr]bool{}
	var addr netip.Addr
	resolved := false
	for line := range strings.Lines(text) {
		word, _, _ := strings.Cut(strings.TrimSpace(line), "(") // "192.0.2.53(Connected)"
		switch {
		case line[0] != ' ':
			addr, _ = netip.ParseAddr(strings.TrimSpace(word)) // "VRF default:" is none
			resolved = false
		case strings.HasPrefix(strings.TrimSpace(line), "resolved via"):
			resolved = true
		case strings.Contains(line, "Client list:") && strings.Contains(line, " "+client+"(") && addr.IsValid():
			out[addr] = resolved
		}
	}
	return out
}

// settles is how old a connection is before zebra has surely told of something.
const settles = time.Second

// lost tells whether the daemon has not asked for what it redistributes.
func (c zebraClient) lost() bool { return c.connected && c.routes == 0 && c.since >= settles }

// told asks zebra about the daemon, and finds out whether that can ask it again.
func (d *daemon) told(ctx context.Context) (c zebraClient, known bool) {
	texts, err := d.askZebra(ctx, zebraClients, "show version")
	if err != nil {
		return zebraClient{}, false
	}
	major, err := majorOf(texts[1])
	d.mute = d.deaf && err == nil && major < 10 // 8.4 does not, 10.3 does, those between have not been tried
	return clientsOf(texts[0])[d.client], true
}

// namesOf returns the names of those that are connected, in `show zebra client summary`.
func namesOf(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		if words := strings.Fields(line); len(words) > 3 && strings.Count(words[1], ":") == 2 { // the time of connecting
			out = append(out, words[0])
		}
	}
	slices.Sort(out)
	return out
}
