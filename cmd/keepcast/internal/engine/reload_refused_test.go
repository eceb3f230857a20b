package engine

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// What only a restart can change is refused, and the old configuration stays in force.
func TestReloadFixed(t *testing.T) {
	b := newHarness(t)
	b.service("dns", address, &fakeCheck{})
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(2 * time.Second)
		cfg := copied(b.cfg)
		cfg.Interface, cfg.Services = "lo1", nil
		want := "interface: changed from " + b.cfg.Interface + " to lo1, which takes a restart of keepcast"
		if err := b.engine.Reload(cfg); drivertest.ErrText(err) != want {
			t.Errorf("got %v, want %s", err, want)
		}
		if s, err := b.engine.Status(); err != nil || s.Config.Error != want || len(s.Services) != 1 {
			t.Errorf("%+v, %v", s, err)
		}
		b.end()
	})
}

// The status says why the last reload was refused, until one is not.
func TestReloadFailed(t *testing.T) {
	b := newHarness(t)
	synctest.Test(t, func(t *testing.T) {
		b.start()
		later(time.Hour)
		shows := func(text string, loaded time.Time) {
			t.Helper()
			s, err := b.engine.Status()
			if err != nil || s.Config.Error != text || s.Config.Loaded != loaded {
				t.Errorf("%+v, %v", s.Config, err)
			}
		}
		begun := time.Now().Add(-time.Hour)
		shows("", begun)
		if err := b.engine.ReloadFailed(errors.New("services: missing")); err != nil {
			t.Fatal(err)
		}
		shows("services: missing", begun)
		b.reload(func(*config.Config) {})
		shows("", time.Now())
		b.end()
	})
}
