package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"text/template"
	"time"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/lab"
)

//go:embed keepcast.yaml.tmpl
var configText string

// patience is how long a scene may take.
const patience = 30 * time.Second

// demo is one run of all scenes.
type demo struct {
	lab      *lab.Lab
	timeline *timeline
	daemon   string
	rate     float64
	load     *lab.Load
}

// scene is something that is done, and what is to come of it.
type scene struct {
	title string
	do    func(ctx context.Context) error
	until func(ctx context.Context) error
	// lossless: a lost request is a failure of the demo.
	lossless bool
}

// play plays all scenes while the router is watched.
func (d *demo) play(ctx context.Context) error {
	watching, stop := context.WithCancel(ctx)
	var watcher sync.WaitGroup
	var watched error
	watcher.Go(func() { watched = d.lab.Router().Watch(watching, anycast(), d.timeline.moved) })
	played := d.scenes(ctx)
	stop()
	watcher.Wait()
	return errors.Join(played, watched)
}

func (d *demo) scenes(ctx context.Context) error {
	a, b := d.lab.Host("a"), d.lab.Host("b")
	d.timeline.begin("keepcast and a DNS server start on a, then on b")
	for _, h := range []*lab.Host{a, b} {
		if err := d.start(ctx, h); err != nil {
			return err
		}
	}
	d.load = d.lab.Client().Start(ctx, d.rate, lab.Flows(lab.Anycast4, lab.Anycast6)...)
	defer d.load.Stop()
	for _, s := range []scene{
		{title: "the DNS server on a is killed", do: d.kill(a), until: d.moves("b")},
		{title: "the DNS server on a is started again", do: d.revive(a), until: d.knows("a", "b")},
		{title: "b is drained for maintenance", do: d.keepcast(b, "drain", "dns", "--for", "10m", "--reason", "maintenance"), until: d.moves("a"), lossless: true},
		{title: "b is resumed", do: d.keepcast(b, "resume", "dns"), until: d.knows("a", "b"), lossless: true},
	} {
		if err := d.scene(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s.title, err)
		}
	}
	return d.summary(d.load.Stop())
}

// start brings keepcast and the service up on a host, and waits until the router
// knows of it.
func (d *demo) start(ctx context.Context, h *lab.Host) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	t, err := template.New("keepcast.yaml").Parse(configText)
	if err != nil {
		return err
	}
	var config bytes.Buffer
	if err := t.Execute(&config, struct{ Name, Daemon, Snippet string }{h.Name(), d.daemon, h.Snippet()}); err != nil {
		return err
	}
	keepcast, err := h.AddKeepcast(config.String(), func(line string) { d.timeline.decided(h.Name(), line) })
	if err != nil {
		return err
	}
	if err := keepcast.Start(ctx); err != nil {
		return err
	}
	dns, err := h.AddService("dns", lab.Anycast4, lab.Anycast6)
	if err != nil {
		return err
	}
	// It binds to the anycast addresses, so it starts once keepcast has prepared
	// them; systemd too would try again.
	if err := lab.Until(ctx, "the DNS server on "+h.Name(), dns.Start); err != nil {
		return err
	}
	d.timeline.event(time.Now(), "dns "+h.Name(), "runs")
	return d.knows([]string{"a", "b"}[:1+int(h.Name()[0]-'a')]...)(ctx)
}

// scene plays one scene and says which requests were lost in it.
func (d *demo) scene(ctx context.Context, s scene) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	d.timeline.begin(s.title)
	before := d.load.Tallies()
	if err := s.do(ctx); err != nil {
		return err
	}
	if err := s.until(ctx); err != nil {
		return err
	}
	if err := wait(ctx, lab.Patience+500*time.Millisecond); err != nil { // the last requests are answered or lost
		return err
	}
	lost := d.losses(before)
	if s.lossless && lost > 0 {
		return fmt.Errorf("%d requests lost", lost)
	}
	return nil
}

// losses prints what became of the requests since before, and counts the lost.
func (d *demo) losses(before map[lab.Flow]lab.Tally) int {
	var resent int
	var lost []lab.Loss
	by := map[string]int{}
	for flow, now := range d.load.Tallies() {
		old := before[flow]
		resent += now.Resent - old.Resent
		lost = append(lost, now.Losses[len(old.Losses):]...)
		for host, n := range now.Answered {
			by[host] += n - old.Answered[host]
		}
	}
	now := time.Now()
	d.timeline.event(now, "client", "%d requests answered by a, %d by b; %d sent again on a new connection", by["a"], by["b"], resent)
	if len(lost) == 0 {
		d.timeline.event(now, "client", "no request lost")
		return 0
	}
	slices.SortFunc(lost, func(x, y lab.Loss) int { return x.At.Compare(y.At) })
	d.timeline.event(now, "client", "%d requests lost, sent from %s to %s (%v)",
		len(lost), d.timeline.since(lost[0].At), d.timeline.since(lost[len(lost)-1].At), lost[0].Err)
	return len(lost)
}

// summary prints the counts of each flow.
func (d *demo) summary(all map[lab.Flow]lab.Tally) error {
	fmt.Fprintln(d.timeline.out)
	w := tabwriter.NewWriter(d.timeline.out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "requests\tsent\tby a\tby b\tsent again\tlost")
	for _, f := range lab.Flows(lab.Anycast4, lab.Anycast6) {
		t := all[f]
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\n", f, t.Sent, t.Answered["a"], t.Answered["b"], t.Resent, len(t.Losses))
	}
	return w.Flush()
}

func (d *demo) kill(h *lab.Host) func(context.Context) error {
	return func(ctx context.Context) error {
		dns, err := h.Process("dns")
		if err != nil {
			return err
		}
		d.timeline.event(time.Now(), "dns "+h.Name(), "kill -9 %d", dns.PID())
		return dns.Kill(ctx)
	}
}

func (d *demo) revive(h *lab.Host) func(context.Context) error {
	return func(ctx context.Context) error {
		dns, err := h.Process("dns")
		if err != nil {
			return err
		}
		if err := dns.Start(ctx); err != nil {
			return err
		}
		d.timeline.event(time.Now(), "dns "+h.Name(), "runs")
		return nil
	}
}

// keepcast runs a keepcast command on the host and shows it.
func (d *demo) keepcast(h *lab.Host, args ...string) func(context.Context) error {
	return func(ctx context.Context) error {
		d.timeline.event(time.Now(), "operator "+h.Name(), "keepcast %s", strings.Join(args, " "))
		_, err := h.Keepcast(ctx, args...)
		return err
	}
}

// moves waits until the router sends everything to host.
func (d *demo) moves(host string) func(context.Context) error {
	return func(ctx context.Context) error { return d.lab.Router().AwaitNextHops(ctx, anycast(), host) }
}

// knows waits until the router has a path to each of the hosts, used or not.
func (d *demo) knows(hosts ...string) func(context.Context) error {
	return func(ctx context.Context) error {
		for _, prefix := range anycast() {
			err := lab.Until(ctx, fmt.Sprintf("paths to %s by %v", prefix, hosts), func(ctx context.Context) error {
				paths, err := d.lab.Router().Paths(ctx, prefix)
				if err == nil && len(paths) != len(hosts) {
					err = fmt.Errorf("paths are %+v", paths)
				}
				return err
			})
			if err != nil {
				return err
			}
			d.timeline.event(time.Now(), "router", "knows %s by %v", prefix, hosts)
		}
		return nil
	}
}

// anycast are the prefixes of the service.
func anycast() []netip.Prefix { return lab.Prefixes(lab.Anycast4, lab.Anycast6) }

// wait waits a while, so that there is something to see.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
