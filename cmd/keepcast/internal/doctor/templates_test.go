package doctor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/template"
)

func TestOverrides(t *testing.T) {
	cfg := load(t, "")
	cfg.TemplateDir = t.TempDir()
	for _, name := range []string{"bird.conf.tmpl", "bird.tmpl", "README", "bgpd.tmpl"} {
		if err := os.WriteFile(filepath.Join(cfg.TemplateDir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg.Drivers = []config.Driver{{Name: "openbgpd", Driver: &template.Driver{Template: cfg.TemplateDir + "/bgpd.tmpl"}}}
	expect(t, overrides(cfg), []string{
		"info template-override " + cfg.TemplateDir + "/bird.conf.tmpl: after an upgrade",
		"warning template-unused " + cfg.TemplateDir + "/bird.tmpl: is used by no driver",
	})
}

// A template that is broken is found, whatever state it is that it is broken for.
func TestUnrenderable(t *testing.T) {
	const drivers = "drivers: [{kind: bird}, {kind: frr, daemons: [bgpd, ospfd]}, {kind: quagga, daemons: [bgpd, isisd]}]\n"
	const state, mark = `define keepcast_state = "{{.State}}"; `, "keepcast_announced "
	const fix = ": correct the template; keepcast render DRIVER --announced shows what comes of it"
	for name, tc := range map[string]struct {
		file, text, driver string
		want               string // of text and fix, without the latter's end; "" for nothing
	}{
		"none":                         {"README", "", "bird", ""},
		"bird":                         {"bird.conf.tmpl", state + mark + "{{.Path}}", "bird", ""},
		"bird, no such field":          {"bird.conf.tmpl", "{{.Nope}}", "bird", `template: template: DIR/bird.conf.tmpl:1:2: executing "DIR/bird.conf.tmpl" at <.Nope>: can't evaluate field Nope in type bird.snippetData`},
		"bird, no template":            {"bird.conf.tmpl", "{{range}}", "bird", `template: template: DIR/bird.conf.tmpl:1: missing value for range`},
		"bird, once announced":         {"bird.conf.tmpl", state + mark + "{{range .Groups}}{{.Nope}}{{end}}", "bird", `template: template: DIR/bird.conf.tmpl:1:76: executing "DIR/bird.conf.tmpl" at <.Nope>: can't evaluate field Nope in type bird.group`},
		"bird, once degraded":          {"bird.conf.tmpl", state + mark + "{{range .Groups}}{{with .MED}}{{.Nope}}{{end}}{{end}}", "bird", `template: template: DIR/bird.conf.tmpl:1:89: executing "DIR/bird.conf.tmpl" at <.Nope>: can't evaluate field Nope in type *uint32`},
		"bird, without state":          {"bird.conf.tmpl", mark, "bird", `template bird.conf.tmpl: it must have the line 'define keepcast_state = "{{.State}}";'`},
		"frr, no such field":           {"frr.conf.tmpl", "{{.Nope}}", "frr", `template: template: DIR/frr.conf.tmpl:1:2: executing "DIR/frr.conf.tmpl" at <.Nope>: can't evaluate field Nope in type frr.frrData`},
		"frr, a daemon is left out":    {"frr.conf.tmpl", "! daemon: bgpd\n", "frr", `template frr.conf.tmpl: no section "! daemon: ospfd"`},
		"frr, a line of its own":       {"frr.conf.tmpl", "! daemon: bgpd\nbanner motd x\n", "frr", `template frr.conf.tmpl: section bgpd: "banner motd x" is nothing keepcast can keep up to date (only prefix-list entries with seq and route-map entries named KEEPCAST..., and network lines in router bgp)`},
		"quagga, no such field":        {"quagga.conf.tmpl", "{{.Nope}}", "quagga", `template: template: DIR/quagga.conf.tmpl:1:2: executing "DIR/quagga.conf.tmpl" at <.Nope>: can't evaluate field Nope in type frr.quaggaData`},
		"quagga, a daemon is left out": {"quagga.conf.tmpl", "! daemon: isisd\n", "quagga", `template quagga.conf.tmpl: no section "! daemon: bgpd"`},
		"quagga, isisd needs none":     {"quagga.conf.tmpl", "! daemon: bgpd\n", "quagga", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir, cfg := t.TempDir(), load(t, drivers)
			if err := os.WriteFile(filepath.Join(dir, tc.file), []byte(tc.text), 0o600); err != nil {
				t.Fatal(err)
			}
			var want, got []string
			if tc.want != "" {
				want = []string{"error template " + tc.driver + ": " + strings.NewReplacer("DIR", dir, "DRIVER", tc.driver).Replace(tc.want+fix)}
			}
			for _, d := range cfg.Drivers {
				d.Driver.(driver.Opener).Open(driver.Options{Templates: dir})
				for _, f := range unrenderable(cfg, d) {
					got = append(got, string(f.Level)+" "+f.Name+" "+f.Error())
				}
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// One fault is told once, also where the driver finds it itself; and the daemon
// is looked over all the same.
func TestTemplateOnce(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "quagga.conf.tmpl"), []byte("{{.Nope}}"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := load(t, "drivers: [{kind: quagga, directory: "+dir+", snippet: "+dir+"/k.conf}]\n")
	cfg.Drivers[0].Driver.(driver.Opener).Open(driver.Options{Templates: dir})
	var got, others []driver.Finding
	for _, f := range daemons(t.Context(), cfg, healthy()) {
		if f.Name == "template" {
			got = append(got, f)
		} else {
			others = append(others, f)
		}
	}
	expect(t, got, []string{"error template quagga: keepcast render quagga --announced"})
	if len(others) == 0 {
		t.Error("nothing is said of the daemon, which does not run")
	}
}
