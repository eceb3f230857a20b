// Package checks asks a service whether it is fit, or why not. What the answers add up to
// is for package health. It knows neither the configuration library nor the drivers of the
// routing daemons.
//
// A kind of check is one file: a struct whose tagged fields are its settings,
// a Check method, and a register call in init. The reference, the JSON Schema,
// the defaults and the validation come from the tags (see package config).
package checks

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/keepcast/keepcast/checks/health"
)

// Checker probes a service once; see health.Checker.
type Checker = health.Checker

// Validator is a Checker that looks its settings over as a whole. Every kind is one, if only
// to return nil.
type Validator interface {
	// Validate says what is wrong with the settings, before any check ran.
	Validate() error
}

// Timed is a Checker with settings that the timeout limits.
type Timed interface {
	// ValidateWithin says which setting makes no sense where a run ends after that timeout.
	ValidateWithin(timeout time.Duration) error
}

// Periodic is a Checker with settings that the interval limits.
type Periodic interface {
	// ValidateEvery says which setting makes no sense where a run begins so long after the last.
	ValidateEvery(interval time.Duration) error
}

// Aimed is a Checker that probes one host.
type Aimed interface {
	// Target returns the address that is probed; the zero Addr where a name has to be
	// looked up first.
	Target() netip.Addr
}

// Ported is a Checker that asks a port.
type Ported interface {
	// Port returns the network, tcp or udp, and the port; 0 where it asks none, as with a unix
	// socket.
	Port() (network string, port uint16)
}

// Hosted is a Checker that may need files of this host.
type Hosted interface {
	// Host returns the look at the files that the settings name; nil where they name none.
	// The look returns the paths of the programs that the check runs, and what is wrong with
	// the files. Validate does not look at them: one that is missing for a while makes
	// the check fail, not the configuration.
	Host() (look func() (programs []string, err error))
}

// Kind is a kind of check that a configuration can name.
type Kind struct {
	Name    string         // as in `kind: http`
	Doc     string         // one sentence or a few, Markdown, for the reference
	Example string         // the YAML settings of one check of this kind, without name and kind
	New     func() Checker // its struct declares the settings by its tags
	// AtOnce is the failure that the check learns of by itself, as in "the unit stops", for the
	// reference and doctor. All others are seen by the next run. Empty: it learns of none.
	AtOnce string
	// Counted says that the failures which AtOnce names leave a doubt, or some of them do: they
	// are seen at once, but make the check down only after as many as fall says.
	Counted bool
	// Instant says that a run asks nobody but the kernel for what it has in memory, or keepcast
	// itself: however long its timeout is, it takes some milliseconds.
	Instant bool
}

// What the crash of a service is to the kinds that learn of it by themselves.
const (
	stopsListening = "the service stops listening on this host" // of each kind that connects by Dialer
	unitStops      = "the unit stops"
	processExits   = "the process exits"
)

// SeesCrash reports whether the check learns by itself that its service crashes.
func (k Kind) SeesCrash() bool {
	return k.AtOnce == stopsListening || k.AtOnce == unitStops || k.AtOnce == processExits
}

// kinds is filled by the init functions of this package and only read later.
var kinds = map[string]Kind{}

// register makes a kind known. It is for the init function of the kind's file.
func register(k Kind) {
	if _, twice := kinds[k.Name]; twice {
		panic("checks: kind " + k.Name + " registered twice")
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
	return Kind{}, fmt.Errorf("no check kind %q (known: %s)", name, strings.Join(names, ", "))
}
