package doctor

import (
	"os"
	"testing"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// A directory that belongs to the user that keepcast runs as is none that others may write,
// though root would not do what is in it.
func TestSaved(t *testing.T) {
	drivertest.NeedsRoot(t, "to give files away")
	cfg := load(t, "")
	cfg.StateDir = t.TempDir()
	if err := os.Chown(cfg.StateDir, 64001, 64001); err != nil {
		t.Fatal(err)
	}
	found := []string{"warning directory-untrusted " + cfg.StateDir + ": user 64001 owns it"}
	for name, tt := range map[string]struct {
		account Account
		want    []string
	}{
		"root":           {Account{Name: "root"}, found},
		"of the package": {Account{Name: "keepcast", UID: 64002}, found},
		"its owner":      {Account{Name: "64001", UID: 64001}, nil},
		"nobody knows":   {Account{Unknown: true}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			expect(t, Facts{Account: tt.account}.saved(cfg), tt.want)
		})
	}
}
