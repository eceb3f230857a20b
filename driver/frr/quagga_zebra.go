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

// zebraTimeout bounds a question to zebra. A gate must not wait long to be closed because
// zebra hangs: just then nothing but the gate withdraws.
const zebraTimeout = time.Second

// keptGrace is how long after its address a prefix may stay announced until that is a
// finding. Quagga's isisd makes an LSP once a second at most.
const keptGrace = 3 * time.Second

// zebraClients asks zebra of Quagga about the daemons that are connected to it.
const zebraClients = "show zebra client"

// link is what a daemon of Quagga has of zebra, which tells it of the addresses. After
// zebra was away a daemon tries to get back to it after 10 s, and then once in 60 s.
type link struct {
	up    bool
	since time.Time // when the daemon connected, as far as is known
	sent  int       // how many routes zebra has redistributed to it since then
	why   string    // it is not up
}

// zebraLink asks zebra whether the daemon is connected to it. That of a daemon that
// keepcast does not ask about, as in FRR, counts as up.
func (d *daemon) zebraLink(ctx context.Context) link {
	if d.zebraName == "" {
		return link{up: true, sent: 1}
	}
	_, err := d.zebra.Open(ctx)
	var texts []string
	if err == nil {
		texts, err = d.zebra.Ask(ctx, zebraClients)
	}
	if err != nil {
		return link{why: err.Error()}
	}
	if l, ok := quaggaClients(texts[0], time.Now())[d.zebraName]; ok {
		return l
	}
	return link{why: "zebra runs, but does not have it among its clients"}
}

// quaggaClients reads `show zebra client`, asked at the time now.
func quaggaClients(text string, now time.Time) map[string]link {
	out := map[string]link{}
	name := ""
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		l := out[name]
		switch {
		case len(words) == 2 && words[0] == "Client:":
			name, l = words[1], link{up: true}
		case name == "" || len(words) < 3:
			continue
		case words[0] == "Connect" && words[1] == "Time:":
			if seconds, ok := clock(words[2]); ok { // else it is a day or more
				l.since = now.Add(-time.Duration(seconds) * time.Second)
			}
		case strings.HasPrefix(words[0], "Redist:"):
			l.sent += firstNumber(words[1])
		}
		out[name] = l
	}
	return out
}

// servedLines returns who is connected to zebra, and who of them has been sent routes.
func servedLines(text string) string {
	clients := quaggaClients(text, time.Time{})
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(clients)) {
		fmt.Fprintf(&b, "%s %t\n", name, clients[name].sent > 0)
	}
	return b.String()
}

// zebraAway says that the daemon learns of no address.
func (d *daemon) zebraAway(l link) []driver.Finding {
	if l.up {
		return nil
	}
	return []driver.Finding{{
		Name: "zebra-away", Level: driver.LevelError, Subject: d.name,
		Text: "is not connected to zebra, so it learns neither of an address that comes nor of one that goes: " + l.why,
		Fix:  d.dialect.start("zebra") + " if it does not run; " + d.name + " then connects within some 75 s, or at once after systemctl restart " + d.dialect.unit(d.name),
	}}
}

// observeZebra adds to what is observed what the daemon has of zebra, and what it has
// missed of it.
func (d *daemon) observeZebra(ctx context.Context, l link, o *observation, m managed) error {
	if d.zebraName == "" {
		return nil
	}
	o.findings = append(o.findings, d.zebraAway(l)...)
	var kept []netip.Prefix
	for p := range o.held {
		if m.owned[p] && !m.has(p) {
			kept = append(kept, p)
		}
	}
	slices.SortFunc(kept, netip.Prefix.Compare)
	o.findings = append(o.findings, d.stillAnnounced(kept)...)
	switch {
	case !l.up || len(kept) == 0:
		return nil
	case d.interfaces == "":
		// After a restart of zebra, bgpd and ospfd can no longer be made to ask for all
		// again. That they have asked at all is enough to hear of an address that comes and
		// goes.
		if l.sent > 0 {
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
	lost := slices.DeleteFunc(slices.Clone(d.lines), func(r redistribution) bool { return slices.ContainsFunc(run.redistribute, r.equal) })
	if len(lost) == 0 || l.up && l.since.Before(d.linesAt.Add(-2*time.Second)) { // zebra tells whole seconds
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
	if len(d.hidden) == 0 || !l.up || l.sent > 0 {
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
