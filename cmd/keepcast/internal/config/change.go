package config

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// Change says by what a changed setting takes effect, as its tag does. Every setting of
// the top level has one. All others take effect by a reload: the engine compares whole
// services, checks and drivers.
type Change string

// The ways to take effect.
const (
	Reload  Change = "reload"
	Restart Change = "restart"
)

// changeOf reads a tag.
func changeOf(name, tag string) Change {
	switch c := Change(tag); c {
	case "", Reload, Restart:
		return c
	}
	panic(fmt.Sprintf("config: change of %s: %q is neither reload nor restart", name, tag))
}

// note is what an editor shows of it.
func (c Change) note() string {
	if c == Restart {
		return " A change takes a restart."
	}
	return ""
}

// Fixed refuses a change of what only a restart can change. The error names every such
// setting with both values.
func Fixed(old, now *Config) error {
	was, is := reflect.ValueOf(old.Main), reflect.ValueOf(now.Main)
	var errs []error
	for _, s := range Settings(Main{}) {
		if s.Change != Restart {
			continue
		}
		if o, n := was.FieldByIndex(s.index), is.FieldByIndex(s.index); !o.Equal(n) {
			errs = append(errs, fmt.Errorf("%s: changed from %v to %v, "+takesRestart, s.Name, o, n))
		}
	}
	return errors.Join(errs...)
}

const takesRestart = "which takes a restart of keepcast"

// TakesRestart reports whether that is why Fixed refused a change. The text of its error is
// all that a status has of it.
func TakesRestart(refused string) bool { return strings.Contains(refused, takesRestart) }
