package main

import (
	"testing"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
)

// What a daemon that can't be asked has is not claimed, one way or the other.
func TestTableUnknown(t *testing.T) {
	none := 2
	a := api.AddressStatus{Observed: map[string]api.Observation{
		"kernel": {Present: true}, "bird": {Unknown: true, Neighbors: &none}, "frr": {Neighbors: &none},
	}}
	if got := observedIn(a) + "; " + exported(a); got != "bird?, kernel; frr 0/2" {
		t.Errorf("got %s", got)
	}
}
