package engine

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver/drivertest"
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

// A drain that moved nothing was not in the saved state, to be taken from there.
func TestDrainOfTheDeadIsSaved(t *testing.T) {
	b := newHarness(t)
	c := &fakeCheck{}
	c.set(errDead)
	b.service("dns", address, c)
	synctest.Test(t, func(t *testing.T) {
		b.startDrained("dns")
		if s, err := loadSaved(b.cfg.RuntimeDir); err != nil || len(s.Drains) != 1 || s.Drains[0].Reason != "CHG-1" {
			t.Errorf("saved: %+v, %v", s.Drains, err)
		}
		b.end()
	})
}

// The drain directory was moved away, unmounted or replaced: what its files drained was
// announced at once, and nothing told of it.
func TestDrainDirectoryGone(t *testing.T) {
	b := newHarness(t)
	dir := filepath.Join(t.TempDir(), "drain.d")
	fill := func(names ...string) {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			drivertest.WriteFile(t, filepath.Join(dir, name), "CHG-1")
		}
	}
	fill("dns", "other")
	b.service("dns", address, &fakeCheck{})
	look := func() { lookInto(dir, b.engine.drainFiles) }
	finding := func() (out []string) {
		for _, f := range b.engine.found {
			out = append(out, f.Name+": "+f.Text+" ("+f.Fix+")")
		}
		return out
	}
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2 * time.Second)
		b.cfg.DrainDir = dir // nobody watches it
		look()
		later(time.Minute)
		b.want("dns", api.Withdrawn, "drained by "+dir+"/dns: CHG-1")
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		look()
		b.reload(func(*config.Config) {})
		later(time.Minute)
		b.want("dns", api.Withdrawn, "drained by "+dir+"/dns: CHG-1")
		want := "drain-directory: drain directory: open " + dir + ": no such file or directory: its drains stay as they were " +
			"(make the directory again: what is in it then drains, and nothing else does; it looks again by itself)"
		if diff := cmp.Diff(want, finding()[0]); diff != "" {
			t.Error(diff)
		}
		fill("other")
		look()
		later(time.Minute)
		b.want("dns", api.Announced, "all checks up")
		if err := os.RemoveAll(dir); err != nil { // what drains nothing is not missed
			t.Fatal(err)
		}
		look()
		later(0)
		if got := finding(); len(got) > 0 {
			t.Errorf("findings: %v", got)
		}
		b.end()
	})
}
