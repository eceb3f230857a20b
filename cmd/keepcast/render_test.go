package main

import (
	"errors"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// bare is a driver that has nothing beside what each has.
type bare struct{ driver.Driver }

// opened is a driver that notes its surroundings.
type opened struct {
	driver.Driver
	with driver.Options
}

func (o *opened) Open(with driver.Options) { o.with = with }
func (o *opened) Close() error             { return nil }

// failing is a driver whose snippet can't be rendered.
type failing struct{ bare }

func (failing) Render(driver.State) ([]byte, error) {
	return nil, errors.New("template: no field Nope")
}
func (failing) Loadable([]byte) error { return nil }

func TestRenderNothing(t *testing.T) {
	for name, tt := range map[string]struct {
		drivers []config.Driver
		err     string
		usage   bool // another name would do
	}{
		"no driver":      {nil, "no driver is configured", true},
		"another driver": {[]config.Driver{{Name: "frr", Driver: bare{}}, {Name: "edge", Driver: bare{}}}, `no driver "bird" (configured: frr, edge)`, true},
		"no snippet":     {[]config.Driver{{Name: "bird", Driver: bare{}}}, "driver bird writes no snippet", true},
		"bad template":   {[]config.Driver{{Name: "bird", Driver: failing{}}}, "template: no field Nope", false},
	} {
		t.Run(name, func(t *testing.T) {
			snippet, err := render(&config.Config{Drivers: tt.drivers}, "bird", false)
			if got := drivertest.ErrText(err); got != tt.err || snippet != nil {
				t.Errorf("got %s, %q, want %s", got, snippet, tt.err)
			}
			if _, usage := errors.AsType[usageError](err); usage != tt.usage {
				t.Errorf("wrong usage: %t", usage)
			}
		})
	}
}

// What is printed is what would be loaded, so the operator's own template counts.
func TestRenderOwnTemplate(t *testing.T) {
	file := written(t, `
template_directory: DIR
drivers: [{kind: bird, snippet: DIR/keepcast.conf}]
services: [{name: dns, addresses: [192.0.2.53], checks: [{kind: exec, command: ["true"]}]}]
`)
	drivertest.WriteFile(t, filepath.Join(filepath.Dir(file), "bird.conf.tmpl"), "# our own, {{.State}}\n")
	const want = "keepcast: template bird.conf.tmpl: it must have the line 'attribute int keepcast_announced;', and its gate set that\n"
	if code, out, errs := keepcastSays(t, "render", "bird", "-c", file); code != exitFailed || errs != want {
		t.Errorf("exit code %d, got %s%s, want %s", code, out, errs, want)
	}
}

// Each driver knows where the operator's templates are, and tells by its own name
// that its daemon has loaded something.
func TestEquip(t *testing.T) {
	first, second := &opened{}, &opened{}
	cfg := &config.Config{Drivers: []config.Driver{{Name: "bare", Driver: bare{}}, {Name: "bird", Driver: first}, {Name: "frr", Driver: second}}}
	cfg.TemplateDir = "/etc/keepcast/templates"
	var reloaded []string
	equip(cfg, opener(cfg, slog.New(slog.DiscardHandler), func(name string) { reloaded = append(reloaded, name) }))
	second.with.Reloaded()
	first.with.Reloaded()
	if d := cmp.Diff([]string{"frr", "bird"}, reloaded); d != "" {
		t.Error(d)
	}
	if got := second.with; got.Templates != cfg.TemplateDir || got.Log == nil || got.VRF == nil {
		t.Errorf("got %+v", got)
	}
	equip(cfg, opener(cfg, slog.New(slog.DiscardHandler), nil))
	if first.with.Reloaded != nil {
		t.Error("somebody is told who is not there")
	}
}
