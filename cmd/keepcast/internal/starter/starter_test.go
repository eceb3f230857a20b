package starter

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver/drivertest"
)

func TestFind(t *testing.T) {
	bird, frr := Daemon{Kind: "bird", Title: "BIRD"}, Daemon{Kind: "frr", Title: "FRR"}
	for name, tc := range map[string]struct {
		files map[string]string
		want  []Daemon
	}{
		"nothing": {},
		"frr runs, bird is installed": {
			map[string]string{
				"run/frr/zebra.vty=": "", "run/frr/isisd.vty=": "", "run/frr/ospfd.vty=": "", "run/frr/bgpd.vty~": "", "usr/sbin/bird": "",
			},
			[]Daemon{
				with(frr, func(d *Daemon) { d.Running, d.Found = true, "/run/frr/isisd.vty" }),
				with(bird, func(d *Daemon) { d.Found = "/usr/sbin/bird" }),
			},
		},
		"frr runs in pathspaces": {
			map[string]string{
				"run/frr/zebra.vty=": "", "run/frr/east/bgpd.vty=": "", "run/frr/east/ospfd.vty=": "", "run/frr/east/zebra.vty=": "", "run/frr/west/isisd.vty=": "",
			},
			[]Daemon{with(frr, func(d *Daemon) { d.Running, d.Found = true, "/run/frr/east/bgpd.vty" })},
		},
		"frr runs with nothing to drive": {
			map[string]string{"run/frr/zebra.vty=": ""},
			[]Daemon{with(frr, func(d *Daemon) { d.Running, d.Found = true, "/run/frr/zebra.vty" })},
		},
		"frr is new": {
			map[string]string{"usr/lib/frr/zebra": ""},
			[]Daemon{with(frr, func(d *Daemon) { d.Found = "/usr/lib/frr/zebra" })},
		},
		"bird was killed": {
			map[string]string{"usr/sbin/bird": "", "var/run/bird.ctl~": ""},
			[]Daemon{with(bird, func(d *Daemon) { d.Found = "/usr/sbin/bird" })},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, looked, err := Root(drivertest.Root(t, tc.files)).Find(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.want, got, cmpopts.IgnoreFields(Daemon{}, "Start")); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			if all := strings.Join(looked, " "); !strings.Contains(all, "/run/bird/bird.ctl") || !strings.Contains(all, "/usr/lib/frr/zebra") {
				t.Errorf("looked at %s", all)
			}
		})
	}
}

func with(d Daemon, change func(*Daemon)) Daemon {
	change(&d)
	return d
}

// variants are daemons of which as little is known as can be, and as much as a file
// can tell.
func variants(t *testing.T) map[string]Daemon {
	t.Helper()
	every := "bgpd=yes\nospfd=yes\nospf6d=yes\nisisd=yes\nripd=yes\nripngd=yes\nbabeld=yes\n"
	full := Root(drivertest.Root(t, map[string]string{"etc/frr/daemons": every, "etc/quagga/daemons": every}))
	all := map[string]Daemon{}
	for _, kind := range Kinds() {
		for name, root := range map[string]Root{kind: "/nonexistent", kind + " with all daemons": full} {
			d, err := root.Daemon(t.Context(), kind)
			if err != nil {
				t.Fatal(err)
			}
			all[name] = d
		}
	}
	return all
}

// What init writes is valid as it is, and what is commented out in it, too.
func TestConfigurationIsValid(t *testing.T) {
	for name, d := range variants(t) {
		text, err := d.Configuration()
		if err != nil {
			t.Fatal(err)
		}
		for what, text := range map[string]string{"as it is": string(text), "with its examples": uncommented(string(text))} {
			path := filepath.Join(t.TempDir(), "keepcast.yaml")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			cfg, err := config.Load(path)
			if err != nil {
				t.Errorf("%s, %s: %v\n%s", name, what, err, text)
				continue
			}
			if what == "with its examples" && (len(cfg.Services) != 2 || len(cfg.Services[0].Checks) != 3) {
				t.Errorf("%s: an example is missing:\n%s", name, text)
			}
		}
		if !strings.Contains(string(text), "CHANGE ME") {
			t.Errorf("%s: nothing is to be changed", name)
		}
	}
}

// uncommented has the lines that are settings in comments as settings.
func uncommented(text string) string {
	var out []string
	for line := range strings.SplitSeq(text, "\n") {
		bare, comment := strings.CutPrefix(strings.TrimLeft(line, " "), "# ")
		for _, begin := range []string{"- {name", "- name: web", "  addresses", "  checks:", "    - {name", "degraded:", "as: "} {
			if comment && strings.HasPrefix(bare, begin) {
				line = strings.Replace(line, "# ", "", 1)
				break
			}
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}
