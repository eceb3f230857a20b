package bird

import (
	"context"
	_ "embed"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/templates"
)

//go:embed starter.txt.tmpl
var starterLines string

const starterSettings = `socket: {{.Socket}}
snippet: {{.Snippet}} # written by keepcast, included by {{.Conf}}
{{with .AS}}as: {{.}}{{else}}# as: 65001{{end}} # the own AS number, for prepending
`

// starter is what keepcast init knows of BIRD.
func starter() *driver.Starter {
	return &driver.Starter{
		Title:    "BIRD",
		Sockets:  []string{"/run/bird/bird.ctl", "/run/bird.ctl", "/var/run/bird.ctl", "/usr/local/var/run/bird.ctl"},
		Programs: []string{"/usr/sbin/bird", "/usr/local/sbin/bird"},
		Begin: func(ctx context.Context, root string, listening []string) (driver.Start, error) {
			return findStart(ctx, root, listening).begin()
		},
	}
}

// start is what the templates of a start are executed on.
type start struct {
	Listens               string // the socket of a BIRD that runs
	Socket, Conf, Snippet string
	Protocols             []routingProtocol // as far as BIRD runs and tells
}

// findStart returns what is known of the BIRD of a host. What is not known has its usual
// place.
func findStart(ctx context.Context, root string, listening []string) start {
	s := start{Socket: "/run/bird/bird.ctl", Conf: "/etc/bird/bird.conf", Snippet: "/var/lib/keepcast/bird.conf"}
	for _, path := range []string{s.Conf, "/etc/bird.conf", "/usr/local/etc/bird.conf"} {
		if _, err := os.Stat(filepath.Join(root, path)); err == nil {
			s.Conf = path
			break
		}
	}
	if len(listening) == 0 {
		return s
	}
	s.Listens, s.Socket = listening[0], listening[0]
	b := &Driver{Socket: filepath.Join(root, s.Socket), Timeout: 5 * time.Second}
	defer b.Close() //nolint:errcheck // it was only read from
	all, err := b.protocols(ctx)
	if err == nil { // else the lines are an example
		s.Protocols = slices.DeleteFunc(routingProtocols(all), func(p routingProtocol) bool { return strings.HasPrefix(p.Name, "keepcast") })
	}
	return s
}

// begin writes what to begin with.
func (s start) begin() (driver.Start, error) {
	settings, err := templates.Execute("starter settings of bird", starterSettings, s)
	if err != nil {
		return driver.Start{}, err
	}
	lines, err := templates.Execute("starter.txt.tmpl", starterLines, s)
	return driver.Start{Socket: s.Listens, Settings: string(settings), Lines: string(lines)}, err
}

// AS is the own AS number as far as it is known, and of one mind; else 0.
func (s start) AS() uint32 {
	var as uint32
	for _, p := range s.Protocols {
		if p.AS != 0 && as != 0 && p.AS != as {
			return 0
		}
		as = max(as, p.AS)
	}
	return as
}

// Filter is the ready-made export filter for a protocol.
func (start) Filter(p routingProtocol) string {
	switch {
	case p.Kind != "bgp":
		return "keepcast_igp"
	case p.AS != 0 && p.AS == p.NeighborAS:
		return "keepcast_ibgp"
	}
	return "keepcast_ebgp"
}

// routingProtocol is a protocol of the operator's in which the gate can be named.
type routingProtocol struct {
	Name string
	Kind string // bgp, ospf, rip or babel
	// AS is the own number, NeighborAS that of the neighbor; 0 if it is no BGP.
	AS, NeighborAS uint32
}

// routingProtocols returns the protocols that speak to neighbors.
func routingProtocols(all []protocol) []routingProtocol {
	var out []routingProtocol
	for _, p := range all {
		switch p.kind {
		case "bgp", "ospf", "rip", "babel":
			out = append(out, routingProtocol{p.name, p.kind, p.number("Local AS"), p.number("Neighbor AS")})
		}
	}
	return out
}

// number returns a detail that is an AS number, or 0.
func (p protocol) number(detail string) uint32 {
	n, err := strconv.ParseUint(p.details[detail], 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}
