package frr

import (
	"context"
	"net/netip"
	"strings"

	"github.com/keepcast/keepcast/driver"
)

// spec is all that keepcast knows of one daemon: a row of the table of FRR or of that
// of Quagga. What a daemon lacks is left empty.
type spec struct {
	name       string
	ipv4, ipv6 bool   // the families that it carries
	mgmtd      bool   // mgmtd configures it, from FRR 10 on
	client     string // its name in zebra, which is asked about it
	deaf       bool   // it can't ask zebra again what it redistributes, before FRR 10

	// What the operator writes, so that routes get to keepcast's gate.

	router       string // the word of its router block: "ospf"
	instance     string // behind that word, where an instance has a name: "NAME"
	redistribute string // the line in it, with FAMILY, SOURCE and GATE to be replaced; "" for none
	filters      bool   // the operator's distribute-list filters what is sent, by the gate's list
	blind        bool   // route-maps can't match a prefix before mgmtd configures it; the distribute-list does

	// How the gate is loaded, and made to take effect.

	interfaceGate bool     // nothing is loaded: what is on the interface is announced
	effects       []effect // what has to be done so that a changed list takes effect at once
	// prepare does what has to be done before a section is loaded.
	prepare func(ctx context.Context, d *daemon, run, section config) error

	// What is asked, and how the answers are read.

	state      string // about the router id and the timers
	neighbors  string
	originated string // what it floods; "" if it is asked for each prefix
	// readOriginated and readNeighbors read the answers of a daemon that floods.
	readOriginated func(text string) map[netip.Prefix]bool
	readNeighbors  func(text string) []neighbor
	hold           hold        // of a daemon that floods: what its neighbors do without it
	bgp            *bgpAnswers // of a daemon that is asked for each prefix
	// interfaces asks which addresses the daemon takes its interfaces to have, where
	// nothing but the coming and going of an address tells it otherwise.
	interfaces     string
	readInterfaces func(text string) map[netip.Prefix]bool

	// What is found.

	neighborFix string // what to do without any neighbor
	// gate says what keeps a route from the gate. losses says which of its attributes
	// have no effect.
	gate, losses func(d *daemon, run config, desired driver.State, r driver.Route) []driver.Finding
	// degrades tells whether a degraded route is announced otherwise. Nil: the names of
	// lists and route-maps tell, as what runs.
	degrades func(run config, r driver.Route) bool
	routerID string                        // the line that sets it
	bfd      string                        // the line that turns BFD on, on an interface
	throttle string                        // the lines that make its timers quick
	exams    []func(exam) []driver.Finding // of the whole daemon
	vrfExams []func(exam) []driver.Finding // of its instance in one VRF
}

// carries tells whether the daemon announces addresses of the family of a.
func (s spec) carries(a netip.Addr) bool {
	return a.Is4() && s.ipv4 || a.Is6() && s.ipv6
}

// owns tells whether a list or route-map of keepcast's is of a family that the daemon
// carries: in mgmtd those of ripd and ripngd are side by side.
func (s spec) owns(name string) bool {
	if name == mark+"6" || strings.HasPrefix(name, mark+"6-") {
		return s.ipv6
	}
	return s.ipv4
}

// block returns the header of the block that an operator has to write in.
func (s spec) block() string {
	return strings.TrimSpace("router " + s.router + " " + s.instance)
}

// redistribution returns the line that leads what is of the family of a, and has an
// address or not, through the gate.
func (s spec) redistribution(a netip.Addr, prefixOnly bool) string {
	source := "connected"
	if prefixOnly {
		source = "static"
	}
	return strings.NewReplacer("FAMILY", strings.ToLower(familyOf(a)), "SOURCE", source, "GATE", gateOf(a)).Replace(s.redistribute)
}

// gateOf returns the name of the list and route-map for the family of a.
func gateOf(a netip.Addr) string {
	if a.Is6() {
		return mark + "6"
	}
	return mark
}

// familyOf names the address family in words.
func familyOf(a netip.Addr) string {
	if a.Is4() {
		return "IPv4"
	}
	return "IPv6"
}

// ipOf returns the word that stands for the family of a in commands.
func ipOf(a netip.Addr) string {
	if a.Is4() {
		return "ip"
	}
	return "ipv6"
}
