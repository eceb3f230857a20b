package frr

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/driver"
)

// What the drivers of FRR and of Quagga have in common: suites of daemons, each
// with a vty socket of its own.

// validSuite says what is wrong with the settings of such a driver.
func validSuite(directory, snippet string, daemons, drivable []string) error {
	var errs []error
	for _, path := range []struct{ setting, value string }{{"directory", directory}, {"snippet", snippet}} {
		if !filepath.IsAbs(path.value) {
			errs = append(errs, fmt.Errorf("%s: %q is not an absolute path", path.setting, path.value))
		}
	}
	known := strings.Join(drivable, ", ")
	if len(daemons) == 0 {
		errs = append(errs, errors.New("daemons: none given ("+known+")"))
	}
	for i, name := range daemons {
		if !slices.Contains(drivable, name) {
			errs = append(errs, fmt.Errorf("daemons: %q cannot be driven (%s can)", name, known))
		}
		if slices.Contains(daemons[:i], name) {
			errs = append(errs, fmt.Errorf("daemons: %q twice", name))
		}
	}
	return errors.Join(errs...)
}

// Loadable implements Loader.
func (f *FRR) Loadable(text []byte) error {
	sections, err := frrSections(frrTemplate, text)
	if err != nil {
		return err
	}
	return complete(frrTemplate, sections, f.Daemons)
}

// Loadable implements Loader. In isisd there is nothing to load.
func (q *Quagga) Loadable(text []byte) error {
	sections, err := quaggaSections(text)
	if err != nil {
		return err
	}
	return complete(quaggaTemplate, sections, slices.DeleteFunc(slices.Clone(q.Daemons), func(name string) bool { return name == "isisd" }))
}

// complete says that a template leaves the section of a daemon out.
func complete(template string, sections map[string]frrConfig, daemons []string) error {
	for _, name := range daemons {
		if _, err := sectionOf(template, sections, name); err != nil {
			return err
		}
	}
	return nil
}

// sectionOf returns the section of a daemon, which a template may leave out.
func sectionOf(template string, sections map[string]frrConfig, daemon string) (frrConfig, error) {
	section, ok := sections[daemon]
	if !ok {
		return section, fmt.Errorf("template %s: no section %q", template, frrSectionMark+daemon)
	}
	return section, nil
}

// sideBySide calls work for all at the same time and joins their errors, in the
// order of all.
func sideBySide[D any](all []D, work func(i int, d D) error) error {
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, d := range all {
		wg.Go(func() { errs[i] = work(i, d) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// breaking returns the findings that break announcing as an error, for Apply.
func breaking(found []driver.Finding) error {
	var errs []error
	for _, f := range found {
		if f.Level == driver.LevelError {
			errs = append(errs, f)
		}
	}
	return errors.Join(errs...)
}

// unreachable says that a daemon can't be asked: its unit has its log, the group
// is that of its socket, and start is what starts it.
func unreachable(daemon string, err error, unit, group, start string) driver.Finding {
	f := driver.Finding{Name: "daemon-unreachable", Level: driver.LevelError, Subject: daemon, Text: err.Error(), Fix: "look at the daemon's log: journalctl -u " + unit}
	switch {
	case errors.Is(err, fs.ErrPermission):
		f.Fix = "usermod -aG " + group + " keepcast && systemctl restart keepcast"
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ECONNREFUSED):
		f.Name, f.Fix = "daemon-down", start
	}
	return f
}

// badTemplate says that the operator's template can't be used.
func badTemplate(name string, err error) driver.Finding {
	return driver.Finding{Name: "template", Level: driver.LevelError, Subject: name, Text: err.Error(), Fix: "repair the template"}
}

// forDaemon returns the surroundings of one daemon: its log carries the name.
func forDaemon(o driver.Options, name string) driver.Options {
	o.Log = o.Logger().With("daemon", name)
	return o
}
