package engine

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/store"
	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
	"github.com/keepcast/keepcast/driver/pace"
)

// wantFindings checks what is found about keepcast itself: subject, name and text.
func (b *harness) wantFindings(want ...string) {
	b.t.Helper()
	s, err := b.engine.Status()
	var got []string
	for _, f := range s.Findings {
		got = append(got, string(f.Level)+" "+f.Subject+" ("+f.Name+"): "+f.Text)
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		b.t.Errorf("findings: %v\n%s", err, diff)
	}
}

// A disk that hung while the state was saved kept the address of a dead service on the
// host, for as long as it hung, and the stop from its end.
func TestDiskHangs(t *testing.T) {
	b := newHarness(t)
	c := &fakeCheck{}
	b.service("dns", address, c)
	b.service("ldap", "192.0.2.54/32")
	b.keep = true
	synctest.Test(t, func(t *testing.T) {
		frozen := make(chan struct{})
		b.made = func(e *Engine) {
			e.disk.state = store.NewSaver(func(saved) error { <-frozen; return nil }, e.saving("state", "x"))
			e.disk.drains = store.NewSaver(func([]order) error { <-frozen; return nil }, e.saving("drains", "x"))
			e.disk.inForce = store.NewSaver(func(*config.Config) error { <-frozen; return nil }, e.saving("configuration in force", "x"))
			e.disk.lastGood = store.NewSaver(func(*config.Config) error { <-frozen; return nil }, e.saving("last good configuration", "x"))
		}
		b.start()
		later(2 * time.Second)
		b.wantKernel(address, driver.Announced)
		for range 3 {
			c.set(errDead)
			later(2 * time.Second)
			b.wantKernel(address, driver.Delivered)
			c.set(nil)
			later(2 * time.Second)
			b.wantKernel(address, driver.Announced)
		}
		began := time.Now()
		ordered := make(chan error)
		go func() { ordered <- b.engine.Drain([]string{"ldap"}, time.Time{}, "CHG-1", "") }()
		later(0)
		b.want("ldap", api.Draining, "drained: CHG-1")
		const want = "done, but not saved, so that a restart forgets it: no answer within 2s: the file system hangs, or the host is very busy"
		if err := <-ordered; drivertest.ErrText(err) != want || time.Since(began) != saveTimeout {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		const text = "not saved, so that x: no answer within 2s: the file system hangs, or the host is very busy"
		b.wantFindings("error configuration in force (not-saved): "+text, "error drains (not-saved): "+text, "error last good configuration (not-saved): "+text, "error state (not-saved): "+text)
		began = time.Now()
		b.end()
		if took := time.Since(began); took != pace.Patience {
			t.Errorf("the stop took %s", took)
		}
		close(frozen)
	})
}

// The same with a file system that hangs really, from before the start: keepcast never
// started, and SIGTERM did not end it.
func TestFileSystemHangs(t *testing.T) {
	b := newHarness(t)
	c := &fakeCheck{}
	b.service("dns", address, c)
	b.kernel.have[netip.MustParsePrefix(address)] = driver.Announced
	b.service("ldap", "192.0.2.54/32")
	b.keep = true
	mount, _ := drivertest.HangingDir(t)
	dir := filepath.Join(mount, "keepcast") // gone after the test, when what hung would write
	b.cfg.RuntimeDir, b.cfg.StateDir, b.cfg.DrainDir = dir, dir, filepath.Join(dir, "drain.d")
	b.start()
	drivertest.Eventually(t, "it starts", b.ready.Load)
	b.want("ldap", api.Withdrawn, "drained: saved drains unreadable ("+dir+"/drains.json): keepcast resume when it may come back")
	c.set(errDead)
	drivertest.Eventually(t, "the address goes", func() bool { return b.kernel.is(address) == driver.Delivered })
	b.end()
}

// Where nothing hangs, what can't be saved is said to who orders it, at once, and shown
// until it works again.
func TestDrainIsNotSaved(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address)
	b.keep = true
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(time.Second)
		dir := b.cfg.StateDir
		if err := os.Rename(dir, dir+".away"); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		err := b.engine.Drain(nil, time.Time{}, "CHG-1", "")
		const want = "done, but not saved, so that a restart forgets it: "
		if !strings.HasPrefix(drivertest.ErrText(err), want) || !errors.Is(err, os.ErrNotExist) || time.Since(began) > 0 {
			t.Errorf("got %v", err)
		}
		later(0)
		s, err := b.engine.Status()
		if err != nil || len(s.Findings) != 1 || s.Findings[0].Subject != "drains" || s.Findings[0].Name != "not-saved" {
			t.Errorf("findings are %v, %v", s.Findings, err)
		}
		b.wantLog(1, `level=ERROR msg="drains not saved: a restart will not know the newest"`)
		if err := os.Rename(dir+".away", dir); err != nil {
			t.Fatal(err)
		}
		later(time.Minute)
		b.wantFindings()
		b.wantLog(1, `level=INFO msg="drains saved again"`)
		if kept, err := loadDrains(dir); err != nil || kept["dns"].Reason != "CHG-1" {
			t.Errorf("saved are %v, %v", kept, err)
		}
		b.end()
	})
}

// What a keepcast before this one saved, without a checksum, is read: an upgrade forgets
// no drain, and moves no route.
func TestUpgrade(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address)
	b.service("ldap", "192.0.2.54/32")
	b.keep = true
	drivertest.WriteFile(t, filepath.Join(b.cfg.RuntimeDir, "state.json"), `{
  "services": [
    {"name": "dns", "state": "withdrawn", "since": "1999-12-31T12:00:00Z", "addresses": ["192.0.2.53/32"]},
    {"name": "ldap", "state": "degraded", "since": "1999-12-31T12:00:00Z", "failures": 1, "last_failure": "1999-12-31T11:00:00Z", "addresses": ["192.0.2.54/32"]}
  ]
}
`)
	drivertest.WriteFile(t, filepath.Join(b.cfg.StateDir, "drains.json"), `[
  {
    "service": "dns",
    "reason": "CHG-1",
    "since": "1999-12-31T12:00:00Z"
  }
]
`)
	b.kernel.have[netip.MustParsePrefix("192.0.2.54/32")] = driver.Announced
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(time.Second)
		b.want("dns", api.Withdrawn, "drained: CHG-1")
		b.wantLog(1, "msg=adopted service=ldap state=degraded")
		b.wantLog(0, "level=ERROR")
		b.wantLog(0, "level=WARN")
		b.end()
	})
}

// A drain directory that hangs is said to while it does, and does not hold up the end.
func TestDrainDirectoryHangs(t *testing.T) {
	dir, release := drivertest.HangingDir(t)
	ctx, stop := context.WithCancel(t.Context())
	told := make(chan error, 10)
	none := func() (*fsnotify.Watcher, error) { return nil, errors.New("too many open files") }
	ended := make(chan bool)
	go func() {
		ended <- store.Abandon(ctx, func(ctx context.Context) {
			watchDrainDir(ctx, dir, none, func(_ drainDir, err error) { told <- err })
		})
	}()
	if err := <-told; !errors.Is(err, pace.ErrHangs) || err.Error() != "drain directory: "+dir+": no answer within 2s: the file system hangs, or the host is very busy" {
		t.Errorf("got %v", err)
	}
	stop()
	if <-ended {
		t.Error("it ended by itself")
	}
	release()
	if err := <-told; errors.Is(err, pace.ErrHangs) {
		t.Errorf("got %v", err)
	}
}

// A drain directory that can't be read at the start may order any drain: so what the host
// does not announce stays withdrawn until it can be read.
func TestStartWithUnreadableDrainDirectory(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address)
	b.service("web", "192.0.2.55/32")
	b.keep = true
	b.kernel.have[netip.MustParsePrefix("192.0.2.55/32")] = driver.Announced
	dir := filepath.Join(b.cfg.StateDir, "drain.d")
	b.cfg.DrainDir = dir
	drivertest.WriteFile(t, dir, "not a directory")
	b.start()
	reason := func() string {
		_, reason := b.state("dns")
		return reason
	}
	const text = ": it can't be read, so its drains are not known"
	drivertest.Eventually(t, "it starts", b.ready.Load)
	b.want("dns", api.Withdrawn, "drained by "+dir+text)
	b.want("web", api.Announced, "all checks up")
	b.wantFindings("error " + dir + " (drain-directory): drain directory: readdirent " + dir + ": not a directory: its drains stay as they were")
	if err := b.engine.Resume([]string{"dns"}); drivertest.ErrText(err) != "still drained: "+dir+" can't be read, so its drains are not known" {
		t.Errorf("got %v", err)
	}
	b.end()
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	b.start()
	drivertest.Eventually(t, "it starts again", b.ready.Load)
	drivertest.Eventually(t, "it is announced", func() bool { return reason() == "all checks up" })
	b.end()
}

// Somebody emptied the directories of keepcast: what was saved came back with the next
// change, and was not known to a restart before that.
func TestRemovedFilesAreWrittenAgain(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address, &fakeCheck{})
	b.keep = true
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(time.Second)
		if err := b.engine.Drain(nil, time.Time{}, "CHG-1", ""); err != nil {
			t.Fatal(err)
		}
		later(time.Minute)
		files := []string{
			stateDocument(b.cfg.RuntimeDir).Path, InForceFile(b.cfg.RuntimeDir),
			drainsDocument(b.cfg.StateDir).Path, config.LastGoodFile(b.cfg.StateDir),
		}
		for _, path := range files {
			if err := os.Remove(path); err != nil {
				t.Error(err)
			}
		}
		later(time.Minute)
		b.engine.post(func() {}) // nothing that is saved
		for _, path := range files {
			if _, err := os.Stat(path); err != nil {
				t.Error(err)
			}
		}
		b.end()
	})
}

// That something can't be saved is shown as soon as it is known.
func TestNotSavedIsShownAtOnce(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address)
	b.keep = true
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(time.Second)
		b.engine.saving("state", "x")(errDead)
		synctest.Wait()
		b.wantFindings("error state (not-saved): not saved, so that x: connection refused")
		registry := prometheus.NewRegistry()
		registry.MustRegister(Collector{b.engine})
		if got := series(t, registry, "keepcast", "not-saved", "error", "state"); !slices.Equal(got, []string{"keepcast_driver_finding"}) {
			t.Errorf("exported is %v", got)
		}
		b.engine.saving("state", "x")(nil)
		synctest.Wait()
		b.wantFindings()
		b.end()
	})
}
