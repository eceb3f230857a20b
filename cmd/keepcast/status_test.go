package main

import (
	"testing"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/engine"
)

// What a daemon that can't be asked has is not claimed, one way or the other.
func TestTableUnknown(t *testing.T) {
	none := 2
	a := engine.AddressStatus{Seen: map[string]engine.Sight{
		"kernel": {Present: true}, "bird": {Unknown: true, Neighbours: &none}, "frr": {Neighbours: &none},
	}}
	if got := in(a) + "; " + exported(a); got != "bird?, kernel; frr 0/2" {
		t.Errorf("got %s", got)
	}
}
