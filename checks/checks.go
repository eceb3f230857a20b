// Package checks decides health: it probes a service and says whether it is
// fit, or why not. It knows neither the configuration library nor the routing
// daemons.
//
// A kind of check is one file: a struct whose tagged fields are its settings,
// a Check method, and a register call in init. The reference, the JSON Schema,
// the defaults and the validation come from the tags (see package config).
package checks

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Checker probes a service once.
type Checker interface {
	// Check returns nil when the service is fit, else why it is not, worded for
	// an operator. It returns soon after ctx is done; ctx carries the deadline.
	Check(ctx context.Context) error
}

// Watcher is a Checker that also learns of a change by itself: a unit that
// stops, a listening socket that closes.
type Watcher interface {
	Checker
	// Watch calls changed whenever a check now would be worth its while, until
	// ctx is done. It returns early only with the error that ended it; the
	// caller then starts it again after a while, and polls meanwhile.
	Watch(ctx context.Context, changed func()) error
}

// Validator is a Checker that looks its settings over as a whole. Every kind is one, if only
// to return nil.
type Validator interface {
	// Validate says what is wrong with the settings, before any check ran.
	Validate() error
}

// Kind is a kind of check that a configuration can name.
type Kind struct {
	Name    string         // as in `kind: http`
	Doc     string         // one sentence or a few, Markdown, for the reference
	Example string         // the YAML settings of one check of this kind, without name and kind
	New     func() Checker // its struct declares the settings by its tags
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
