package config

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// decode decodes YAML into a specimen, beside the settings that are required.
func decode(t *testing.T, text string) (specimen, Faults) {
	t.Helper()
	raw := map[string]any{"server": "192.0.2.1", "prefixes": []any{"203.0.113.0/24"}}
	l := &loader{files: []string{"k.yaml"}, where: positions{}}
	var v specimen
	l.decode("", merge(raw, mapping(t, text)), &v)
	return v, l.faults
}

// What is written has its value, up to the bounds, and what is not has its default.
func TestDecode(t *testing.T) {
	for text, want := range map[string]string{
		"on: ~":                   "true",
		"on: false":               "false",
		"count: ~":                "3",
		"count: 1":                "1",
		"count: 9":                "9",
		"metric: ~":               "0",
		"metric: 0":               "0",
		"metric: 16777214":        "16777214",
		"med: ~":                  "none",
		"med: 0":                  "0",
		"med: 4294967295":         "4294967295",
		"share: 0":                "0",
		"share: 1":                "1",
		"share: 0.25":             "0.25",
		"mode: ~":                 "one",
		"mode: both":              "both",
		"version: 3":              "3",
		"version: '3'":            "3",
		"version: 1.0":            "1.0",
		"wait: ~":                 "2s",
		"wait: 1s":                "1s",
		"server: 2001:db8::1":     "2001:db8::1",
		"connect: '[::1]:53'":     "[::1]:53",
		"body: ~":                 "none",
		"body: ^ok$":              "^ok$",
		"daemons: ~":              "[a b]",
		"daemons: [c, a]":         "[c a]",
		"headers: {a: x, B: 'y'}": "map[B:y a:x]",
		"require: ~":              "{0}",
		"require: 2":              "{2}",
		"require: any":            "{1}",
		"worse: ~":                "{7 }",
		"worse: {}":               "{7 }",
		"worse: {path: /a}":       "{7 /a}",
		"worse: {cost: 0}":        "{0 }",
	} {
		t.Run(text, func(t *testing.T) {
			v, faults := decode(t, text)
			name, _, _ := strings.Cut(text, ":")
			if got := shownValue(settingOf(v, name)); got != want || faults != nil {
				t.Errorf("got %s, %v, want %s", got, faults, want)
			}
		})
	}
}

// Nothing is taken for what it is not, and every wrong entry is named.
func TestDecodeFaults(t *testing.T) {
	for text, want := range map[string]string{
		"on: 'yes'":             `on: true or false expected, got "yes"`,
		"count: 0":              "count: 0 is below the least value, 1",
		"count: -1":             "count: -1 is below the least value, 1",
		"count: 10":             "count: 10 is above the greatest value, 9",
		"count: 2.5":            "count: whole number expected, got 2.5",
		"count: '3'":            `count: whole number expected, got "3"`,
		"count: [3]":            "count: whole number expected, got a list",
		"metric: -1":            "metric: -1 is not between 0 and 4294967295",
		"metric: 1.5":           "metric: whole number expected, got 1.5",
		"metric: 16777215":      "metric: 16777215 is above the greatest value, 16777214",
		"med: 4294967296":       "med: 4294967296 is not between 0 and 4294967295",
		"share: -0.1":           "share: -0.1 is below the least value, 0",
		"share: 1.1":            "share: 1.1 is above the greatest value, 1",
		"share: .nan":           "share: number expected, got NaN",
		"share: half":           `share: number expected, got "half"`,
		"version: 2":            `version: text expected, got 2: write it in quotes`,
		"version: '1'":          `version: "1" is none of 2c, 3, 1.0 (did you mean "1.0"?)`,
		"version: true":         `version: text expected, got true: write it in quotes`,
		"version: [3]":          `version: text expected, got a list`,
		"connect: 'here:53'":    `connect: "here:53" is no address with a port, such as 127.0.0.1:53 or [::1]:53`,
		"connect: ':53'":        `connect: ":53" is no address with a port, such as 127.0.0.1:53 or [::1]:53`,
		"mode: bth":             `mode: "bth" is none of one, both (did you mean "both"?)`,
		"wait: 999ms":           "wait: 999ms is below the least value, 1s",
		"wait: soon":            `wait: duration with a unit expected, such as 500ms or 2s, got "soon"`,
		"wait: 2":               "wait: duration with a unit expected, such as 500ms or 2s, got 2",
		"server: ~":             "server: required, but missing",
		"server: here":          `server: "here" is no address, such as 192.0.2.1 or 2001:db8::1`,
		"server: [192.0.2.1]":   "server: address expected, got a list",
		"server: {a: b}":        "server: address expected, got settings",
		"server: 2026-01-01":    "server: address expected, got 2026-01-01 00:00:00 +0000 UTC",
		"body: (":               "body: error parsing regexp: missing closing ): `(`",
		"body: {a: b}":          "body: regular expression expected, got settings",
		"daemons: [a, d]":       `daemons: "d" is none of a, b, c`,
		"daemons: a":            `daemons: list of text expected, got "a"`,
		"daemons: [a, 1, ~]":    "daemons[1]: text expected, got 1: write it in quotes\ndaemons[2]: text expected, got nothing",
		"prefixes: []":          "prefixes: required, but the list is empty",
		"prefixes: [~, {a: b}]": "prefixes[0]: prefix/length expected, got nothing\nprefixes[1]: prefix/length expected, got settings",
		"headers: {a: 1, b: ~}": "headers.a: text expected, got 1: write it in quotes\nheaders.b: text expected, got nothing",
		"headers: [a]":          "headers: map of text expected, got a list",
		"worse: {cost: -1}":     "worse.cost: -1 is below the least value, 0",
		"worse: {csot: 1}":      `worse.csot: no such setting (did you mean "cost"?)`,
		"worse: 7":              "worse: a group of settings expected, got 7",
		"unheard-of: 1":         "unheard-of: no such setting",
		"{mdoe: one, no: true}": `mdoe: no such setting (did you mean "mode"?)` + "\n" + `no: no such setting (did you mean "on"?)`,
	} {
		t.Run(text, func(t *testing.T) {
			_, faults := decode(t, text)
			if got := strings.ReplaceAll(faults.Error(), "k.yaml: ", ""); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// shownValue is a value of a setting as text, "none" for one that is left out.
func shownValue(v any) string {
	if r := reflect.ValueOf(v); r.Kind() == reflect.Pointer && r.IsNil() {
		return "none"
	}
	switch v := v.(type) {
	case *uint32:
		return fmt.Sprint(*v)
	case fmt.Stringer:
		return v.String()
	}
	return fmt.Sprint(v)
}
