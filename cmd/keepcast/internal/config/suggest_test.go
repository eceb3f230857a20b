package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestSuggest(t *testing.T) {
	names := []string{"interval", "fast_interval", "timeout", "rise", "fall", "as"}
	for got, want := range map[string]string{
		"intervall":  ` (did you mean "interval"?)`, // one too many
		"inteval":    ` (did you mean "interval"?)`, // one too few
		"intirvel":   ` (did you mean "interval"?)`, // two wrong
		"fastintval": "",                            // three slips are another word
		"rice":       ` (did you mean "rise"?)`,
		"fill":       ` (did you mean "fall"?)`,
		"ra":         "", // each letter of "as" would be another
		"aas":        ` (did you mean "as"?)`,
		"":           "",
		"rise":       ` (did you mean "rise"?)`, // elsewhere it is one
	} {
		if is := suggest(got, names); is != want {
			t.Errorf("%s: got %s, want %s", got, is, want)
		}
	}
	if is := suggest("fal", []string{"fale", "fall", "fa"}); is != ` (did you mean "fale"?)` {
		t.Errorf("of two as near: got %s, want the first", is)
	}
}

func TestHint(t *testing.T) {
	var many []string
	for i := range 1000 {
		many = append(many, fmt.Sprintf("service-%03d", i))
	}
	for name, tt := range map[string]struct {
		got   string
		names []string
		want  string
	}{
		"one is near":    {"servcie-007", many, ` (did you mean "service-007"?)`},
		"none of many":   {"web", many, " (running: service-000, service-001, service-002, service-003, service-004 and 995 more)"},
		"one too many":   {"web", many[:6], " (running: service-000, service-001, service-002, service-003, service-004 and 1 more)"},
		"as many as fit": {"web", many[:5], " (running: service-000, service-001, service-002, service-003, service-004)"},
		"one":            {"web", []string{"dns"}, " (running: dns)"},
		"two letters on": {"dns-xy", []string{"dns-"}, ` (did you mean "dns-"?)`},
		"a megabyte":     {strings.Repeat("n", 1<<20), slices.Repeat(many[:1], 1000), " (running: service-000, service-000, service-000, service-000, service-000 and 995 more)"}, // compared letter by letter it takes minutes
	} {
		if is := Hint(tt.got, "running", tt.names); is != tt.want {
			t.Errorf("%s: got %s, want %s", name, is, tt.want)
		}
	}
}

func TestSlips(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"", "abc", 3},
		{"abc", "", 3},
		{"abc", "abc", 0},
		{"abc", "abd", 1},
		{"abc", "ac", 1},
		{"ac", "abc", 1},
		{"kitten", "sitting", 3},
		{"abcd", "dcba", 3},
		{"pnig", "ping", 1},
		{"ab", "ba", 1},
		{"abcd", "badc", 2},
		{"aab", "aba", 1},
		{"ca", "abc", 3}, // a letter that was swapped is not changed again
		{"saturday", "sunday", 3},
	} {
		if got := slips(tt.a, tt.b); got != tt.want {
			t.Errorf("from %q to %q: got %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}

func TestMeant(t *testing.T) {
	for key, want := range map[string]string{
		"secret":   ` (did you mean "secret_file"? A secret stands in a file of its own)`,
		"password": ` (did you mean "auth_password_file"? A secret stands in a file of its own)`,
		"host":     ` (did you mean "server"?)`,
		"address":  ` (did you mean "server"?)`,
		"queyr":    ` (did you mean "query"?)`,
		"file":     "",
		"nothing":  "",
	} {
		if got := meant(key, []string{"server", "query", "secret_file", "auth_password_file"}); got != want {
			t.Errorf("%s: got %s, want %s", key, got, want)
		}
	}
}
