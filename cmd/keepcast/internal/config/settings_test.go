package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/keepcast/keepcast/checks"
	"github.com/keepcast/keepcast/driver/kinds"
)

// specimen declares a setting of each type.
type specimen struct {
	On       bool              `config:"on" default:"true" doc:"A truth."`
	Count    int               `config:"count" default:"3" min:"1" max:"9" doc:"A number."`
	Metric   uint32            `config:"metric" max:"16777214" doc:"A number from 0."`
	Share    float64           `config:"share" default:"0.5" min:"0" max:"1" doc:"A part."`
	Mode     string            `config:"mode" default:"one" enum:"one|both" doc:"One | both."`
	Version  string            `config:"version" default:"2c" enum:"2c|3|1.0" doc:"Digits."`
	Wait     time.Duration     `config:"wait" default:"2s" min:"1s" doc:"A time."`
	Server   netip.Addr        `config:"server" required:"true" doc:"An address."`
	Connect  netip.AddrPort    `config:"connect" doc:"With a port."`
	Body     *regexp.Regexp    `config:"body" doc:"An expression."`
	MED      *uint32           `config:"med" doc:"One that can be left out."`
	Daemons  []string          `config:"daemons" default:"a,b" enum:"a|b|c" doc:"Some."`
	Prefixes []Prefix          `config:"prefixes" required:"true" doc:"Some prefixes."`
	Headers  map[string]string `config:"headers" doc:"By their names."`
	Attributes
	Worse group `config:"worse" default:"{cost: 7}" doc:"How it is otherwise."`
	State int   // of the program, no setting
}

// Attributes is embedded: its settings are those of the struct around it.
type Attributes struct {
	Require Require `config:"require" default:"all" doc:"How many."`
}

type group struct {
	Cost int    `config:"cost" default:"1" min:"0" doc:"What it costs."`
	Path string `config:"path" doc:"Where."`
}

func TestSettings(t *testing.T) {
	want := []Setting{
		{Name: "on", Type: "true or false", Default: "true", Doc: "A truth."},
		{Name: "count", Type: "whole number", Default: "3", Min: "1", Max: "9", Doc: "A number."},
		{Name: "metric", Type: "whole number", Max: "16777214", Doc: "A number from 0."},
		{Name: "share", Type: "number", Default: "0.5", Min: "0", Max: "1", Doc: "A part."},
		{Name: "mode", Type: "text", Default: "one", Enum: []string{"one", "both"}, Doc: "One | both."},
		{Name: "version", Type: "text", Default: "2c", Enum: []string{"2c", "3", "1.0"}, Doc: "Digits."},
		{Name: "wait", Type: "duration", Default: "2s", Min: "1s", Doc: "A time."},
		{Name: "server", Type: "address", Required: true, Doc: "An address."},
		{Name: "connect", Type: "address and port", Doc: "With a port."},
		{Name: "body", Type: "regular expression", Doc: "An expression."},
		{Name: "med", Type: "whole number", Doc: "One that can be left out."},
		{Name: "daemons", Type: "list of text", Default: "a,b", Enum: []string{"a", "b", "c"}, Doc: "Some."},
		{Name: "prefixes", Type: "list of prefix/length", Required: true, Doc: "Some prefixes."},
		{Name: "headers", Type: "map of text", Doc: "By their names."},
		{Name: "require", Type: "all, any or a number", Default: "all", Doc: "How many."},
		{Name: "worse", Type: "group of settings", Default: "{cost: 7}", Doc: "How it is otherwise.", Settings: []Setting{
			{Name: "cost", Type: "whole number", Default: "1", Min: "0", Doc: "What it costs."},
			{Name: "path", Type: "text", Doc: "Where."},
		}},
	}
	for name, v := range map[string]any{"a struct": specimen{}, "a pointer": &specimen{}} {
		if d := cmp.Diff(want, Settings(v), cmpopts.IgnoreUnexported(Setting{})); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

// A declaration that can't be meant ends the program at once, and so never leaves the
// tests of who wrote it.
func TestBadDeclarations(t *testing.T) {
	type channel struct {
		C chan int `config:"c"`
	}
	type badDefault struct {
		Wait time.Duration `config:"wait" default:"2"`
	}
	type badEntry struct {
		Waits []time.Duration `config:"waits" default:"2s,x"`
	}
	type badText struct {
		Server netip.Addr `config:"server" default:"here"`
	}
	type badBound struct {
		Count int `config:"count" min:"one"`
	}
	type badGroup struct {
		Worse group `config:"worse" default:"{cost"`
	}
	decode := func(v any, raw map[string]any) func() {
		return func() { (&loader{files: []string{"f"}, where: positions{}}).decode("", raw, v) }
	}
	for want, do := range map[string]func(){
		"config: no setting can have the type chan int": func() { Settings(channel{}) },
		"config: no setting nonsense":                   func() { DefaultOf("nonsense") },
		"config: default of wait: ":                     decode(&badDefault{}, nil),
		"config: default of waits: ":                    decode(&badEntry{}, nil),
		"config: default of server: ":                   decode(&badText{}, nil),
		`config: bound "one": `:                         decode(&badBound{}, map[string]any{"count": 1}),
		"config: default of worse: ":                    decode(&badGroup{}, nil),
	} {
		t.Run(want, func(t *testing.T) {
			defer func() {
				if got := fmt.Sprint(recover()); len(got) < len(want) || got[:len(want)] != want {
					t.Errorf("panics with %s", got)
				}
			}()
			do()
		})
	}
}

// Without a file, commands and the fail-safe go by the built-in places and settings.
func TestDefaults(t *testing.T) {
	c := Defaults()
	if got := DefaultOf("control_socket"); got != "/run/keepcast/keepcast.sock" || c.ControlSocket != got {
		t.Errorf("control_socket: got %s, %s", got, c.ControlSocket)
	}
	if !c.ManageAddresses || c.Interface != "anycast0" || c.Linger != 10*time.Second || c.OnCrash != "withdraw" {
		t.Errorf("got %+v", c.Main)
	}
	if len(c.Services)+len(c.Drivers) > 0 {
		t.Errorf("got %v, %v", c.Services, c.Drivers)
	}
}

// settingOf returns the value of one setting of a struct.
func settingOf(v any, name string) any {
	s, _ := find(Settings(v), name)
	return reflect.Indirect(reflect.ValueOf(v)).FieldByIndex(s.index).Interface()
}

// TestDeclarations reads every tag of every kind: an unreadable default or
// bound panics, and an example that is not valid fails.
func TestDeclarations(t *testing.T) {
	for _, k := range checks.Kinds() {
		entry := "  - kind: " + k.Name + "\n    " + strings.ReplaceAll(strings.TrimSpace(k.Example), "\n", "\n    ") + "\n"
		load(t, "services:\n- name: a\n  addresses: [192.0.2.1]\n  checks:\n"+entry)
		documented(t, "check "+k.Name, Settings(k.New()))
	}
	for _, k := range kinds.All() {
		entry := "  - kind: " + k.Name + "\n    " + strings.ReplaceAll(strings.TrimSpace(k.Example), "\n", "\n    ") + "\n"
		// An example may name a file that this machine lacks; that alone may be wrong with it.
		if _, err := Load(files(t, minimal+"drivers:\n"+entry)); err != nil && !strings.Contains(err.Error(), "no such file") {
			t.Error(err)
		}
		documented(t, "driver "+k.Name, Settings(k.New()))
	}
	for name, v := range map[string]any{"top level": Main{}, "service": Service{}, "check": Check{}, "driver": Driver{}} {
		documented(t, name, Settings(v))
	}
}

// documented checks that every setting is explained, and that its bounds and
// its default can be read and fit each other.
func documented(t *testing.T, of string, settings []Setting) {
	t.Helper()
	for _, s := range settings {
		documented(t, of, s.Settings)
		if s.Settings != nil {
			s.groupDefault() // panics where it is no YAML
			continue
		}
		if !strings.HasSuffix(s.Doc, ".") {
			t.Errorf("%s: %s: doc %q is no sentence", of, s.Name, s.Doc)
		}
		for _, b := range []string{s.Min, s.Max} {
			if b != "" {
				bound(b, s.typ)
			}
		}
	}
}

// A setting that is one prefix is shown as those of a list are.
func TestTypeOfPrefix(t *testing.T) {
	if got := typeName(reflect.TypeFor[netip.Prefix]()); got != "prefix/length" {
		t.Errorf("got %s", got)
	}
}
