package doctor

import (
	"os"
	"path/filepath"
	"slices"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/templates"
)

// unrenderable says why nothing to load can be made for a driver: for nothing, for
// everything announced, or for everything degraded, which may differ in what they
// use of a template.
func unrenderable(cfg *config.Config, d config.Driver) []driver.Finding {
	r, ok := d.Driver.(driver.Renderer)
	if !ok {
		return nil
	}
	up := cfg.State(d.Name, driver.Announced)
	worse := degraded(cfg, up, func(string) bool { return true })
	for _, state := range []driver.State{cfg.State(d.Name, driver.Delivered), up, worse} {
		snippet, err := r.Render(state)
		if err == nil {
			err = r.Loadable(snippet)
		}
		if err != nil {
			return []driver.Finding{{
				Name: "template", Level: driver.LevelError, Subject: d.Name, Text: err.Error(),
				Fix: "correct the template; keepcast render " + d.Name + " --announced shows what comes of it",
			}}
		}
	}
	return nil
}

// overrides notes the templates of the operator's own, and warns of files that
// no driver reads.
func overrides(cfg *config.Config) []driver.Finding {
	if cfg.TemplateDir == "" {
		return nil
	}
	entries, err := os.ReadDir(cfg.TemplateDir)
	if err != nil {
		return nil // mostly there is none
	}
	var out []driver.Finding
	for _, e := range entries {
		path := filepath.Join(cfg.TemplateDir, e.Name())
		switch {
		case filepath.Ext(path) != ".tmpl":
		case templates.Has(e.Name()):
			out = append(out, driver.Finding{
				Name: "template-override", Level: driver.LevelInfo, Subject: path,
				Text: "is used in place of the template that came with keepcast: after an upgrade, compare the two",
			})
		case !used(cfg, path):
			out = append(out, driver.Finding{
				Name: "template-unused", Level: driver.LevelWarning, Subject: path,
				Text: "is used by no driver: there is no template of that name",
				Fix:  "name it like the template that it is to replace: bird.conf.tmpl, frr.conf.tmpl",
			})
		}
	}
	return out
}

// used reports whether a template driver names the file.
func used(cfg *config.Config, path string) bool {
	for _, d := range cfg.Drivers {
		if e, ok := d.Driver.(driver.Examiner); ok && slices.Contains(e.Places().Templates, path) {
			return true
		}
	}
	return false
}
