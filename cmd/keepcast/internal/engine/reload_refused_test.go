package engine

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// What only a restart can change is refused, all of it at once.
func TestReloadFixed(t *testing.T) {
	for name, change := range map[string]func(*config.Config){
		"interface: changed from anycast0 to lo1":                       func(c *config.Config) { c.Interface = "lo1" },
		"manage_addresses: changed from true to false":                  func(c *config.Config) { c.ManageAddresses = false },
		"listen: changed from  to :9911":                                func(c *config.Config) { c.Listen = ":9911" },
		"control_socket: changed from  to /run/s":                       func(c *config.Config) { c.ControlSocket = "/run/s" },
		"runtime_directory: changed from /run to /run/kc":               func(c *config.Config) { c.RuntimeDir = "/run/kc" },
		"state_directory: changed from /var to /srv":                    func(c *config.Config) { c.StateDir = "/srv" },
		"drain_directory: changed from  to /etc/drain.d":                func(c *config.Config) { c.DrainDir = "/etc/drain.d" },
		"template_directory: changed from  to /etc/templ":               func(c *config.Config) { c.TemplateDir = "/etc/templ" },
		"log_level: changed from  to debug":                             func(c *config.Config) { c.LogLevel = "debug" },
		"listen: changed from  to :1\nlog_level: changed from  to warn": func(c *config.Config) { c.Listen, c.LogLevel = ":1", "warn" },
	} {
		old := &config.Config{}
		old.Interface, old.ManageAddresses, old.RuntimeDir, old.StateDir = "anycast0", true, "/run", "/var"
		cfg := *old
		if err := fixed(old, &cfg); err != nil {
			t.Errorf("without a change: %v", err)
		}
		change(&cfg)
		const why = ", which takes a restart of keepcast"
		if got, want := drivertest.ErrText(fixed(old, &cfg)), strings.ReplaceAll(name, "\n", why+"\n")+why; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
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
