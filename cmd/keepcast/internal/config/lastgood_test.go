package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// What was in force is judged anew before a start goes on with it, and says itself whether
// it may.
func TestLastGood(t *testing.T) {
	for name, tt := range map[string]struct{ files, want string }{
		"none":            {"", "the last good configuration: configuration: open DIR/last-good.yaml: no such file or directory: write one (docs/tutorial.md shows how), or name another with --config"},
		"good":            {"-- last-good.yaml --\nlinger: 3s\n" + minimal, ""},
		"exit":            {"-- last-good.yaml --\non_bad_configuration: exit\n" + minimal, "on_bad_configuration is exit"},
		"not valid now":   {"-- last-good.yaml --\nlingre: 3s\n" + minimal, `the last good configuration: DIR/last-good.yaml:1:1: lingre: no such setting (did you mean "linger"?)`},
		"without drop-in": {"-- conf.d/a.yaml --\nlinger: 5s\n-- last-good.yaml --\nlinger: 3s\n" + minimal, ""},
	} {
		dir := filepath.Dir(files(t, tt.files))
		cfg, err := LastGood(dir)
		if got := strings.ReplaceAll(drivertest.ErrText(err), dir, "DIR"); got != tt.want {
			t.Errorf("%s: got %s, want %s", name, got, tt.want)
		}
		if tt.want == "" && (cfg.Linger != 3*time.Second || len(cfg.Files) != 1 || cfg.Files[0] != LastGoodFile(dir)) {
			t.Errorf("%s: got %v of %v", name, cfg.Linger, cfg.Files)
		}
	}
}

// A directory is distrusted for itself, and for any configuration in it.
func TestDistrusted(t *testing.T) {
	dir := t.TempDir()
	drivertest.WriteFile(t, dir+"/a.yaml", "")
	drivertest.WriteFile(t, dir+"/b.yaml", "")
	drivertest.WriteFile(t, dir+"/c.json", "")
	for _, tt := range []struct {
		path string
		mode os.FileMode
		want string
	}{
		{"", 0o750, ""},
		{"/c.json", 0o666, ""},
		{"/a.yaml", 0o666, "DIR/a.yaml: anybody may write it (mode 0666), and keepcast would do what they say: chmod go-w DIR/a.yaml"},
		{"", 0o777, "DIR: anybody may write it (mode 0777), and keepcast would do what they say: chmod go-w DIR"},
	} {
		if err := os.Chmod(dir+tt.path, tt.mode); err != nil {
			t.Fatal(err)
		}
		if got := strings.ReplaceAll(drivertest.ErrText(Distrusted(dir)), dir, "DIR"); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.path, got, tt.want)
		}
	}
}
