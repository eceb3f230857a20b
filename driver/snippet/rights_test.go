package snippet

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/keepcast/keepcast/driver/drivertest"
)

func TestAllows(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	drivertest.WriteFile(t, file, "")
	own, group := uint32(os.Getuid()), uint32(os.Getgid())
	for name, tc := range map[string]struct {
		mode     os.FileMode
		uid, gid uint32
		want     bool
	}{
		"owner": {0o400, own, 1, true}, "owner may not": {0o044, own, group, false}, "group": {0o040, own + 1, group, true},
		"group may not": {0o604, own + 1, group, false}, "others": {0o604, own + 1, group + 1, true}, "others may not": {0o660, own + 1, group + 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.Chmod(file, tc.mode); err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(file)
			if err != nil {
				t.Fatal(err)
			}
			if got := Allows(info, tc.uid, []uint32{tc.gid}, MayRead); got != tc.want {
				t.Errorf("%v", got)
			}
		})
	}
}
