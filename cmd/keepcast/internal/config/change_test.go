package config

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keepcast/keepcast/checks"
	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/driver/drivertest"
	"github.com/keepcast/keepcast/driver/kinds"
)

// What only a restart can change is refused, all of it at once.
func TestFixed(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"interface: changed from anycast0 to lo1":                                        func(c *Config) { c.Interface = "lo1" },
		"manage_addresses: changed from true to false":                                   func(c *Config) { c.ManageAddresses = false },
		"listen: changed from  to :9911":                                                 func(c *Config) { c.Listen = ":9911" },
		"control_socket: changed from  to /run/s":                                        func(c *Config) { c.ControlSocket = "/run/s" },
		"runtime_directory: changed from /run to /run/kc":                                func(c *Config) { c.RuntimeDir = "/run/kc" },
		"state_directory: changed from /var to /srv":                                     func(c *Config) { c.StateDir = "/srv" },
		"drain_directory: changed from  to /etc/drain.d":                                 func(c *Config) { c.DrainDir = "/etc/drain.d" },
		"template_directory: changed from  to /etc/templ":                                func(c *Config) { c.TemplateDir = "/etc/templ" },
		"listen: changed from  to :1\ndrain_directory: changed from  to /etc/keepcast/d": func(c *Config) { c.Listen, c.DrainDir = ":1", "/etc/keepcast/d" },
	} {
		old := &Config{}
		old.Interface, old.ManageAddresses, old.RuntimeDir, old.StateDir = "anycast0", true, "/run", "/var"
		cfg := *old
		if err := Fixed(old, &cfg); err != nil {
			t.Errorf("without a change: %v", err)
		}
		change(&cfg)
		const why = ", which takes a restart of keepcast"
		if got, want := drivertest.ErrText(Fixed(old, &cfg)), strings.ReplaceAll(name, "\n", why+"\n")+why; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if !TakesRestart(drivertest.ErrText(Fixed(old, &cfg))) {
			t.Errorf("%s: doctor would not say that it takes a restart", name)
		}
	}
	if TakesRestart("listen: text expected, got 5: write it in quotes") {
		t.Error("a fault of the files takes no restart")
	}
}

// group of settings of the declaration, and where it is written.
type written struct {
	name     string
	declared any
	into     func(settings map[string]any) map[string]any // a whole configuration with them
}

// everywhere returns every place of a configuration where settings are written.
func everywhere() []written {
	check := func(settings map[string]any) map[string]any {
		return wholeOf(nil, map[string]any{"checks": []any{merge(map[string]any{"name": "c", "kind": "exec"}, settings)}}, nil)
	}
	entry := func(settings map[string]any) map[string]any {
		return wholeOf(nil, nil, merge(map[string]any{"name": "d", "kind": "bird"}, settings))
	}
	all := []written{
		{"top level", Main{}, func(s map[string]any) map[string]any { return wholeOf(s, nil, nil) }},
		{"defaults", health.Schedule{}, func(s map[string]any) map[string]any { return wholeOf(map[string]any{"defaults": s}, nil, nil) }},
		{"service", Service{}, func(s map[string]any) map[string]any { return wholeOf(nil, s, nil) }},
		{"service", health.Schedule{}, func(s map[string]any) map[string]any { return wholeOf(nil, s, nil) }},
		{"check", Check{}, check},
		{"driver", Driver{}, entry},
	}
	for _, k := range checks.Kinds() {
		all = append(all, written{"check " + k.Name, k.New(), func(s map[string]any) map[string]any {
			return check(merge(map[string]any{"kind": k.Name}, s))
		}})
	}
	for _, k := range kinds.All() {
		all = append(all, written{"driver " + k.Name, k.New(), func(s map[string]any) map[string]any {
			return entry(merge(map[string]any{"kind": k.Name}, s))
		}})
	}
	return all
}

// wholeOf returns a configuration with a service and a driver, and the settings given.
func wholeOf(top, service, entry map[string]any) map[string]any {
	out := map[string]any{}
	maps.Copy(out, top)
	check := map[string]any{"name": "c", "kind": "exec", "command": []any{"x"}}
	out["services"] = []any{merge(map[string]any{"name": "s", "addresses": []any{"192.0.2.1"}, "checks": []any{check}}, service)}
	out["drivers"] = []any{merge(map[string]any{"name": "d", "kind": "bird"}, entry)}
	return out
}

// texts are values of settings whose texts have a syntax.
var texts = map[string]string{
	"address": "192.0.2.7", "address[/length]": "192.0.2.7", "prefix/length": "198.51.100.0/24", "address and port": "192.0.2.7:53",
	"community": "65001:7", "large community": "65001:7:7", "all, any or a number": "any", "record type": "AAAA", "class": "CH",
	"response code": "NXDOMAIN", "list of codes": "404", "routing protocol": "ospf",
}

// another returns a value of a setting that is not its default.
func another(s Setting) any {
	t := s.typ
	if t.Kind() == reflect.Pointer && t.String() != "*regexp.Regexp" {
		t = t.Elem()
	}
	value := func() any {
		switch {
		case len(s.Enum) > 0:
			i := slices.IndexFunc(s.Enum, func(e string) bool { return e != s.Default })
			return s.Enum[i]
		case t == durationType:
			return (7 * time.Second).String()
		case t.Kind() == reflect.Bool:
			return s.Default != "true"
		case t.Kind() == reflect.Float64:
			return 0.7
		case t.Kind() == reflect.Int, t.Kind() == reflect.Uint32:
			return 7
		case t.Kind() == reflect.Map:
			return map[string]any{"a": "b"}
		}
		if text := texts[strings.TrimPrefix(s.Type, "list of ")]; text != "" {
			return text
		}
		return "other"
	}()
	if t.Kind() == reflect.Slice && !isText(t) {
		return []any{value}
	}
	return value
}

// changed calls f with each setting, also those of groups, and with the setting written
// as another value.
func changed(settings []Setting, f func(s Setting, as map[string]any)) {
	for _, s := range settings {
		if s.Settings == nil {
			f(s, map[string]any{s.Name: another(s)})
			continue
		}
		changed(s.Settings, func(inner Setting, as map[string]any) {
			inner.Name, inner.Change = s.Name+"."+inner.Name, s.Change
			f(inner, map[string]any{s.Name: as})
		})
	}
}

// A changed on_stop was "in force" after a reload and did nothing: the list of what takes a
// restart was kept by hand, and whoever added a setting forgot it. So: each setting of the
// declaration, changed by a reload, is refused, or is in what the engine compares.
func TestEverySettingTakesEffect(t *testing.T) {
	decode := func(raw map[string]any) *Config {
		l := &loader{files: []string{"f"}, where: positions{}}
		return l.config(raw) // rules between settings do not matter here
	}
	own := Settings(Policy{}) // services inherit them
	n := 0
	for _, w := range everywhere() {
		before := decode(w.into(nil))
		changed(Settings(w.declared), func(s Setting, as map[string]any) {
			n++
			name := w.name + ": " + s.Name
			if s.Name == "kind" {
				return // settings of another kind stand beside it
			}
			after := decode(w.into(as))
			refused, compared := Fixed(before, after) != nil, !reflect.DeepEqual(inEngine(before), inEngine(after))
			topLevel := w.name == "top level"
			if _, inherited := find(own, strings.Split(s.Name, ".")[0]); topLevel && !inherited {
				if s.Change == "" {
					t.Errorf(`%s: say by a tag, change:"reload" or change:"restart", whether a reload puts it in force`, name)
				}
				// Who reads it anew is told by nothing but its test.
				compared = compared || s.Change == Reload
			}
			if refused != (s.Change == Restart) {
				t.Errorf("%s: refused by a reload: %t, but its tag is %q", name, refused, s.Change)
			}
			if !refused && !compared {
				t.Errorf("%s: a reload takes it, and nothing changes", name)
			}
		})
	}
	if n < 100 {
		t.Errorf("only %d settings were changed", n)
	}
}

// inEngine returns what the engine compares to tell what a reload changed.
func inEngine(c *Config) (compared []any) {
	for _, s := range c.Services {
		for _, check := range s.Checks {
			compared = append(compared, check.Raw)
		}
		s.Checks = nil
		compared = append(compared, s)
	}
	for _, d := range c.Drivers {
		compared = append(compared, d.Name, d.Raw)
	}
	return compared
}
