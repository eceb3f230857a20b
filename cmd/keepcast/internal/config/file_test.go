package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// The files are read in the order of their names, the main file first; editors leave
// others beside them.
func TestDropInOrder(t *testing.T) {
	main := files(t, minimal+`linger: 1s
-- conf.d/b.yaml --
linger: 3s
-- conf.d/a.yaml --
linger: 2s
hold_down: 1s
-- conf.d/.c.yaml --
linger: 4s
-- conf.d/d.yaml~ --
linger: 5s
`)
	c, err := Load(main)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(main)
	if d := cmp.Diff([]string{main, dir + "/conf.d/a.yaml", dir + "/conf.d/b.yaml"}, c.Files); d != "" {
		t.Error(d)
	}
	if got := c.Linger.String() + " " + c.HoldDown.String(); got != "3s 1s" {
		t.Errorf("got %s", got)
	}
}

// What can't be read is no fault of the configuration: the exit code differs.
func TestUnreadable(t *testing.T) {
	for name, tt := range map[string]struct {
		prepare func(t *testing.T, dir string)
		want    string
	}{
		"nothing there": {
			func(*testing.T, string) {},
			"configuration: open DIR/keepcast.yaml: no such file or directory: write one (docs/tutorial.md shows how), or name another with --config",
		},
		"a directory": {
			func(t *testing.T, dir string) { mkdir(t, dir+"/keepcast.yaml") },
			"configuration: read DIR/keepcast.yaml: is a directory",
		},
		"conf.d is a file": {
			func(t *testing.T, dir string) { drivertest.WriteFile(t, dir+"/conf.d", "") },
			"drop-ins: open DIR/conf.d: not a directory",
		},
		"a drop-in is a directory": {
			func(t *testing.T, dir string) {
				drivertest.WriteFile(t, dir+"/keepcast.yaml", minimal)
				mkdir(t, dir+"/conf.d/x.yaml")
			},
			"configuration: read DIR/conf.d/x.yaml: is a directory",
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			tt.prepare(t, dir)
			for how, load := range map[string]func(string) (*Config, error){"here": Load, "offline": LoadOffline} {
				c, err := load(dir + "/keepcast.yaml")
				if got := strings.ReplaceAll(drivertest.ErrText(err), dir, "DIR"); got != tt.want || c != nil {
					t.Errorf("%s:\ngot  %s\nwant %s", how, got, tt.want)
				}
			}
		})
	}
}

func mkdir(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
}

// A drop-in overrides setting by setting, and an entry of a list by its name.
func TestMerge(t *testing.T) {
	for name, tt := range map[string]struct{ first, then, want string }{
		"settings":               {"{a: 1, b: 2}", "{b: 3, c: 4}", "{a: 1, b: 3, c: 4}"},
		"a group":                {"{g: {a: 1, b: 2}}", "{g: {b: 3}}", "{g: {a: 1, b: 3}}"},
		"a group for a value":    {"{g: 1}", "{g: {b: 3}}", "{g: {b: 3}}"},
		"a value for a group":    {"{g: {b: 3}}", "{g: 1}", "{g: 1}"},
		"an entry by its name":   {"{l: [{name: a, x: 1, y: 1}, {name: b}]}", "{l: [{name: a, x: 2}]}", "{l: [{name: a, x: 2, y: 1}, {name: b}]}"},
		"an entry by its kind":   {"{l: [{kind: a, x: 1}]}", "{l: [{kind: a, y: 2}]}", "{l: [{kind: a, x: 1, y: 2}]}"},
		"the name before":        {"{l: [{name: a, kind: k}]}", "{l: [{kind: k, x: 1}]}", "{l: [{name: a, kind: k}, {kind: k, x: 1}]}"},
		"a new entry":            {"{l: [{name: a}]}", "{l: [{name: b}]}", "{l: [{name: a}, {name: b}]}"},
		"deep inside":            {"{l: [{name: a, m: [{name: c, x: 1}]}]}", "{l: [{name: a, m: [{name: c, x: 2}, {name: d}]}]}", "{l: [{name: a, m: [{name: c, x: 2}, {name: d}]}]}"},
		"entries without a name": {"{l: [{name: '1'}, {x: 1}]}", "{l: [{y: 2}, {z: 3}]}", "{l: [{name: '1'}, {x: 1}, {y: 2}, {z: 3}]}"},
		"one without a name":     {"{l: [{x: 1}]}", "{l: [{y: 2}]}", "{l: [{x: 1}, {y: 2}]}"},
		"a list of values":       {"{l: [a, b]}", "{l: [c]}", "{l: [c]}"},
		"an empty list":          {"{l: [{name: a}]}", "{l: []}", "{l: []}"},
		"for an empty list":      {"{l: []}", "{l: [{name: a}]}", "{l: [{name: a}]}"},
		"for a list of values":   {"{l: [a]}", "{l: [{name: a}]}", "{l: [{name: a}]}"},
		"nothing":                {"{a: 1}", "{}", "{a: 1}"},
	} {
		t.Run(name, func(t *testing.T) {
			first := mapping(t, tt.first)
			if d := cmp.Diff(mapping(t, tt.want), merge(first, mapping(t, tt.then))); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(mapping(t, tt.first), first); d != "" {
				t.Errorf("the first was changed: %s", d)
			}
		})
	}
}

func mapping(t *testing.T, text string) map[string]any {
	t.Helper()
	var out map[string]any
	if err := yaml.Unmarshal([]byte(text), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// A fault is where what it is about was written: the nearest thing that was.
func TestPosition(t *testing.T) {
	p := positions{
		"services":               {"a.yaml", 1, 1},
		"services[a.b]":          {"a.yaml", 2, 3},
		"services[a.b].checks":   {"a.yaml", 3, 5},
		"services[a.b].linger":   {"b.yaml", 4, 5},
		"services[a.b].degraded": {"b.yaml", 5, 5},
	}
	for path, want := range map[string]string{
		"services[a.b].linger":         "b.yaml:4:5",
		"services[A.B].Linger":         "b.yaml:4:5",
		"services[a.b].checks[0]":      "a.yaml:3:5",
		"services[a.b].checks[0].kind": "a.yaml:3:5",
		"services[a.b].degraded.med":   "b.yaml:5:5",
		"services[a.b].addresses":      "a.yaml:2:3",
		"services[c]":                  "a.yaml:1:1",
		"services[c].checks[d.e].fall": "a.yaml:1:1",
		"listen":                       "",
		"drivers[x]":                   "",
	} {
		if got := p.position(path).String(); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
}

// A drop-in that ended in .yml and whatever stood after --- were dropped without a word:
// the service in it was never announced, and validate said valid.
func TestNothingIsDropped(t *testing.T) {
	const second = "a second document begins here (after ---), which is not read: have it in a file of its own, conf.d/NAME.yaml"
	for text, want := range map[string]string{
		minimal + "-- conf.d/web.yml --\n" + minimal:                "DIR/conf.d/web.yml: is not read: drop-ins are *.yaml, so rename it to web.yaml",
		minimal + "-- conf.d/web.v2.YML --\n":                       "DIR/conf.d/web.v2.YML: is not read: drop-ins are *.yaml, so rename it to web.v2.yaml",
		minimal + "-- conf.d/web.YAML --\n":                         "DIR/conf.d/web.YAML: is not read: drop-ins are *.yaml, so rename it to web.yaml",
		minimal + "---\nlinger: 1s\n":                               "DIR/keepcast.yaml:3:1: " + second,
		"---\n---\n" + minimal:                                      "DIR/keepcast.yaml:3:1: " + second,
		minimal + "---\n---\n# more\nlinger: 1s\n":                  "DIR/keepcast.yaml:5:1: " + second,
		minimal + "---\nlinger: [\n":                                "DIR/keepcast.yaml:3:1: did not find expected node content",
		minimal + "-- conf.d/a.yaml --\nlinger: 1s\n---\nfall: 1\n": "DIR/conf.d/a.yaml:3:1: " + second,
		"---\n" + minimal + "...\n":                                 "",
		minimal + "---\n# nothing\n":                                "",
		minimal + "-- conf.d/web.yaml.bak --\n-- conf.d/web.yaml.disabled --\n-- conf.d/.web.yml --\n-- conf.d/README --\n": "",
	} {
		main := files(t, text)
		_, err := Load(main)
		if got := strings.ReplaceAll(drivertest.ErrText(err), filepath.Dir(main), "DIR"); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", text, got, want)
		}
	}
}
