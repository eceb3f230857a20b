package driver_test

import (
	"testing"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/community"
)

// What is equal has one key, wherever its numbers are kept, and nothing else has it.
func TestAttributesKey(t *testing.T) {
	all := func() map[string]driver.Attributes {
		return map[string]driver.Attributes{
			"none": {}, "MED": {MED: new(uint32(1))}, "MED 0": {MED: new(uint32(0))}, "local preference": {LocalPref: new(uint32(1))},
			"prepend": {Prepend: 1}, "metric": {Metric: new(uint32(1))},
			"community": {Communities: []community.Standard{{High: 1, Low: 2}}}, "community turned": {Communities: []community.Standard{{High: 2, Low: 1}}},
			"large community": {LargeCommunities: []community.Large{{Global: 1, Local1: 2, Local2: 3}}},
		}
	}
	again := all()
	for name, a := range all() {
		for other, b := range again {
			if same := a.Key() == b.Key(); same != (name == other) || same != a.Equal(b) {
				t.Errorf("%s and %s have the keys %s and %s", name, other, a.Key(), b.Key())
			}
		}
	}
}
