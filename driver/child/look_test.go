package child

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/keepcast/keepcast/driver/drivertest"
)

func TestLook(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"run": 0o755, "plain": 0o644} {
		drivertest.WriteFile(t, filepath.Join(dir, name), "")
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
	for _, tt := range []struct{ dir, program, want, err string }{
		{"", "run", dir + "/run", ""},
		{"", dir + "/run", dir + "/run", ""},
		{dir, "./run", dir + "/run", ""},
		{"/nowhere", "run", dir + "/run", ""}, // no slash: by PATH
		{"/nowhere", dir + "/run", dir + "/run", ""},
		{dir, "../run", "", filepath.Dir(dir) + "/run does not exist"},
		{"", "plain", "", `"plain" is in no directory of PATH: give its whole path`},
		{"", dir + "/plain", "", dir + "/plain may not be executed: chmod +x " + dir + "/plain"},
		{"", dir, "", dir + ": is a directory"},
		{"", dir + "/run/x", "", dir + "/run/x: stat " + dir + "/run/x: not a directory"},
	} {
		got, err := Look(tt.dir, tt.program)
		if got != tt.want || drivertest.ErrText(err) != tt.err {
			t.Errorf("%s in %s: got %s, %v, want %s, %s", tt.program, tt.dir, got, err, tt.want, tt.err)
		}
	}
}
