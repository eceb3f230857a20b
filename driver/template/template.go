// Package template drives any daemon that keepcast does not know: by a file from a
// template of the operator's, and commands.
package template

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"time"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/child"
	"github.com/keepcast/keepcast/driver/snippet"
	"github.com/keepcast/keepcast/driver/trust"
	"github.com/keepcast/keepcast/templates"
)

// Kind is the kind of driver that a configuration names template.
func Kind() driver.Kind {
	return driver.Kind{
		Name: "template",
		Doc: "Drives any other daemon: renders a file from a template of your own, has it checked, and runs a command" +
			" that makes the daemon read it. The address is off the interface first." +
			" A daemon that does not look at the address, such as OpenBGPD or GoBGP, withdraws when that command has run.",
		Example: `template: /etc/keepcast/templates/exabgp.conf.tmpl
output: /etc/exabgp/keepcast.conf
check: [exabgp, --validate, /etc/exabgp/keepcast.conf]
reload: [systemctl, reload, exabgp.service]
`,
		New:      func() driver.Driver { return new(Driver) },
		Template: driver.Template{Name: "template", Doc: "The template of your own that the driver `template` renders.", Data: Data{}},
	}
}

// Driver is the driver for a daemon that keepcast does not know: a file from
// a template, and commands to have it checked and read.
type Driver struct {
	Template string        `config:"template" required:"true" doc:"Path of the template, in the language of Go's text/template. What it is given is in the template reference."`
	Output   string        `config:"output" required:"true" doc:"Path of the file that is written. Its mode and owner are kept; its directory must exist and be writable."`
	Check    []string      `config:"check" doc:"Command that checks the file, which is already where it belongs. With exit code 0 it is good, else the file that was there before is put back. An argument list, no shell. Without this command nothing is checked."`
	Reload   []string      `config:"reload" required:"true" doc:"Command that makes the daemon read the file, with exit code 0 if it did. It is run after each change, again while it fails, and once after keepcast has started. An argument list, no shell."`
	Verify   []string      `config:"observe" doc:"Command that prints the prefixes that the daemon announces, one on each line. Prefixes that keepcast does not manage are ignored. Without this command, what was last reloaded counts as announced. With it, keepcast also reloads a daemon that has lost its prefixes, by a restart say."`
	Timeout  time.Duration `config:"timeout" default:"10s" min:"100ms" doc:"How long each command may take. Then it is killed with all that it started."`

	opts driver.Options

	asked []driver.Route // what the last Apply asked for
	// inForce is what the last reload made the daemon read, nil while that is
	// not known. It is not kept on disk: after a crash between writing and
	// reloading, the file alone does not tell whether the daemon has it. So the
	// first Apply reloads once, which moves no route.
	inForce *rendered
	// unloaded: the last reload failed, so that the daemon has read the file or has not.
	unloaded bool
}

// rendered is a text, and the routes that are announced by it.
type rendered struct {
	text      []byte
	announced []driver.Route
	// futile is the difference for which alone the daemon was reloaded last. It is
	// not reloaded for the same one again, unless it has been right since.
	futile string
}

// Data is what a template is executed on. Fields are added to it, but
// none is changed or removed.
type Data struct {
	Interface string          `doc:"The interface that carries the addresses of services that name none."`
	Announced []snippet.Route `doc:"What is to be announced: sorted by prefix, each prefix once."`
	Routes    []snippet.Route `doc:"Every address and prefix that keepcast manages for this driver, sorted by prefix."`
}

func dataOf(s driver.State) Data {
	d := Data{Interface: s.Interface}
	all := slices.Clone(s.Routes)
	slices.SortFunc(all, func(a, b driver.Route) int { return a.Prefix.Compare(b.Prefix) })
	for _, r := range all {
		d.Routes = append(d.Routes, snippet.RouteOf(s, r))
	}
	for _, r := range s.Announced() {
		d.Announced = append(d.Announced, snippet.RouteOf(s, r))
	}
	return d
}

// commandOf is a command and the setting that gives it.
type commandOf struct {
	setting string
	argv    []string // empty: none
}

func (t *Driver) commands() []commandOf {
	return []commandOf{{"check", t.Check}, {"reload", t.Reload}, {"observe", t.Verify}}
}

// Validate renders the template on a made-up state, so that a typing error in
// it is found before it is needed.
func (t *Driver) Validate() error {
	var errs []error
	for _, path := range []struct{ name, value string }{{"template", t.Template}, {"output", t.Output}} {
		if !filepath.IsAbs(path.value) {
			errs = append(errs, fmt.Errorf("%s: %q is no absolute path", path.name, path.value))
		}
	}
	if t.Template == t.Output {
		errs = append(errs, errors.New("output: the template itself would be overwritten"))
	}
	for _, c := range t.commands() {
		if len(c.argv) > 0 && c.argv[0] == "" {
			errs = append(errs, fmt.Errorf("%s: the first word, the program, is empty", c.setting))
		}
	}
	if len(errs) == 0 {
		sample := driver.State{Interface: "anycast0", Routes: []driver.Route{
			{Prefix: netip.MustParsePrefix("192.0.2.53/32"), Service: "dns", Presence: driver.Announced, Degraded: true},
			{Prefix: netip.MustParsePrefix("2001:db8:53::53/128"), Service: "dns", Presence: driver.Announced},
			{Prefix: netip.MustParsePrefix("192.0.2.80/32"), Service: "web", Presence: driver.Delivered},
		}}
		if _, err := t.Render(sample); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Host returns the look at the programs of the commands: their paths, or why one can't be
// run.
func (t *Driver) Host() func() ([]string, error) { return t.look }

func (t *Driver) look() (programs []string, err error) {
	for _, c := range t.commands() {
		if len(c.argv) == 0 {
			continue
		}
		program, failed := child.Look("", c.argv[0])
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", c.setting, failed))
			continue
		}
		programs = append(programs, program)
	}
	return programs, err
}

// Places implements driver.Examiner.
func (t *Driver) Places() driver.Places {
	return driver.Places{Files: []string{t.Output}, Templates: []string{t.Template}}
}

// Examine implements driver.Examiner: all that can be told is whether the daemon can
// be asked.
func (t *Driver) Examine(ctx context.Context, _ driver.State) []driver.Finding {
	if _, err := t.Observe(ctx); err != nil {
		return []driver.Finding{driver.Unobserved(err)}
	}
	return nil
}

// Loadable implements driver.Renderer: any text will do.
func (t *Driver) Loadable([]byte) error { return nil }

// Close implements driver.Opener.
func (t *Driver) Close() error { return nil }

// Open implements driver.Opener.
func (t *Driver) Open(h driver.Options) { t.opts = h }

// Render executes the template, which is read anew each time.
func (t *Driver) Render(desired driver.State) ([]byte, error) {
	text, err := trust.ReadFile(t.Template)
	if err != nil {
		return nil, fmt.Errorf("reading the template: %w", err)
	}
	return templates.Execute(t.Template, string(text), dataOf(desired))
}

// Apply writes the file, has it checked and the daemon reloaded. It does
// nothing when the daemon has read just that text and the file still holds it.
//
// A check that fails puts the old file back. A reload that fails does not: the
// new file is good, and a daemon that is down reads it when it starts.
func (t *Driver) Apply(ctx context.Context, desired driver.State) error {
	t.asked = slices.Clone(desired.Routes)
	text, err := t.Render(desired)
	if err != nil {
		return err
	}
	changed, restore, err := snippet.Write(t.Output, text, snippet.Private)
	if err != nil {
		return err
	}
	lost := ""
	if !changed && t.holds(text) {
		t.inForce.announced = desired.Announced()
		if lost = t.differs(ctx, desired); lost == "" || lost == t.inForce.futile {
			t.inForce.futile = lost
			return nil
		}
		t.opts.Logger().Warn("daemon announces something else than it was given, reloading it", "difference", lost)
	}
	if len(t.Check) > 0 {
		if _, err := command(ctx, t.Timeout, t.Check); err != nil {
			return refused(err, changed, restore())
		}
	}
	t.inForce, t.unloaded = nil, true
	t.opts.Loaded()
	if _, err := command(ctx, t.Timeout, t.Reload); err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	t.inForce, t.unloaded = &rendered{text, desired.Announced(), lost}, false
	return nil
}

// refused words the error of a check, and what has become of the file.
func refused(err error, changed bool, restored error) error {
	switch {
	case !changed:
		return fmt.Errorf("check: %w (the file was there already and stays)", err)
	case restored != nil:
		return fmt.Errorf("check: %w (and the file that was there before is lost: %w)", err, restored)
	default:
		return fmt.Errorf("check: %w (the file that was there before is back)", err)
	}
}

// holds tells whether text is what the daemon has read.
func (t *Driver) holds(text []byte) bool {
	return t.inForce != nil && bytes.Equal(t.inForce.text, text)
}
