package engine

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
)

// Who looked at a drained host, or at its log, did not learn whom to ask: the drain keeps
// who ordered it, also through a restart.
func TestDrainedBy(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address)
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(time.Second)
		if err := b.engine.Drain(nil, time.Time{}, "CHG-1", "alice"); err != nil {
			t.Fatal(err)
		}
		b.want("dns", api.Draining, "drained by alice: CHG-1")
		b.wantLog(1, `msg="drain ordered" service=dns reason=CHG-1 by=alice`)
		kept, err := loadDrains(b.cfg.StateDir)
		if got := kept["dns"].By; got != "alice" || err != nil {
			t.Errorf("saved is %q, %v", got, err)
		}
		b.end()
	})
}
