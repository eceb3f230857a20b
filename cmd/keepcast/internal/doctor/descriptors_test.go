package doctor

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver"
)

// With "ulimit -n 64" nothing was said at the start. Once some clients had come no check could
// probe, no command got in, and the operator looked for the fault in his services.
func TestDescriptors(t *testing.T) {
	cfg := &config.Config{
		Services: []config.Service{{Checks: make([]config.Check, 2)}, {Checks: make([]config.Check, 1)}},
		Drivers:  make([]config.Driver, 2),
	}
	for limit, want := range map[uint64]*driver.Finding{
		106: nil, 1 << 63: nil,
		105: {
			Name: "descriptors-few", Level: driver.LevelWarning, Subject: "keepcast",
			Text: "may have 105 descriptors, and needs up to 106: 32 for itself, 32 for clients, 6 for each of 3 checks, 12 for each of 2 drivers. " +
				"When none is left checks are void, so that a service that fails stays announced, and no command gets in",
			Fix: "LimitNOFILE=106 or more in the unit (systemctl edit keepcast), or a higher ulimit -Hn where it is started by hand; then systemctl restart keepcast: a restart moves no route",
		},
	} {
		if d := cmp.Diff(want, Descriptors(cfg, 32, limit)); d != "" {
			t.Errorf("limit %d: %s", limit, d)
		}
	}
}
