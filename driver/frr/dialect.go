package frr

import (
	"net/netip"
	"path/filepath"
	"strings"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/frr/vty"
)

// dialect holds the differences between FRR and Quagga that apply to all daemons. Both
// descend from Zebra. What one daemon has different from another is in the tables of
// specs.
type dialect struct {
	template string // what the snippet is rendered from
	render   func(s settings, templates string, desired driver.State) ([]byte, error)
	specs    []spec // of the daemons that keepcast can drive

	group   string                     // that may use the vty sockets
	unit    func(daemon string) string // of systemd, which has the daemon's log
	start   func(daemon string) string // how a daemon is started
	beside  []string                   // the daemons that the others depend on
	watched []string                   // those of them that are watched
	saved   func(directory string) string
	savedAs string // the file there that holds the configurations of all

	// read returns a configuration as FRR writes it.
	read func(text string) string
	// headers returns the headers of blocks as they are entered.
	headers func(blocks []string) []string
	// routeMaps returns the steps that make the route-maps what is desired.
	routeMaps func(run, desired config) []step
	// outMap returns the route-map of keepcast that the operator gives eBGP neighbors.
	outMap func(a netip.Addr) string
	// relearns: zebra is asked after each load what it has forgotten, as one that was
	// restarted alone has. Else it is asked before whether the daemon is connected to it.
	relearns bool
	// locked is in the answer to "configure terminal" while another vty session is in
	// the configuration; "" where any number may be.
	locked string
	// refusals leaves out answers that are none though their status is one.
	refusals func(answers []vty.Answer) []vty.Answer
}

// frrDialect is that of FRR.
func frrDialect() *dialect {
	return &dialect{
		template: frrTemplate, render: renderFRR, specs: frrSpecs(),
		group: "frrvty",
		unit:  func(string) string { return "frr" },
		start: func(daemon string) string {
			if daemon == zebraName || daemon == mgmtdName {
				return "systemctl start frr"
			}
			return "set " + daemon + "=yes in /etc/frr/daemons and systemctl restart frr, or take " + daemon + " out of the driver's daemons"
		},
		beside: []string{zebraName, mgmtdName},
		saved: func(directory string) string { // an FRR with a pathspace has a directory of its own; /var/run is the same as /run
			return filepath.Join("/etc/frr", strings.TrimPrefix(strings.TrimPrefix(filepath.Clean(directory), "/var"), "/run/frr"))
		},
		savedAs:   "frr",
		read:      func(text string) string { return text },
		headers:   func(blocks []string) []string { return blocks },
		routeMaps: editRouteMaps,
		outMap:    func(netip.Addr) string { return ebgpMap },
		refusals:  func(answers []vty.Answer) []vty.Answer { return answers },
		relearns:  true,
	}
}

// quaggaDialect is that of Quagga 1.2.
func quaggaDialect() *dialect {
	return &dialect{
		template: quaggaTemplate, render: renderQuagga, specs: quaggaSpecs(),
		group:     "quaggavty",
		unit:      func(daemon string) string { return daemon },
		start:     func(daemon string) string { return "systemctl start " + daemon },
		beside:    []string{zebraName},
		watched:   []string{zebraName},
		saved:     func(string) string { return "/etc/quagga" },
		savedAs:   "Quagga",
		read:      readQuagga,
		headers:   quaggaHeaders,
		routeMaps: remakeRouteMaps,
		outMap:    func(a netip.Addr) string { return gateOf(a) + "-EBGP" },
		locked:    "is locked by other VTY",
		refusals:  silent,
	}
}

// names returns the daemons that keepcast can drive.
func (l *dialect) names() []string {
	var out []string
	for _, s := range l.specs {
		out = append(out, s.name)
	}
	return out
}

// spec returns the row of a daemon, an empty one if keepcast can't drive it.
func (l *dialect) spec(daemon string) spec {
	for _, s := range l.specs {
		if s.name == daemon {
			return s
		}
	}
	return spec{name: daemon}
}
