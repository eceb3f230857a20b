package reconcile

import (
	"testing"

	"github.com/keepcast/keepcast/driver"
)

const (
	network  = "203.0.113.0/24"
	long     = "203.0.113.1/24" // an address of it, with a length
	longer   = "203.0.113.2/24"
	longHost = "203.0.113.1/32"
)

func TestUrgent(t *testing.T) {
	for name, tc := range map[string]struct {
		applied, desired  driver.State
		follows, gateOnly bool // want: where the daemon follows the address, and where only the gate withdraws
	}{
		"nothing":                       {state(), state(), false, false},
		"the interface by its name":     {state(announced(one)), state(throughInterface("anycast0", announced(one))), false, false},
		"the same":                      {state(announced(one)), state(announced(one)), false, false},
		"delivered instead of absent":   {state(gone(one)), state(delivered(one)), false, false},
		"a gate opens":                  {state(gone(one)), state(announced(one)), true, true},
		"one opens, one closes":         {state(announced(two)), state(announced(one), gone(two)), true, true},
		"attributes come":               {state(announced(one)), state(worse(announced(one))), true, true},
		"attributes go":                 {state(worse(announced(one))), state(announced(one)), true, true},
		"to another interface":          {state(announced(one)), state(throughInterface("dummy7", announced(one))), true, true},
		"a gate closes":                 {state(announced(one), announced(two)), state(announced(one), delivered(two)), false, true},
		"the last gate closes":          {state(announced(one)), state(gone(one)), false, true},
		"a gate is not named any more":  {state(announced(one)), state(), false, true},
		"a prefix-only gate opens":      {state(prefixOnly(gone(network))), state(prefixOnly(announced(network))), true, true},
		"a prefix-only gate closes":     {state(prefixOnly(announced(network))), state(prefixOnly(gone(network))), true, true},
		"a prefix-only gate stays open": {state(prefixOnly(announced(network)), announced(two)), state(prefixOnly(announced(network))), false, true},
		"another address of the prefix": {state(announced(long)), state(announced(longer)), false, false},
		"one of two of the prefix goes": {state(announced(long), announced(longer)), state(announced(longer)), false, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := urgent(tc.applied, tc.desired, true); got != tc.follows {
				t.Errorf("where the daemon follows the address: urgent is %t", got)
			}
			if got := urgent(tc.applied, tc.desired, false); got != tc.gateOnly {
				t.Errorf("where only the gate withdraws: urgent is %t", got)
			}
		})
	}
}

func TestFulfilled(t *testing.T) {
	for name, tc := range map[string]struct {
		observed, desired driver.State
		want              bool
	}{
		"nothing":                           {state(), state(), true},
		"somebody else's address":           {state(announced(two)), state(), true},
		"there":                             {state(announced(one), announced(two)), state(announced(one)), true},
		"missing":                           {state(), state(announced(one)), false},
		"missing, as it is said":            {state(gone(one)), state(announced(one)), false},
		"one of two is missing":             {state(announced(one)), state(announced(one), announced(six)), false},
		"too much":                          {state(announced(one)), state(gone(one)), false},
		"announced instead of delivered":    {state(announced(one)), state(delivered(one)), false},
		"delivered instead of announced":    {state(delivered(one)), state(announced(one)), false},
		"delivered":                         {state(delivered(one)), state(delivered(one)), true},
		"delivered instead of absent":       {state(delivered(one)), state(gone(one)), false},
		"absent":                            {state(), state(gone(one)), true},
		"announced, delivered as well":      {state(announced(one), delivered(one)), state(announced(one)), true},
		"another length":                    {state(announced(longHost)), state(announced(long)), false},
		"its length":                        {state(announced(long)), state(announced(long)), true},
		"delivered, which has no length":    {state(delivered(longHost)), state(delivered(long)), true},
		"on another interface":              {state(throughInterface("dummy7", announced(one))), state(announced(one)), false},
		"on its interface":                  {state(throughInterface("dummy7", announced(one))), state(throughInterface("dummy7", announced(one))), true},
		"delivered, whatever its interface": {state(delivered(one)), state(throughInterface("dummy7", delivered(one))), true},
		"a prefix has no address":           {state(), state(prefixOnly(announced(network))), true},
		"missing, and after a prefix":       {state(), state(prefixOnly(announced(network)), announced(one)), false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := len(differing(tc.observed, tc.desired)) == 0; got != tc.want {
				t.Errorf("fulfilled is %t", got)
			}
		})
	}
}
