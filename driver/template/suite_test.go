package template

import (
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// The daemon is a file, of which a reload makes another: what it announces.
func TestSuite(t *testing.T) {
	drivertest.TestDriver(t, func(t *testing.T) drivertest.Rig {
		dir := t.TempDir()
		file := func(name string) string { return filepath.Join(dir, name) }
		for name, text := range map[string]string{
			"routes.tmpl": "{{range .Announced}}{{.Prefix}}{{with .MED}} med {{.}}{{end}}\n{{end}}",
			"own":         "192.0.2.99/32\n", "running": "192.0.2.99/32\n", "reloads": "", "full": "",
		} {
			drivertest.WriteFile(t, file(name), text)
		}
		lines := func(name string) []string { return strings.Split(drivertest.ReadFile(t, file(name)), "\n") }
		return drivertest.Rig{
			New: func() driver.Driver {
				return &Driver{
					Template: file("routes.tmpl"), Output: file("routes.conf"),
					Check:   []string{"sh", "-c", `cat "$0"; [ ! -s "$0" ]`, file("full")},
					Reload:  []string{"sh", "-c", `cd "$0" && echo >>reloads && cat own routes.conf >next && mv next running`, dir},
					Verify:  []string{"cat", file("running")},
					Timeout: 20 * time.Second,
				}
			},
			Interface: "any0",
			Announces: func() map[netip.Prefix]uint32 {
				out := map[netip.Prefix]uint32{}
				for _, line := range lines("running") {
					if words := strings.Fields(line + " med 0"); len(words) > 2 {
						med, _ := strconv.ParseUint(words[2], 10, 32)
						out[netip.MustParsePrefix(words[0])] = uint32(med)
					}
				}
				return out
			},
			Dump:    func() []string { return lines("running") },
			Changes: func() int { return len(lines("reloads")) },
			Whole:   true,
			Break: func() (string, func()) {
				drivertest.WriteFile(t, file("full"), "remove some routes first")
				return "remove some routes first (the file that was there before is back)", func() { drivertest.WriteFile(t, file("full"), "") }
			},
			Disturb: func(rnd *rand.Rand) string {
				if rnd.IntN(2) == 0 {
					drivertest.WriteFile(t, file("routes.conf"), "192.0.2.54/32 # by hand\n")
					return "edits the file"
				}
				drivertest.WriteFile(t, file("running"), "192.0.2.99/32\n")
				return "restarts the daemon, which forgets"
			},
		}
	})
}
