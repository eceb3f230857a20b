// Package driver makes it so: a driver brings the kernel or a routing daemon in
// step with a wanted state, and tells by asking what is really there. It knows
// neither the checks nor the configuration library.
//
// A kind of driver is one struct whose tagged fields are its settings, with the
// methods of Driver, and a register call in init. The reference, the JSON
// Schema, the defaults and the validation come from the tags (see package config).
package driver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
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

// Route is one address of a service and how it is to be there.
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
	// GateOnly is a network that the daemon originates itself: its gate opens and
	// closes, but the kernel has no address for it.
	GateOnly bool
	// ExportedTo is told by Observe: the names of the neighbours that are sent it.
	ExportedTo []string
}

// Neighbour is one to whom a routing daemon can announce.
type Neighbour struct {
	Name       string `json:"name"`     // as the daemon's operator knows it
	Protocol   string `json:"protocol"` // bgp, ospf, isis, rip or babel
	IPv4, IPv6 bool   `json:"-"`        // the families that it can be sent
	Up         bool   `json:"up"`
	Detail     string `json:"detail,omitempty"` // why it is not up, as far as the daemon tells
	// Elsewhere are the managed prefixes of other VRFs than the neighbour's, which
	// it can't be sent.
	Elsewhere map[netip.Prefix]bool `json:"-"`
}

// Takes reports whether the neighbour can be sent p: it takes the family, and is
// not in another VRF.
func (n Neighbour) Takes(p netip.Prefix) bool {
	return (p.Addr().Is4() && n.IPv4 || p.Addr().Is6() && n.IPv6) && !n.Elsewhere[p.Masked()]
}

// State is the whole of what keepcast manages, never a change to it. A wanted
// state names every configured address, also the absent ones: what it does not
// name is not keepcast's and is left alone.
type State struct {
	Interface string // the interface that carries the addresses of routes that name none
	Routes    []Route
	// Neighbours and Findings are told by Observe: to whom the daemon can announce
	// (nil where it does not say), and what stands in the way of it.
	Neighbours []Neighbour
	Findings   []Finding
}

// On returns the interface that carries the address of r.
func (s State) On(r Route) string { return cmp.Or(r.Interface, s.Interface) }

// Interfaces returns every interface that carries addresses, the state's own
// first, the others sorted.
func (s State) Interfaces() []string {
	all := []string{}
	for _, r := range s.Routes {
		if on := s.On(r); on != s.Interface && !r.GateOnly {
			all = append(all, on)
		}
	}
	slices.Sort(all)
	return append([]string{s.Interface}, slices.Compact(all)...)
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

// ErrNotRunning is among what Observe returns for a daemon that is known not to
// run: nobody listens on its socket. Such a one announces nothing.
var ErrNotRunning = errors.New("is not running")

// Driver keeps one routing daemon, or the kernel, in step.
type Driver interface {
	// Observe returns what the kernel or the daemon has, by asking it, never by
	// remembering: of the routes it was last asked to apply, those it has have
	// Presence Announced, and name the neighbours that they are exported to. With
	// an error the state is what could be learnt: of a route that is not in it
	// nothing is known, unless the error is ErrNotRunning.
	Observe(ctx context.Context) (State, error)
	// Apply brings it in step with want. It is idempotent, does nothing where
	// nothing is to be done, and returns nil only once want is in force. A
	// failure leaves what was there, and is retried by the caller.
	Apply(ctx context.Context, want State) error
}

// Watcher is a Driver that learns when its daemon or the kernel changed by
// itself: an address somebody deleted, a daemon that restarted.
type Watcher interface {
	// Watch calls changed whenever an Apply now would be worth its while, until
	// ctx is done. It returns early only with the error that ended it; the
	// caller then starts it again after a while.
	Watch(ctx context.Context, changed func()) error
}

// Follower is a Driver whose daemon withdraws a prefix by itself once its address
// is off the interface, whatever the gate says. Closing its gate may then wait a
// little for other gates to close with it.
type Follower interface {
	Follows()
}

// Renderer is a Driver that writes a snippet for its daemon.
type Renderer interface {
	// Render returns the snippet for want, byte for byte as Apply would write it.
	Render(want State) ([]byte, error)
}

// Loader is a Renderer whose snippet has to have a form of keepcast's own, which a
// template of the operator's may miss.
type Loader interface {
	// Loadable says why Apply could not load the snippet.
	Loadable(snippet []byte) error
}

// Validator is a Driver with rules between its settings.
type Validator interface {
	// Validate says what is wrong with the settings.
	Validate() error
}

// Examiner is a Driver that can look its daemon over for keepcast doctor: versions,
// permissions, whether the gate is used, timers that slow failover down. It
// changes nothing.
type Examiner interface {
	// Examine returns what is found about the daemon for the routes of want,
	// also that it can't be reached. Want names all that is to be announced once
	// every service is up: whether its configuration lets it out is looked at
	// for each, what became of it only for those that are there.
	Examine(ctx context.Context, want State) []Finding
}

// Placer is a Driver that needs something of the host's files.
type Placer interface {
	// Places returns the files that Apply replaces and the sockets it connects to.
	Places() (files, sockets []string)
}

// Closer is a Driver that holds something open, such as a control connection.
type Closer interface {
	Close() error
}

// Host is what a driver is given of its surroundings before its first use.
type Host struct {
	Log       *slog.Logger // already carries the driver's name
	Templates string       // directory of templates that replace the embedded ones; may be missing
	Reloaded  func()       // to be called whenever the daemon was made to load something new
	// VRF names the VRF that an interface is in, "" for none; nil: there are none.
	VRF func(iface string) (string, error)
}

// of returns the surroundings of one daemon of several: its log carries the name.
func (h Host) of(daemon string) Host {
	h.Log = h.log().With("daemon", daemon)
	return h
}

// log returns the logger, or one that drops everything.
func (h Host) log() *slog.Logger {
	return cmp.Or(h.Log, slog.New(slog.DiscardHandler))
}

// loaded tells that the daemon was made to load something new.
func (h Host) loaded() {
	if h.Reloaded != nil {
		h.Reloaded()
	}
}

// Hoster is a Driver that needs a Host.
type Hoster interface {
	SetHost(h Host)
}

// Kind is a kind of driver that a configuration can name.
type Kind struct {
	Name    string        // as in `kind: bird`
	Doc     string        // one sentence or a few, Markdown, for the reference
	Example string        // the YAML settings of one driver of this kind, without name and kind
	New     func() Driver // its struct declares the settings by its tags
}

// kinds is filled by the init functions of this package and only read later.
var kinds = map[string]Kind{}

// register makes a kind known. It is for the init function of the kind's file.
func register(k Kind) {
	if _, twice := kinds[k.Name]; twice {
		panic("driver: kind " + k.Name + " registered twice")
	}
	kinds[k.Name] = k
}

// Kinds returns every kind, sorted by name.
func Kinds() []Kind {
	all := make([]Kind, 0, len(kinds))
	for _, k := range kinds {
		all = append(all, k)
	}
	slices.SortFunc(all, func(a, b Kind) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// KindByName returns the kind of that name, or an error that lists the known ones.
func KindByName(name string) (Kind, error) {
	if k, ok := kinds[name]; ok {
		return k, nil
	}
	var names []string
	for _, k := range Kinds() {
		names = append(names, k.Name)
	}
	return Kind{}, fmt.Errorf("no driver kind %q (known: %s)", name, strings.Join(names, ", "))
}
