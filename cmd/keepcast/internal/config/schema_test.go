package config

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	invopop "github.com/invopop/jsonschema"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/keepcast/keepcast/checks"
	"github.com/keepcast/keepcast/driver/kinds"
)

// asJSON returns a value as JSON has it.
func asJSON(t *testing.T, v any) any {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	out, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// refused returns why the schema refuses a configuration, "" if it does not.
func refused(t *testing.T, text string) string {
	t.Helper()
	c := jsonschema.NewCompiler()
	if err := c.AddResource("keepcast.json", asJSON(t, Schema())); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("keepcast.json")
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(asJSON(t, v)); err != nil {
		return err.Error()
	}
	return ""
}

// An editor must not mark what keepcast takes.
func TestSchemaAllows(t *testing.T) {
	for name, text := range map[string]string{
		"whole":              whole,
		"attributes":         announcing,
		"minimal":            minimal,
		"at the bounds":      "defaults: {rise: 1, fall: 1000, jitter: 0}",
		"settings of kinds":  "drivers: [{kind: bird, as: 4294967295}, {kind: frr, daemons: [ospfd]}, {kind: template, template: /t, output: /o, reload: [x]}]",
		"text like a number": "services: [{name: a, checks: [{kind: http, url: 'http://a/', codes: 200}]}]",
		"a number of checks": "services: [{name: a, require: 2}]",
		"schedule":           "services: [{name: a, rise: 2, interval: 1.5s}]",
		"durations":          "{linger: 1h2m3.5s, hold_down: '0'}",
		"headers":            "services: [{name: a, checks: [{kind: http, url: 'http://a/', headers: {Host: a}}]}]",
		"group":              "degraded: {med: 0, communities: ['65001:1', no-export], prepend: 10}",
		"of the top level":   "{checks: [{name: x, kind: tcp, address: 'x:1'}], services: [{name: a, depends_on: [b], checks: [{use: x, on_failure: degrade}]}]}",
		"a drop-in":          "services: [{name: a, linger: 5s}]",
	} {
		if why := refused(t, text); why != "" {
			t.Errorf("%s: %s", name, why)
		}
	}
}

// An editor marks what keepcast would refuse, and where.
func TestSchemaRefusesAt(t *testing.T) {
	for text, at := range map[string]string{
		"lingre: 5s":                                       "",
		"linger: 5":                                        "/linger",
		"linger: 5 seconds":                                "/linger",
		"on_stop: wait":                                    "/on_stop",
		"manage_addresses: 'no'":                           "/manage_addresses",
		"interface: [a]":                                   "/interface",
		"defaults: {rise: 0}":                              "/defaults/rise",
		"defaults: {rise: 1001}":                           "/defaults/rise",
		"defaults: {rise: 1.5}":                            "/defaults/rise",
		"defaults: {jitter: 1.1}":                          "/defaults/jitter",
		"defaults: {jitter: a}":                            "/defaults/jitter",
		"defaults: {raise: 1}":                             "/defaults",
		"degraded: {med: -1}":                              "/degraded/med",
		"degraded: {cost: 1}":                              "/degraded",
		"drivers: bird":                                    "/drivers",
		"drivers: [{kind: brid}]":                          "/drivers/0",
		"drivers: [{name: a}]":                             "/drivers/0",
		"drivers: [{kind: bird, output: x}]":               "/drivers/0",
		"services: [{linger: 5s}]":                         "/services/0",
		"services: [{name: a, addresses: a}]":              "/services/0/addresses",
		"services: [{name: a, prefixes: [~]}]":             "/services/0/prefixes/0",
		"services: [{name: a, checks: [{kind: nothing}]}]": "/services/0/checks/0",
		"services: [{name: a, checks: [{kind: tcp}]}]":     "/services/0/checks/0",
		"services: [{name: a, checks: [{kind: tcp, address: 'x:1', query: y}]}]": "/services/0/checks/0",
		"services: [{name: a, checks: [{use: x, interval: 5s}]}]":                "/services/0/checks/0",
		"checks: [{use: x}]": "/checks/0",
		"services: [{name: a, checks: [{kind: http, url: x, headers: {a: 1}}]}]": "/services/0/checks/0",
	} {
		why := refused(t, text)
		if !strings.Contains(why, "- at '"+at+"': ") {
			t.Errorf("%s: got %q, want it refused at %q", text, why, at)
		}
	}
}

// What an editor shows of a setting while one writes, for each type of setting.
func TestSchemaOfSetting(t *testing.T) {
	want := map[string]string{
		"on":       `{"type":"boolean","description":"A truth.","default":true}`,
		"count":    `{"type":"integer","maximum":9,"minimum":1,"description":"A number.","default":3}`,
		"metric":   `{"type":"integer","maximum":16777214,"description":"A number from 0."}`,
		"share":    `{"type":"number","maximum":1,"minimum":0,"description":"A part.","default":0.5}`,
		"mode":     `{"type":"string","enum":["one","both"],"description":"One | both.","default":"one"}`,
		"version":  `{"enum":["2c","3",3,"1.0",1.0],"description":"Digits.","default":"2c"}`,
		"wait":     `{"type":"string","pattern":"^([0-9]+(\\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$|^0$","description":"A time.","default":"2s"}`,
		"server":   `{"anyOf":[{"type":"string"},{"type":"number"}],"description":"An address."}`,
		"connect":  `{"anyOf":[{"type":"string"},{"type":"number"}],"description":"With a port."}`,
		"body":     `{"anyOf":[{"type":"string"},{"type":"number"}],"description":"An expression."}`,
		"med":      `{"type":"integer","description":"One that can be left out."}`,
		"daemons":  `{"items":{"type":"string","enum":["a","b","c"]},"type":"array","description":"Some.","default":["a","b"]}`,
		"prefixes": `{"items":{"anyOf":[{"type":"string"},{"type":"number"}]},"type":"array","description":"Some prefixes."}`,
		"headers":  `{"additionalProperties":{"type":"string"},"type":"object","description":"By their names."}`,
		"require":  `{"anyOf":[{"type":"string"},{"type":"number"}],"description":"How many.","default":"all"}`,
		"worse": `{"properties":{"cost":{"type":"integer","minimum":0,"description":"What it costs.","default":1},` +
			`"path":{"type":"string","description":"Where."}},"additionalProperties":false,"type":"object","description":"How it is otherwise."}`,
	}
	got := map[string]string{}
	for _, s := range Settings(specimen{}) {
		text, err := json.Marshal(s.schema())
		if err != nil {
			t.Fatal(err)
		}
		got[s.Name] = string(text)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if required := object(Settings(specimen{})).Required; !slices.Equal(required, []string{"server", "prefixes"}) {
		t.Errorf("required are %v", required)
	}
}

// Who changes a setting in an editor reads there that a reload will refuse it.
func TestSchemaTellsOfRestarts(t *testing.T) {
	want := map[string]string{"listen": "Where. A change takes a restart.", "level": "How much.", "worse": "How it is otherwise."}
	got := map[string]string{}
	for _, s := range Settings(restarting{}) {
		got[s.Name] = s.schema().Description
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// An editor knows the schema by its head, and shows what each kind is for.
func TestSchemaDescribes(t *testing.T) {
	s := Schema()
	head := []string{s.Version, s.Title, s.Description}
	for _, name := range []string{"defaults", "drivers", "checks", "services"} {
		head = append(head, property(t, s, name).Description)
	}
	if d := cmp.Diff([]string{
		"https://json-schema.org/draft/2020-12/schema", "keepcast.yaml",
		"Configuration of keepcast; drop-ins in conf.d have the same form.",
		"Schedule of every check that does not say otherwise.",
		"The routing daemons to be kept in sync.",
		"Checks that services use. Each runs once, whoever uses it.",
		"The services and their anycast addresses.",
	}, head); d != "" {
		t.Error(d)
	}
	described := func(list *invopop.Schema) map[string]string {
		out := map[string]string{}
		for _, kind := range list.Items.OneOf {
			if _, uses := kind.Properties.Get("use"); uses {
				out["use"] = kind.Description
				continue
			}
			out[property(t, kind, "kind").Const.(string)] = kind.Description
		}
		return out
	}
	ofChecks, ofDrivers := map[string]string{}, map[string]string{}
	for _, k := range checks.Kinds() {
		ofChecks[k.Name] = k.Doc
	}
	for _, k := range kinds.All() {
		ofDrivers[k.Name] = k.Doc
	}
	if d := cmp.Diff(ofChecks, described(property(t, s, "checks"))); d != "" {
		t.Errorf("checks of the top level: %s", d)
	}
	ofChecks["use"] = "A check of the top level."
	list := property(t, property(t, s, "services").Items, "checks")
	if d := cmp.Diff(ofChecks, described(list)); d != "" || list.Description != "The checks that decide whether the service is fit." {
		t.Errorf("checks: %s: %s", list.Description, d)
	}
	if d := cmp.Diff(ofDrivers, described(property(t, s, "drivers"))); d != "" {
		t.Errorf("drivers: %s", d)
	}
}

// property returns the schema of one property.
func property(t *testing.T, of *invopop.Schema, name string) *invopop.Schema {
	t.Helper()
	s, ok := of.Properties.Get(name)
	if !ok {
		t.Fatalf("no property %s", name)
	}
	return s
}
