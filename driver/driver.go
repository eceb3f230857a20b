// Package driver is the contract of the drivers. A driver brings the kernel or a
// routing daemon in sync with a desired state, and tells by asking what is really
// there. It knows neither the checks nor the configuration library.
//
// Each driver is a package below this one, and a line in package kinds. A kind of
// driver is one struct whose tagged fields are its settings: the reference, the JSON
// Schema, the defaults and the validation come from the tags (see package config).
//
// # Goroutines
//
// One goroutine at a time calls the methods of a driver, and waits for each to return
// before it calls the next. Watch is the exception: it runs beside the others, for as
// long as the driver is in use. So a driver needs no lock: Watch reads settings only,
// and has connections of its own. What a driver does side by side within one call ends
// before the call returns.
package driver

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
)

// Presence says how an address is there on the host.
type Presence int

// The presences, from the least to the most.
const (
	// Absent: keepcast keeps nothing of it on the host.
	Absent Presence = iota
	// Delivered: not announced, but packets that still arrive are served, by a
	// local delivery route that no routing daemon sees.
	Delivered
	// Announced: on the interface and permitted by every daemon's gate.
	Announced
)

// String returns the presence as it is shown: absent, delivered or announced.
func (p Presence) String() string {
	return [...]string{"absent", "delivered", "announced"}[p]
}

// Route is one address or prefix of a service, and how it is to be there.
type Route struct {
	// Prefix is the address with its length: 203.0.113.1/24 is put on the
	// interface as it stands, and 203.0.113.0/24 (its Masked form) is announced.
	Prefix   netip.Prefix
	Service  string // the service it belongs to, for logs and comments
	Presence Presence
	Degraded bool // announced with worse attributes, so that other hosts are preferred
	// Attributes are those to announce it with now, whether degraded or not.
	Attributes Attributes
	// Interface carries the address; empty: that of the state.
	Interface string
	// PrefixOnly: it is one of the service's prefixes. The daemon originates it, and
	// its gate opens and closes for it. The kernel has no address for it.
	PrefixOnly bool
	// ExportedTo is told by Observe: the names of the neighbors that are sent it.
	ExportedTo []string
}

// Neighbor is a router that a routing daemon can announce to.
type Neighbor struct {
	Name       string `json:"name"`     // as the daemon's operator knows it
	Protocol   string `json:"protocol"` // bgp, ospf, isis, rip or babel
	IPv4, IPv6 bool   `json:"-"`        // the families that it can be sent
	Up         bool   `json:"up"`
	Detail     string `json:"detail,omitempty"` // why it is not up, as far as the daemon tells
	// Elsewhere are the managed prefixes of other VRFs than the neighbor's, which
	// it can't be sent.
	Elsewhere map[netip.Prefix]bool `json:"-"`
}

// Takes reports whether the neighbor can be sent p: it takes the family, and is not in
// another VRF.
func (n Neighbor) Takes(p netip.Prefix) bool {
	return (p.Addr().Is4() && n.IPv4 || p.Addr().Is6() && n.IPv6) && !n.Elsewhere[p.Masked()]
}

// State is the whole of what keepcast manages, never a change to it. A desired state
// names every configured address, also the absent ones: what it does not name is not
// keepcast's and is left alone.
type State struct {
	Interface string // the interface that carries the addresses of routes that name none
	Routes    []Route
	// Neighbors and Findings are told by Observe: to whom the daemon can announce
	// (nil where it does not say), and what stands in the way of it.
	Neighbors []Neighbor
	Findings  []Finding
	// Held is told by Observe, also beside ErrNotRunning: what neighbors may still send
	// packets for though it is not exported to them any more.
	Held []Held
	// Recall is told by Observe: the withdrawn prefixes whose address has gone without the
	// daemon taking notice, where nothing else makes it look than that the address comes
	// and goes once more.
	Recall []netip.Prefix
}

// InterfaceOf returns the interface that carries the address of r.
func (s State) InterfaceOf(r Route) string { return cmp.Or(r.Interface, s.Interface) }

// Interfaces returns every interface that carries addresses, the state's own first, the
// others sorted.
func (s State) Interfaces() []string {
	others := []string{}
	for _, r := range s.Routes {
		if name := s.InterfaceOf(r); name != s.Interface && !r.PrefixOnly {
			others = append(others, name)
		}
	}
	slices.Sort(others)
	return append([]string{s.Interface}, slices.Compact(others)...)
}

// Announced returns the announced routes, once for each masked prefix, sorted by
// prefix, so that equal states render equally.
func (s State) Announced() []Route {
	var out []Route
	for _, r := range s.Routes {
		if r.Presence == Announced {
			out = append(out, r)
		}
	}
	slices.SortStableFunc(out, func(a, b Route) int { return a.Prefix.Masked().Compare(b.Prefix.Masked()) })
	return slices.CompactFunc(out, func(a, b Route) bool { return a.Prefix.Masked() == b.Prefix.Masked() })
}

// Managed returns the masked prefixes of all routes.
func (s State) Managed() map[netip.Prefix]bool {
	out := map[netip.Prefix]bool{}
	for _, r := range s.Routes {
		out[r.Prefix.Masked()] = true
	}
	return out
}

// ErrElsewhere is among what the kernel says of an address that is not on this host.
var ErrElsewhere = errors.New("is not on this host")

// ErrNotRunning is among what Observe returns for a daemon that is known not to run:
// nobody listens on its socket. Such a daemon announces nothing, though its neighbors may
// wait for it to come back: see State.Held.
var ErrNotRunning = errors.New("is not running")

// Driver keeps one routing daemon, or the kernel, in sync.
type Driver interface {
	// Observe asks the kernel or the daemon, and remembers nothing but Holders. The state has, of the
	// routes last applied, those that are there now, as Announced, with the neighbors that
	// they are exported to. With an error a route that is missing is unknown, unless the
	// error is ErrNotRunning: then it is not there.
	Observe(ctx context.Context) (State, error)
	// Apply brings the daemon in sync with desired. It is idempotent, does nothing
	// where nothing is to be done, and returns nil only once desired is in force. It
	// tries a removal though an addition failed. A failure leaves what was there; the
	// caller retries it.
	Apply(ctx context.Context, desired State) error
}

// Opener is a Driver that is given its surroundings, or holds something open such as a
// control connection.
type Opener interface {
	// Open is called once, before everything else.
	Open(o Options)
	// Close lets go of what is held open. The driver may be used again.
	Close() error
}

// Watcher is a Driver that learns when its daemon or the kernel changed by itself: an
// address that somebody deleted, a daemon that restarted.
type Watcher interface {
	// Watch calls changed whenever an Apply now would be worth its while, until ctx is
	// done. It returns early only with the error that ended it; the caller then starts
	// it again after a while.
	Watch(ctx context.Context, changed func()) error
}

// Renderer is a Driver that writes a snippet for its daemon. It is an Examiner, too: the
// first of the Files of its Places is that snippet.
type Renderer interface {
	// Render returns the snippet for a state, byte for byte as Apply would write it.
	Render(desired State) ([]byte, error)
	// Loadable returns an error if Apply would refuse the snippet, for example because
	// the operator's template left out a line that keepcast needs.
	Loadable(snippet []byte) error
}

// Validator is a Driver with rules between its settings.
type Validator interface {
	// Validate says what is wrong with the settings.
	Validate() error
}

// Limited is a Driver whose daemon can't announce every prefix of a service.
type Limited interface {
	// Refuses says why not this one, or returns nil.
	Refuses(p netip.Prefix) error
}

// Examiner is a Driver that can look its daemon over for keepcast doctor. It changes
// nothing.
type Examiner interface {
	// Examine returns what is found about the daemon for the routes of desired, also
	// that it can't be reached: versions, permissions, whether the gate is used, timers
	// that slow failover down. Desired names all that is to be announced once every
	// service is up. Examine checks the daemon's configuration for every route, and what
	// became of a route only for those that are announced now.
	Examine(ctx context.Context, desired State) []Finding
	// Places returns what the driver needs of the host's files.
	Places() Places
}

// Places are the files of the host that a driver needs.
type Places struct {
	Files     []string // that Apply replaces
	Sockets   []string // that the driver connects to
	Templates []string // of the operator's, beside those that replace an embedded one
}

// Options are the surroundings of a driver.
type Options struct {
	Log       *slog.Logger // carries the name of the driver already; nil: nothing is logged
	Templates string       // directory of templates that replace the embedded ones; may be missing
	Reloaded  func()       // to be called whenever the daemon was made to load something new; may be nil
	// VRF names the VRF that an interface is in, "" for none; nil: there are none.
	VRF func(iface string) (string, error)
}

// Logger returns the logger, or one that drops everything.
func (o Options) Logger() *slog.Logger {
	return cmp.Or(o.Log, slog.New(slog.DiscardHandler))
}

// Loaded tells that the daemon was made to load something new.
func (o Options) Loaded() {
	if o.Reloaded != nil {
		o.Reloaded()
	}
}

// Kind is a kind of driver that a configuration can name.
type Kind struct {
	Name     string        // as in `kind: bird`
	Doc      string        // one sentence or a few, Markdown, for the reference
	Example  string        // the YAML settings of one driver of this kind, without name and kind
	New      func() Driver // its struct declares the settings by its tags
	Template Template      // what its snippet is rendered from; without a name: from none
	Starter  *Starter      // for keepcast init; nil: it does not know the kind
	Traits
}

// Traits tell how the daemons of a kind treat an address.
type Traits struct {
	// FollowsAddress: the daemon withdraws a prefix by itself once its address is off
	// the interface, whatever the gate says. Closing its gate may then wait a little
	// for other gates to close with it.
	FollowsAddress bool
	// NeedsPrefixRoute: the daemon announces an address only if the kernel has made the
	// route that belongs to it, which noprefixroute prevents.
	NeedsPrefixRoute bool
	// NeedsInterface: the daemon announces an address only from the interface of its
	// service, and only with its length.
	NeedsInterface bool
}

// Template tells what a template is given, for the reference.
type Template struct {
	Name string // the heading in the reference
	Doc  string // one sentence, Markdown
	Data any    // a zero value of what it is executed on, whose fields have their docs in tags
}
