package config

import (
	"net/netip"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/checks"
	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/driver/community"
	"github.com/keepcast/keepcast/driver/kinds"
)

// specimenTable is what an operator reads of a specimen.
const specimenTable = "| setting | type | default | meaning |\n|---|---|---|---|\n" +
	"| `on` | true or false | `true` | A truth. |\n" +
	"| `count` | whole number | `3` | A number. From 1 to 9. |\n" +
	"| `metric` | whole number |  | A number from 0. At most 16777214. |\n" +
	"| `share` | number | `0.5` | A part. From 0 to 1. |\n" +
	"| `mode` | text | `one` | One \\| both. One of `one`, `both`. |\n" +
	"| `version` | text | `2c` | Digits. One of `2c`, `3`, `1.0`. |\n" +
	"| `wait` | duration | `2s` | A time. At least 1s. |\n" +
	"| `server` | address | **required** | An address. |\n" +
	"| `connect` | address and port |  | With a port. |\n" +
	"| `body` | regular expression |  | An expression. |\n" +
	"| `med` | whole number |  | One that can be left out. |\n" +
	"| `daemons` | list of text | `a,b` | Some. One of `a`, `b`, `c`. |\n" +
	"| `prefixes` | list of prefix/length | **required** | Some prefixes. |\n" +
	"| `headers` | map of text |  | By their names. |\n" +
	"| `require` | all, any or a number | `all` | How many. |\n" +
	"| `worse` | group of settings | `{cost: 7}` | How it is otherwise. |\n" +
	"| `worse.cost` | whole number | `1` | What it costs. At least 0. |\n" +
	"| `worse.path` | text |  | Where. |\n"

// restarting declares a setting that only a restart puts in force, beside others.
type restarting struct {
	Listen string `config:"listen" change:"restart" doc:"Where."`
	Level  string `config:"level" default:"info" change:"reload" doc:"How much."`
	Worse  group  `config:"worse" doc:"How it is otherwise."`
}

const restartingTable = "| setting | type | default | takes effect by | meaning |\n|---|---|---|---|---|\n" +
	"| `listen` | text |  | restart | Where. |\n" +
	"| `level` | text | `info` | reload | How much. |\n" +
	"| `worse` | group of settings |  | reload | How it is otherwise. |\n" +
	"| `worse.cost` | whole number | `1` | reload | What it costs. At least 0. |\n" +
	"| `worse.path` | text |  | reload | Where. |\n"

func TestSection(t *testing.T) {
	for name, tt := range map[string]struct {
		doc      string
		settings []Setting
		want     string
	}{
		"whole":       {"What it is.", Settings(specimen{}), "\n### Title\n\nWhat it is.\n\n" + specimenTable},
		"no text":     {"", Settings(specimen{}), "\n### Title\n\n" + specimenTable},
		"a restart":   {"", Settings(restarting{}), "\n### Title\n\n" + restartingTable},
		"no settings": {"What it is.", nil, "\n### Title\n\nWhat it is.\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			section(&b, 3, "Title", tt.doc, tt.settings)
			if d := cmp.Diff(tt.want, b.String()); d != "" {
				t.Error(d)
			}
		})
	}
}

// The page has everything that can be written, and an example of each kind.
func TestReference(t *testing.T) {
	page := Reference()
	var want []string
	add := func(of, text string) {
		if !strings.Contains(page, text) {
			t.Errorf("%s is not on the page: %s", of, text)
		}
	}
	want = append(want, "# Configuration reference", "## Top level", "## defaults", "## services[]", "## checks[]", "## services[].checks[] with use", "## services[].checks[]")
	for _, k := range checks.Kinds() {
		want = append(want, "### kind: "+k.Name)
		atOnce := "Seen by the next run: every failure."
		if k.AtOnce != "" {
			atOnce = "Seen at once: " + k.AtOnce + ". Every other failure: by the next run."
		}
		if k.Counted {
			atOnce = strings.Replace(atOnce, k.AtOnce, k.AtOnce+", and counted up to `fall` at `fast_interval`", 1)
		}
		add("check "+k.Name, k.Doc+"\n\n"+atOnce+"\n\n```yaml\n- kind: "+k.Name+"\n  "+strings.Split(k.Example, "\n")[0]+"\n")
		add("check "+k.Name, "| `"+Settings(k.New())[0].Name+"` | ")
	}
	want = append(want, "## drivers[]")
	for _, k := range kinds.All() {
		want = append(want, "### kind: "+k.Name)
		add("driver "+k.Name, k.Doc+"\n\n```yaml\n- kind: "+k.Name+"\n  "+strings.Split(k.Example, "\n")[0]+"\n")
		add("driver "+k.Name, "| `"+Settings(k.New())[0].Name+"` | ")
	}
	if d := cmp.Diff(want, regexp.MustCompile("(?m)^#+ .*").FindAllString(page, -1)); d != "" {
		t.Error(d)
	}
	for of, s := range map[string]any{"top level": Main{}, "defaults": health.Schedule{}, "service": Service{}, "check": Check{}, "use": Use{}, "driver": Driver{}} {
		for _, s := range Settings(s) {
			add(of, "| `"+s.Name+"` | "+s.Type+" | ")
		}
	}
}

// templateData is what a template is given.
type templateData struct {
	Embedded
	Interface string     `doc:"The name."`
	Maybe     *uint32    `doc:"A number, or none."`
	Open      bool       `doc:"Whether."`
	Routes    []row      `doc:"All of them."`
	Deleted   []*row     `doc:"Those that go."`
	Address   netip.Addr `doc:"One."`
	Hidden    hidden     // has no doc
	Others    [][]string `doc:"Lists."`
}

// Embedded lends its fields.
type Embedded struct {
	Name string `doc:"Who."`
}

type row struct {
	Prefix      netip.Prefix         `doc:"What."`
	Communities []community.Standard `doc:"With what."`
	Next        *row                 `doc:"The one after."`
	Ports       port                 `doc:"Where."`
}

type port struct {
	Number int `doc:"Its number."`
}

type hidden struct {
	Secret string `doc:"Nobody sees it."`
}

func TestTemplateFields(t *testing.T) {
	const head = "\n| field | type | meaning |\n|---|---|---|\n"
	want := head +
		"| `.Name` | text | Who. |\n" +
		"| `.Interface` | text | The name. |\n" +
		"| `.Maybe` | number or nil | A number, or none. |\n" +
		"| `.Open` | true or false | Whether. |\n" +
		"| `.Routes` | list of fields | All of them. |\n" +
		"| `.Deleted` | list of fields | Those that go. |\n" +
		"| `.Address` | address | One. |\n" +
		"| `.Others` | list of list of text | Lists. |\n" +
		"\nEach of `.Routes`, `.Deleted`, `.Next`:\n" + head +
		"| `.Prefix` | prefix | What. |\n" +
		"| `.Communities` | list of community | With what. |\n" +
		"| `.Next` | fields | The one after. |\n" +
		"| `.Ports` | fields | Where. |\n" +
		"\nEach of `.Ports`:\n" + head +
		"| `.Number` | number | Its number. |\n"
	var b strings.Builder
	describeAll(&b, reflect.TypeFor[templateData]())
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Error(d)
	}
}

// Whoever writes a template of their own finds there what it is given.
func TestTemplateReference(t *testing.T) {
	page := TemplateReference()
	want := []string{"# Template reference"}
	for _, k := range kinds.All() {
		if k.Template.Name != "" {
			want = append(want, "## "+k.Template.Name)
		}
	}
	if d := cmp.Diff(want, regexp.MustCompile("(?m)^#+ .*").FindAllString(page, -1)); d != "" || len(want) < 3 {
		t.Error(d)
	}
	for _, text := range []string{"| `.Routes` | list of fields | ", "| `.Prefix` | prefix | ", "| `.MED` | number or nil | "} {
		if !strings.Contains(page, text) {
			t.Errorf("the page lacks %s", text)
		}
	}
}
