package config

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// The settings of a driver that left are saved until its gate is closed: after a restart
// keepcast knows the daemon by nothing else, and would leave the gate open.
func TestDriverOf(t *testing.T) {
	want := load(t, minimal+"drivers: [{name: edge, kind: bird, socket: /run/edge.ctl, as: 65001}]\n").Drivers[0]
	text, err := want.Text()
	if err != nil {
		t.Fatal(err)
	}
	got, err := DriverOf(text)
	if err != nil {
		t.Fatal(err)
	}
	if got.Name != "edge" || got.Kind != "bird" {
		t.Errorf("got %s of kind %s", got.Name, got.Kind)
	}
	if d := cmp.Diff(want.Raw, got.Raw); d != "" {
		t.Errorf("settings (-want +got):\n%s", d)
	}
}

// What was saved by another version, or cut off, is no driver.
func TestDriverOfFaults(t *testing.T) {
	for text, want := range map[string]string{
		"{name: edge":               "yaml: line 1: did not find expected ',' or '}'",
		"bird":                      "yaml: unmarshal errors:\n  line 1: cannot unmarshal !!str `bird` into map[string]interface {}",
		"{name: edge, kind: other}": `drivers: drivers.kind: no driver kind "other" (known: bird, frr, quagga, template)`,
		"{kind: bird, other: 1}":    "drivers: drivers.other: no such setting",
		"":                          "drivers: drivers.kind: required, but missing",
	} {
		d, err := DriverOf(text)
		if got := drivertest.ErrText(err); got != want || d.Driver != nil || d.Name != "" {
			t.Errorf("%s\ngot  %s, %+v\nwant %s", text, got, d, want)
		}
	}
}
