package frr

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/frr/vty"
	"github.com/keepcast/keepcast/driver/pace"
	"github.com/keepcast/keepcast/driver/snippet"
)

// settings are those of a suite, whatever the documentation of them says.
type settings struct {
	directory, snippet string
	daemons            []string
	timeout            time.Duration
	as                 uint32 // 0: not set, or not needed
}

// suite drives the daemons of one FRR or one Quagga. Each daemon gets its section of
// the snippet as the difference to what it runs, over a connection of its own, so that
// one that is down or hangs does not keep the others from theirs.
type suite struct {
	dialect  *dialect
	settings func() settings
	opts     driver.Options

	made     []*daemon         // nil before the first use
	asked    driver.State      // of the last Apply
	sections map[string]config // of the last Apply, by daemon
}

// Validate implements driver.Validator.
func (s *suite) Validate() error {
	set := s.settings()
	var errs []error
	for _, path := range []struct{ setting, value string }{{"directory", set.directory}, {"snippet", set.snippet}} {
		if !filepath.IsAbs(path.value) {
			errs = append(errs, fmt.Errorf("%s: %q is not an absolute path", path.setting, path.value))
		}
	}
	drivable := s.dialect.names()
	known := strings.Join(drivable, ", ")
	if len(set.daemons) == 0 {
		errs = append(errs, errors.New("daemons: none given ("+known+")"))
	}
	for i, name := range set.daemons {
		if !slices.Contains(drivable, name) {
			errs = append(errs, fmt.Errorf("daemons: %q cannot be driven (%s can)", name, known))
		}
		if slices.Contains(set.daemons[:i], name) {
			errs = append(errs, fmt.Errorf("daemons: %q twice", name))
		}
	}
	return errors.Join(errs...)
}

// Open implements driver.Opener.
func (s *suite) Open(o driver.Options) { s.opts = o }

// Close implements driver.Opener.
func (s *suite) Close() error {
	return s.each(func(_ int, d *daemon) error { return d.close() })
}

// Places implements driver.Examiner.
func (s *suite) Places() driver.Places {
	out := driver.Places{Files: []string{s.settings().snippet}}
	for _, name := range s.settings().daemons {
		out.Sockets = append(out.Sockets, s.client(name).Path)
	}
	return out
}

// Render implements driver.Renderer.
func (s *suite) Render(desired driver.State) ([]byte, error) {
	return s.dialect.render(s.settings(), s.opts.Templates, desired)
}

// Loadable implements driver.Renderer.
func (s *suite) Loadable(text []byte) error {
	sections, err := s.dialect.parseSections(text)
	if err != nil {
		return err
	}
	for _, name := range s.settings().daemons {
		if _, err := s.dialect.section(sections, s.dialect.spec(name)); err != nil {
			return err
		}
	}
	return nil
}

// Apply implements driver.Driver.
func (s *suite) Apply(ctx context.Context, desired driver.State) error {
	text, err := s.Render(desired)
	if err != nil {
		return err
	}
	sections, err := s.dialect.parseSections(text)
	if err != nil {
		return err
	}
	var errs []error
	// A full disk must not keep a gate open: the daemons get theirs anyway.
	if _, _, err := snippet.Write(s.settings().snippet, text, snippet.Public); err != nil {
		errs = append(errs, fmt.Errorf("snippet: %w", err))
	}
	s.asked, s.sections = desired, sections
	m, err := s.managed(desired)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	return errors.Join(append(errs, s.each(func(_ int, d *daemon) error {
		section, err := s.dialect.section(sections, d.spec)
		if err != nil {
			return err
		}
		return d.apply(ctx, section, desired, m)
	}))...)
}

// each calls work for all daemons at the same time and joins their errors, in the order
// of the setting.
func (s *suite) each(work func(i int, d *daemon) error) error {
	return pace.SideBySide(s.daemons(), work)
}

// daemons returns the daemons, which are made at the first use.
func (s *suite) daemons() []*daemon {
	if s.made == nil {
		for _, name := range s.settings().daemons {
			s.made = append(s.made, s.daemon(name))
		}
	}
	return s.made
}

// daemon returns a daemon that is not connected yet.
func (s *suite) daemon(name string) *daemon {
	opts := s.opts
	opts.Log = opts.Logger().With("daemon", name)
	spec := s.dialect.spec(name)
	zebra := s.client(zebraName)
	zebra.Timeout = min(zebra.Timeout, zebraTimeout)
	return &daemon{
		spec: spec, dialect: s.dialect, opts: opts, as: s.settings().as, vty: s.client(name), mgmtd: s.client(mgmtdName), zebra: zebra,
		pending: make([]bool, len(spec.effects)),
	}
}

// client returns a client of a daemon that is not connected yet.
func (s *suite) client(daemon string) vty.Client {
	set := s.settings()
	return vty.Client{Daemon: daemon, Path: filepath.Join(set.directory, daemon+".vty"), Timeout: set.timeout, Group: s.dialect.group}
}
