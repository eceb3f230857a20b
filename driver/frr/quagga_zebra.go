package frr

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/frr/vty"
)

// keptGrace is how long after its address a prefix may stay announced until that is a
// finding. Quagga's isisd makes an LSP once a second at most.
const keptGrace = 3 * time.Second

// link is what a daemon of Quagga has of zebra. After zebra was away a daemon tries to get
// back to it after 10 s, and then once in 60 s.
type link struct {
	zebraClient

	why string // it is not connected
}

// zebraLink asks zebra of Quagga whether the daemon is connected to it. One of FRR, which
// is asked about only after a load, counts as connected.
func (d *daemon) zebraLink(ctx context.Context) link {
	if d.dialect.relearns {
		return link{zebraClient: zebraClient{connected: true}}
	}
	texts, err := d.askZebra(ctx, zebraClients)
	if err != nil {
		return link{why: err.Error()}
	}
	if c := clientsOf(texts[0])[d.client]; c.connected {
		return link{zebraClient: c}
	}
	return link{why: "zebra runs, but does not have it among its clients"}
}

// servedLines returns who is connected to zebra, and who of them has been sent routes.
func servedLines(text string) string {
	clients := clientsOf(text)
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(clients)) {
		fmt.Fprintf(&b, "%s %t\n", name, clients[name].routes > 0)
	}
	return b.String()
}

// zebraAway says that the daemon learns of no address.
func (d *daemon) zebraAway(l link) []driver.Finding {
	if l.connected {
		return nil
	}
	return []driver.Finding{{
		Name: "zebra-away", Level: driver.LevelError, Subject: d.name,
		Text: "is not connected to zebra, so it learns neither of an address that comes nor of one that goes: " + l.why,
		Fix:  d.dialect.start(zebraName) + " if it does not run; " + d.name + " then connects within some 75 s, or at once after systemctl restart " + d.dialect.unit(d.name),
	}}
}

// observeZebra adds to what is observed what the daemon has of zebra, and what it has
// missed of it.
func (d *daemon) observeZebra(ctx context.Context, l link, o *observation, m managed) error {
	if d.dialect.relearns {
		return nil
	}
	o.findings = append(o.findings, d.zebraAway(l)...)
	kept := slices.DeleteFunc(sortedPrefixes(o.held), func(p netip.Prefix) bool { return !m.owned[p] || m.has(p) })
	o.findings = append(o.findings, d.stillAnnounced(kept)...)
	switch {
	case !l.connected || len(kept) == 0:
		return nil
	case d.interfaces == "":
		// After a restart of zebra, bgpd and ospfd can no longer be made to ask for all
		// again. That they have asked at all is enough to hear of an address that comes and
		// goes.
		if l.routes > 0 {
			o.recall = kept
		}
		return nil
	}
	texts, err := d.vty.Ask(ctx, d.interfaces)
	if err != nil {
		return err
	}
	has := d.readInterfaces(texts[0])
	o.recall = slices.DeleteFunc(kept, func(p netip.Prefix) bool { return !has[p] })
	return nil
}

// stillAnnounced says which prefixes the daemon goes on announcing, though their address
// has been gone for longer than it takes a daemon to see that.
func (d *daemon) stillAnnounced(kept []netip.Prefix) []driver.Finding {
	since := map[netip.Prefix]time.Time{}
	var out []driver.Finding
	for _, p := range kept {
		since[p] = time.Now()
		if was, known := d.kept[p]; known {
			since[p] = was
		}
		if time.Since(since[p]) < keptGrace {
			continue
		}
		out = append(out, driver.Finding{
			Name: "still-announced", Level: driver.LevelError, Subject: d.name + " " + p.String(),
			Text: "is still announced though its address is gone: " + d.name + " has missed that, which happens while zebra is away",
			Fix:  "keepcast goes on telling it; systemctl restart " + d.dialect.unit(d.name) + " ends it at once, with all that it announces",
		})
	}
	d.kept = since
	return out
}

// redistributed returns the running configuration with the operator's redistribute lines
// that the daemon no longer shows because its connection to zebra has ended meanwhile.
// ospfd of Quagga then forgets them, and never shows one again, entered or not, until it
// restarts itself. A line that went at any other time has been taken away by somebody.
func (d *daemon) redistributed(run config, l link) config {
	if d.dialect.relearns {
		return run
	}
	lost := slices.DeleteFunc(slices.Clone(d.lines), func(r redistribution) bool { return slices.ContainsFunc(run.redistribute, r.equal) })
	if len(lost) == 0 || l.connected && l.since-2*time.Second > time.Since(d.linesAt) { // zebra tells whole seconds
		d.lines, d.hidden, d.linesAt = run.redistribute, nil, time.Now()
		return run
	}
	run.redistribute = append(slices.Clone(run.redistribute), lost...)
	d.hidden = lost
	return run
}

// enterLost enters the redistribute lines again that the daemon has lost, once it has
// zebra back and has asked it for nothing.
func (d *daemon) enterLost(ctx context.Context, l link) error {
	if len(d.hidden) == 0 || !l.connected || l.routes > 0 {
		return nil
	}
	var steps []step
	for _, r := range d.hidden {
		d.opts.Log.Warn("entering a redistribute line again, which the daemon lost with its connection to zebra", "line", r.line)
		steps = append(steps, step{blocks: r.blocks, lines: []string{r.line}})
	}
	refused, err := d.configure(ctx, steps)
	return errors.Join(refused, err)
}

// silent takes out of answers what is no refusal: bgpd of Quagga warns, without a word, of
// a redistribute line for a source that it gets from zebra already.
func silent(answers []vty.Answer) []vty.Answer {
	return slices.DeleteFunc(answers, func(a vty.Answer) bool {
		return a.Status == 1 && a.Text == "" && strings.HasPrefix(strings.TrimPrefix(a.Command, "no "), "redistribute ")
	})
}
