package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/keepcast/keepcast/checks"
	"github.com/keepcast/keepcast/driver/kinds"
	"github.com/keepcast/keepcast/driver/trust"
)

// loader gathers what is read and what is wrong with it.
type loader struct {
	files   []string
	where   positions
	faults  Faults
	offline bool // the files that settings name are those of another host
}

func (l *loader) fault(path, format string, args ...any) {
	at := l.where.position(path)
	if at.File == "" {
		at.File = l.files[0]
	}
	l.faults = append(l.faults, Fault{at, path, fmt.Sprintf(format, args...)})
}

// Load reads the main file and the drop-ins, conf.d/*.yaml beside it, in the
// order of their names. A drop-in adds services, checks and drivers, or
// overrides settings of those with the same name. The error is a Faults with
// everything that is wrong with any file, or that of a file that can't be read.
func Load(mainFile string) (*Config, error) { return loadFiles(mainFile, false) }

// LoadOffline is Load where keepcast is not to run: it does not look at the files
// that settings name.
func LoadOffline(mainFile string) (*Config, error) { return loadFiles(mainFile, true) }

func loadFiles(mainFile string, offline bool) (*Config, error) {
	more, misnamed, err := dropIns(mainFile)
	if err != nil {
		return nil, err
	}
	l := &loader{files: append([]string{mainFile}, more...), where: positions{}, offline: offline}
	if !offline {
		l.distrust("", trust.Directory(confD(mainFile)))
	}
	for _, path := range misnamed {
		text := fmt.Sprintf("is not read: drop-ins are *.yaml, so rename it to %s.yaml", strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)))
		l.faults = append(l.faults, Fault{At: Position{File: path}, Text: text})
	}
	raw := map[string]any{}
	for _, path := range l.files {
		f, err := l.read(path)
		if err != nil {
			return nil, err
		}
		raw = merge(raw, f.raw)
	}
	if len(l.faults) > 0 && len(raw) == 0 {
		return nil, l.faults.sorted(l.files)
	}
	c := l.config(raw)
	if len(l.faults) > 0 {
		return nil, l.faults.sorted(l.files)
	}
	c.Files, c.merged, c.where = l.files, raw, l.where
	return c, nil
}

// config decodes the merged files.
func (l *loader) config(raw map[string]any) *Config {
	raw = maps.Clone(raw)
	c := &Config{}
	var defaults checks.Schedule
	inherited := l.group(raw, "defaults")
	if !l.clean(func() { l.decode("defaults", inherited, &defaults) }) {
		inherited = nil // what is wrong with them is said once, not for every check
	}
	drivers, services := l.entries(raw, "drivers"), l.entries(raw, "services")
	if list, _ := raw["services"].([]any); raw["services"] == nil || list != nil && len(list) == 0 {
		l.fault("services", "no service is configured")
	}
	for _, list := range []string{"defaults", "drivers", "services"} {
		delete(raw, list)
	}
	policy := pick(raw, Settings(Policy{}))
	if l.clean(func() { l.decode("", raw, &c.Main) }) {
		l.daemon(c.Main)
	} else {
		policy = nil
	}
	for i, entry := range drivers {
		c.Drivers = append(c.Drivers, l.driver("drivers["+entryID(entry, i)+"]", entry))
	}
	for i, entry := range services {
		path := "services[" + entryID(entry, i) + "]"
		c.Services = append(c.Services, l.service(path, merge(policy, entry), inherited))
	}
	l.across(c)
	return c
}

// clean runs f and reports whether it found no fault.
func (l *loader) clean(f func()) bool {
	before := len(l.faults)
	f()
	return len(l.faults) == before
}

// group takes a group of settings out of raw.
func (l *loader) group(raw map[string]any, name string) map[string]any {
	m, ok := raw[name].(map[string]any)
	if !ok && raw[name] != nil {
		l.fault(name, "a group of settings expected, got %s", show(raw[name]))
	}
	return m
}

// entries takes a list of groups out of raw.
func (l *loader) entries(raw map[string]any, name string) []map[string]any {
	return l.entriesAt(name, raw[name])
}

func (l *loader) entriesAt(path string, value any) []map[string]any {
	list, ok := value.([]any)
	if !ok {
		if value != nil {
			l.fault(path, "a list of settings (- name: ...) expected, got %s", show(value))
		}
		return nil
	}
	var out []map[string]any
	for i, entry := range list {
		m, ok := entry.(map[string]any)
		if !ok {
			l.fault(fmt.Sprintf("%s[%d]", path, i), "settings (name: value) expected, got %s", show(entry))
			continue
		}
		out = append(out, m)
	}
	return out
}

// kernelName is what the reconciler calls its own driver.
const kernelName = "kernel"

func (l *loader) driver(path string, raw map[string]any) Driver {
	d := Driver{Raw: raw}
	kind, err := kinds.ByName(kindOf(raw))
	if err != nil {
		l.unknownKind(path, raw, err)
		return d
	}
	d.Driver, d.Traits = kind.New(), kind.Traits
	l.kinded(path, raw, &d.Name, &d, d.Driver)
	if d.Name == kernelName {
		l.fault(join(path, "name"), "%q is what logs, metrics and status call the addresses that keepcast keeps in the kernel: take another name", d.Name)
	}
	return d
}

func (l *loader) service(path string, raw, defaults map[string]any) Service {
	s := Service{Raw: raw}
	// What a service says of schedules is meant for its checks.
	schedule := Settings(checks.Schedule{})
	defaults = merge(defaults, pick(raw, schedule))
	own := maps.Clone(raw)
	delete(own, "checks")
	var forChecks checks.Schedule
	if l.clean(func() { l.decode(path, own, &s, &forChecks) }) {
		l.announcesAny(path, s, raw["addresses"] != nil)
	} else {
		defaults = nil
	}
	l.name(path, s.Name)
	valid := l.clean(func() {
		for i, entry := range l.entriesAt(join(path, "checks"), raw["checks"]) {
			at := join(path, "checks") + "[" + entryID(entry, i) + "]"
			s.Checks = append(s.Checks, l.check(at, merge(defaults, entry)))
		}
	})
	if valid {
		l.required(path, s)
	}
	return s
}

// announcesAny checks that the service has something to announce.
func (l *loader) announcesAny(path string, s Service, written bool) {
	switch {
	case len(s.Addresses)+len(s.Prefixes) > 0:
	case written:
		l.fault(join(path, "addresses"), "required, but the list is empty")
	default:
		l.fault(join(path, "addresses"), "required, but missing: a service has addresses, prefixes, or both")
	}
}

// required checks that the service can be fit and unfit at all.
func (l *loader) required(path string, s Service) {
	if len(s.Checks) == 0 {
		l.fault(join(path, "checks"), "required, but missing: without a check the service could never be announced")
		return
	}
	withdrawing := 0
	for _, c := range s.Checks {
		if !c.Degrades() {
			withdrawing++
		}
	}
	switch need := s.Require.Needed(withdrawing); {
	case withdrawing == 0:
		l.fault(join(path, "checks"), "no check withdraws the service when it fails: add one, or leave out on_failure: degrade")
	case need > withdrawing:
		l.fault(join(path, "require"), "%d checks required, but only %d with on_failure: withdraw", need, withdrawing)
	}
}

func (l *loader) check(path string, raw map[string]any) Check {
	c := Check{Raw: raw}
	kind, err := checks.KindByName(kindOf(raw))
	if err != nil {
		l.unknownKind(path, raw, err)
		return c
	}
	c.Checker = kind.New()
	l.kinded(path, raw, &c.Name, &c, c.Checker)
	return c
}

// kinded decodes an entry into what all kinds have in common and what its own
// kind has, which may have rules between its settings.
func (l *loader) kinded(path string, raw map[string]any, name *string, common, own any) {
	valid := l.clean(func() { l.decode(path, raw, common, own) })
	if *name == "" {
		*name = kindOf(raw)
	}
	l.name(path, *name)
	if v, ok := own.(interface{ Validate() error }); ok && valid {
		if err := v.Validate(); err != nil && !l.elsewhere(err) {
			l.fault(path, "%v", err)
		}
	}
}

// elsewhere reports whether an error is about a file that is not for this host.
func (l *loader) elsewhere(err error) bool {
	_, distrusted := errors.AsType[trust.Violations](err)
	return l.offline && (distrusted || errors.Is(err, fs.ErrNotExist))
}

func kindOf(raw map[string]any) string {
	kind, _ := raw["kind"].(string)
	return kind
}

func (l *loader) unknownKind(path string, raw map[string]any, err error) {
	if raw["kind"] == nil {
		l.fault(join(path, "kind"), "required, but missing")
		return
	}
	l.fault(join(path, "kind"), "%v", err)
}

// names are what may end up in a BIRD or FRR file.
var names = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)

// maxName is what the name of a file may have (NAME_MAX).
const maxName = 255

func (l *loader) name(path, name string) {
	switch {
	case name == "":
	case !names.MatchString(name):
		l.fault(join(path, "name"), "%q is no name: letters, digits, '.', '-' and '_' only, beginning with a letter or digit", name)
	case len(name) > maxName:
		l.fault(join(path, "name"), "%d letters are too many: %d at most, for a file of that name drains the service", len(name), maxName)
	}
}

// pick returns the entries of raw that the settings declare.
func pick(raw map[string]any, settings []Setting) map[string]any {
	out := map[string]any{}
	for _, s := range settings {
		if v, ok := raw[s.Name]; ok {
			out[s.Name] = v
		}
	}
	return out
}

// Defaults returns a configuration with no service and no driver, in which every
// setting has its default.
func Defaults() *Config {
	l := &loader{files: []string{""}, where: positions{}}
	c := &Config{}
	l.decode("", nil, &c.Main)
	return c
}
