// Package kinds is the list of the kinds of drivers: a new driver is one package
// and one line here.
package kinds

import (
	"fmt"
	"slices"
	"strings"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/bird"
	"github.com/keepcast/keepcast/driver/frr"
	"github.com/keepcast/keepcast/driver/template"
)

// All returns every kind, sorted by name.
func All() []driver.Kind {
	return []driver.Kind{
		bird.Kind(),
		frr.Kind(),
		frr.QuaggaKind(),
		template.Kind(),
	}
}

// ByName returns the kind of that name, or an error that lists the known ones.
func ByName(name string) (driver.Kind, error) {
	all := All()
	if i := slices.IndexFunc(all, func(k driver.Kind) bool { return k.Name == name }); i >= 0 {
		return all[i], nil
	}
	var names []string
	for _, k := range all {
		names = append(names, k.Name)
	}
	return driver.Kind{}, fmt.Errorf("no driver kind %q (known: %s)", name, strings.Join(names, ", "))
}
