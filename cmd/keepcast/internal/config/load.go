package config

import (
	"fmt"
	"maps"
	"sync"

	"go.yaml.in/yaml/v3"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/driver/trust"
)

// loader gathers what is read and what is wrong with it.
type loader struct {
	files   []string
	where   positions
	faults  Faults
	faulty  map[string]bool // the paths of the faults, and of what is around them
	hung    map[string]bool // the settings whose file system did not answer
	stuck   bool            // that of what an entry needs did not, so no other is looked at
	offline bool            // the files that settings name are those of another host
	partial bool            // a file could not be read, and may have what is missing
	strict  bool            // what checks and drivers need of this host has to be there, too
}

func (l *loader) fault(path, format string, args ...any) {
	at := l.where.position(path)
	if at.File == "" {
		at.File = l.files[0]
	}
	l.add(Fault{at, path, fmt.Sprintf(format, args...)})
}

// lacks is fault for what is missing.
func (l *loader) lacks(path, format string, args ...any) {
	if !l.partial {
		l.fault(path, format, args...)
	}
}

// add notes a fault, and what it is a fault of.
func (l *loader) add(f Fault) {
	l.faults = append(l.faults, f)
	if l.faulty == nil {
		l.faulty = map[string]bool{}
	}
	for path := f.Path; path != ""; path = parent(path) {
		l.faulty[path] = true
	}
}

// Load reads the main file and the drop-ins, conf.d/*.yaml beside it, in the
// order of their names. A drop-in adds services, checks and drivers, or
// overrides settings of those with the same name. The error is a Faults with
// everything that is wrong with any file, or that of a file that can't be read.
func Load(mainFile string) (*Config, error) { return loadAll(mainFile, &loader{}) }

// LoadStrict is Load for whoever is there to be told: it also wants what Host looks at.
func LoadStrict(mainFile string) (*Config, error) { return loadAll(mainFile, &loader{strict: true}) }

// LoadOffline is Load where keepcast is not to run: it does not look at the files
// that settings name.
func LoadOffline(mainFile string) (*Config, error) {
	return loadAll(mainFile, &loader{offline: true})
}

// LoadSaved reads what Text has written: one file, without drop-ins.
func LoadSaved(path string) (*Config, error) {
	l := &loader{files: []string{path}, where: positions{}}
	return l.load()
}

func loadAll(mainFile string, l *loader) (*Config, error) {
	more, unread, err := dropIns(mainFile)
	if err != nil {
		return nil, err
	}
	l.files, l.where = append([]string{mainFile}, more...), positions{}
	if !l.offline {
		l.distrust("", trust.Directory(confD(mainFile)))
	}
	for _, f := range unread {
		l.add(f)
		l.partial = true
	}
	return l.load()
}

// load reads the files.
func (l *loader) load() (*Config, error) {
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
	if l.strict {
		l.host(c)
	}
	if len(l.faults) > 0 {
		return nil, l.faults.sorted(l.files)
	}
	c.Files, c.Text = l.files, sync.OnceValues(func() ([]byte, error) { return yaml.Marshal(raw) })
	return c, nil
}

// config decodes the merged files.
func (l *loader) config(raw map[string]any) *Config {
	raw = maps.Clone(raw)
	c := &Config{}
	var defaults health.Schedule
	inherited := l.group(raw, "defaults")
	l.decode("defaults", inherited, &defaults)
	inherited = l.sound("defaults", inherited)
	drivers, services, common := l.entries(raw, "drivers"), l.entries(raw, "services"), l.entries(raw, "checks")
	if list, _ := raw["services"].([]any); raw["services"] == nil || list != nil && len(list) == 0 {
		l.lacks("services", "no service is configured")
	}
	for _, list := range []string{"defaults", "drivers", "services", "checks"} {
		delete(raw, list)
	}
	l.decode("", raw, &c.Main)
	l.daemon(c.Main)
	policy := l.sound("", pick(raw, Settings(Policy{})))
	for i, entry := range common {
		c.Checks = append(c.Checks, l.check("checks["+entryID(entry, i)+"]", merge(inherited, entry)))
	}
	for i, entry := range drivers {
		c.Drivers = append(c.Drivers, l.driver("drivers["+entryID(entry, i)+"]", entry))
	}
	for i, entry := range services {
		path := "services[" + entryID(entry, i) + "]"
		c.Services = append(c.Services, l.service(path, merge(policy, entry), inherited, c.Checks))
	}
	l.across(c)
	return c
}

// sound returns the settings of a group with which nothing is wrong, for others to inherit:
// what is wrong with them is said once.
func (l *loader) sound(path string, group map[string]any) map[string]any {
	out := maps.Clone(group)
	maps.DeleteFunc(out, func(name string, _ any) bool { return l.faulty[join(path, name)] })
	return out
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
