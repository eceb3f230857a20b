package engine

import (
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
)

// The state directory was lost, or another one was configured: a drained service was announced
// after the next restart, without a word.
func TestDrainsMissing(t *testing.T) {
	b := newHarness(t)
	b.keep = true
	b.service("dns", address, &fakeCheck{})
	synctest.Test(t, func(t *testing.T) {
		b.startDrained("dns")
		b.end()
		b.cfg.StateDir = t.TempDir()
		b.start()
		later(time.Minute)
		b.want("dns", api.Withdrawn, "drained: CHG-1")
		b.wantLog(1, `msg="saved drains missing: those that the last run had are taken from its state" path=`+b.cfg.StateDir+`/drains.json drains=1`)
		b.end()
		b.start() // they are saved there now
		later(time.Minute)
		b.want("dns", api.Withdrawn, "drained: CHG-1")
		b.wantLog(1, "saved drains missing")
		if err := b.engine.Resume(nil); err != nil {
			t.Fatal(err)
		}
		b.end()
		if err := os.RemoveAll(b.cfg.StateDir); err != nil {
			t.Fatal(err)
		}
		b.start() // what was resumed stays so
		later(time.Minute)
		b.want("dns", api.Announced, "all checks up")
		b.wantLog(1, "saved drains missing")
		b.end()
	})
}
