package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// configureBIRD writes bird.conf, which on a host includes keepcast's snippet,
// and in the snippet's place the one of a host that announces nothing.
func (n *Node) configureBIRD(s settings) error {
	name := "bird-router.conf.tmpl"
	if s.Host {
		name = "bird-host.conf.tmpl"
		if _, err := n.write(filepath.Base(s.Snippet), "bird-snippet.conf.tmpl", s); err != nil {
			return err
		}
	}
	if !s.Host {
		if err := os.WriteFile(s.Table, nil, 0o644); err != nil {
			return fmt.Errorf("table: %w", err)
		}
	}
	conf, err := n.write(suffixed("bird", s.Instance)+".conf", name, s)
	if err != nil {
		return err
	}
	socket := birdSocket(s.Instance)
	run := filepath.Dir(n.outside(socket))
	if err := os.MkdirAll(run, 0o755); err != nil {
		return fmt.Errorf("bird's directory: %w", err)
	}
	if err := n.owner("bird", run); err != nil {
		return err
	}
	return n.addDaemon(Program{
		Name: suffixed("bird", s.Instance), Rooted: true,
		Args:  []string{"bird", "-f", "-u", "bird", "-g", "bird", "-c", conf, "-s", socket},
		Ready: func(ctx context.Context) error { return listens(ctx, n.outside(socket)) },
	})
}

// birdSocket is the control socket of an instance, as the node sees it.
func birdSocket(instance string) string { return "/run/" + suffixed("bird", instance) + "/bird.ctl" }

// Birdc asks the node's BIRD.
func (n *Node) Birdc(ctx context.Context, words ...string) (string, error) {
	return n.birdc(ctx, "", words)
}

// Birdc asks the host's BIRD.
func (h *Host) Birdc(ctx context.Context, words ...string) (string, error) {
	return h.birdc(ctx, h.instance, words)
}

func (n *Node) birdc(ctx context.Context, instance string, words []string) (string, error) {
	return n.output(ctx, n.lab.options.Root, append([]string{"birdc", "-s", birdSocket(instance)}, words...))
}

// BIRDSocket is the control socket of the host's BIRD.
func (h *Host) BIRDSocket() string { return birdSocket(h.instance) }

// Snippet is the file that the host's bird.conf includes, for keepcast to write.
func (h *Host) Snippet() string {
	return filepath.Join(h.dir, suffixed("keepcast", h.instance)+".conf")
}

// SetSnippet writes the snippet and has BIRD load it, where no keepcast does.
func (h *Host) SetSnippet(ctx context.Context, text string) error {
	if err := os.WriteFile(h.Snippet(), []byte(text), 0o644); err != nil {
		return fmt.Errorf("snippet of %s: %w", h.name, err)
	}
	out, err := h.Birdc(ctx, "configure")
	if err == nil && !strings.Contains(out, "Reconfigur") {
		err = fmt.Errorf("bird on %s: configure: %s", h.name, strings.TrimSpace(out))
	}
	return err
}

// birdRoute matches the first line of a route that a session with a host taught.
var birdRoute = regexp.MustCompile(`\bunicast \[([ab]2?)[46] [^\]]*\]( \*)? \(`)

// birdRoutes parses `show route for PREFIX all` of a router whose protocols are
// named after the host and the family: BGP and RIP.
//
//	192.0.2.53/32        unicast [a4 10:00:00.000] * (100) [AS65001i]
//		via 10.99.1.1 on a
//		BGP.med: 100
func birdRoutes(text string) []Path {
	var all []Path
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if m := birdRoute.FindStringSubmatch(line); m != nil {
			all = append(all, Path{Host: m[1], Best: m[2] != ""})
			continue
		}
		if len(all) == 0 || len(f) < 2 {
			continue
		}
		p := &all[len(all)-1]
		switch strings.ToLower(strings.ReplaceAll(f[0], ".", "_")) {
		case "bgp_med:":
			p.Metric, _ = strconv.ParseInt(f[1], 10, 64) // a number: BIRD wrote it
		case "bgp_as_path:", "bgp_path:": // of BIRD 2 and 3
			p.ASPath = f[1:]
		case "bgp_local_pref:":
			p.LocalPref, _ = strconv.ParseInt(f[1], 10, 64)
		case "bgp_community:":
			p.Communities = birdCommunities(line)
		case "bgp_large_community:":
			p.LargeCommunities = birdCommunities(line)
		case "rip_metric:":
			p.Metric, _ = strconv.ParseInt(f[1], 10, 64)
		}
	}
	return all
}

// birdCommunities reads `(65001,100) (65535,0)` and `(65001, 1, 2)`.
func birdCommunities(text string) []string {
	var all []string
	for _, c := range strings.Split(text, "(")[1:] {
		c, _, _ = strings.Cut(c, ")")
		all = append(all, strings.NewReplacer(",", ":", " ", "").Replace(c))
	}
	slices.Sort(all)
	return all
}

// birdOSPF parses `show ospf state all`: what each router says, also what is not
// the best way.
//
//	router 10.99.0.1
//		distance 10
//		external 192.0.2.53/32 metric2 10000
func birdOSPF(text string, prefix netip.Prefix) []Path {
	var all []Path
	var host string
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		switch {
		case len(f) == 2 && f[0] == "router":
			host = hostOf(f[1])
		case len(f) >= 4 && f[0] == "external" && f[1] == prefix.String() && host != "":
			metric, _ := strconv.ParseInt(f[3], 10, 64)
			all = append(all, Path{Host: host, Metric: metric})
		}
	}
	return all
}

func (r *Router) birdPaths(ctx context.Context, prefix netip.Prefix) ([]Path, error) {
	var all []Path
	switch r.lab.options.Protocol {
	case BGP, RIP:
		out, err := r.Birdc(ctx, "show", "route", "for", prefix.String(), "all")
		return birdRoutes(out), notFound(err)
	case OSPF:
		out, err := r.Birdc(ctx, "show", "ospf", "state", "all", "ospf"+family(prefix.Addr()))
		if err != nil {
			return nil, err
		}
		all = birdOSPF(out, prefix)
	case Babel:
		out, err := r.Birdc(ctx, "show", "babel", "routes")
		if err != nil {
			return nil, err
		}
		all = birdBabel(out, prefix)
	}
	return r.markBest(prefix, all)
}

// notFound drops the error of birdc for a prefix that has no route.
func notFound(err error) error {
	if err != nil && strings.Contains(err.Error(), "Network not") {
		return nil
	}
	return err
}

func (r *Router) birdConverged(ctx context.Context) error {
	type show struct { // what it is of, and what of its text stands for one neighbor
		command []string
		each    *regexp.Regexp
		want    int
	}
	n, full := r.neighbors(), regexp.MustCompile(`Full/`)
	shows := map[string][]show{
		BGP:   {{[]string{"protocols"}, regexp.MustCompile(`Established`), 2 * n}},
		OSPF:  {{[]string{"ospf", "neighbors", "ospf4"}, full, n}, {[]string{"ospf", "neighbors", "ospf6"}, full, n}},
		Babel: {{[]string{"babel", "neighbors"}, regexp.MustCompile(`(?m)^fe80::\S+ +[ab] +\d{1,4} `), n}},
		// RIP has no neighbors, only what they announce.
	}[r.lab.options.Protocol]
	for _, s := range shows {
		out, err := r.Birdc(ctx, append([]string{"show"}, s.command...)...)
		if err != nil {
			return err
		}
		if len(s.each.FindAllString(out, -1)) != s.want {
			return errors.New("neighbors:\n" + out)
		}
	}
	return nil
}

// BIRDReloads counts how often the host's BIRD was told to configure, from its log.
func (h *Host) BIRDReloads() (int, error) {
	p, err := h.Process(suffixed("bird", h.instance))
	if err != nil {
		return 0, err
	}
	text, err := os.ReadFile(p.Log())
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	return strings.Count(string(text), "Reconfiguring"), err
}
