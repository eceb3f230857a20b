package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// using is a service with the entries of its list checks.
func using(name, last, entries string) string {
	return "- {name: " + name + ", addresses: [192.0.2." + last + "], checks: [" + entries + "]}\n"
}

const upstream = "checks:\n- {name: upstream, kind: tcp, address: 'x:1', interval: 5s, on_failure: degrade}\n- {kind: exec, command: [x]}\n"

func TestUse(t *testing.T) {
	c := load(t, "defaults: {rise: 7}\n"+upstream+"services:\n"+
		using("a", "1", "{use: upstream, name: net, on_failure: withdraw}")+
		using("b", "2", "{kind: exec, command: [y]}, {use: upstream}")+
		"- {name: c, addresses: [192.0.2.3], interval: 20s, checks: [{use: upstream, on_failure: withdraw}]}\n")
	var got []string
	for _, s := range c.Services {
		for _, check := range s.Checks {
			got = append(got, fmt.Sprintf("%s/%s %s %q %s rise %d every %s on %s", s.Name, check.Name, check.Kind, check.Use, check.OnFailure, check.Rise, check.Interval, c.ProbesOn(s, check)))
			if check.Use != "" && check.Checker != c.Checks[0].Checker {
				t.Errorf("%s/%s has a checker of its own", s.Name, check.Name)
			}
		}
	}
	want := []string{
		`a/net tcp "upstream" withdraw rise 7 every 5s on anycast0`,
		`b/exec exec "" withdraw rise 7 every 1s on anycast0`,
		`b/upstream tcp "upstream" degrade rise 7 every 5s on anycast0`,
		`c/upstream tcp "upstream" withdraw rise 7 every 5s on anycast0`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %s\nwant %s", strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
	if raw := c.Services[0].Checks[0].Raw; raw["interval"] != "5s" || raw["use"] != "upstream" || raw["on_failure"] != "withdraw" {
		t.Errorf("as written: %v", raw)
	}
	if used := c.Used(); len(used) != 1 || used[0].Name != "upstream" || c.Runs() != 2 {
		t.Errorf("used: %v; %d runs", used, c.Runs())
	}
	notes := c.Notes()
	if note := "note: checks[exec]: no service uses it, so it does not run"; !slices.Contains(notes, note) {
		t.Errorf("notes: %q", notes)
	}
}

// A check that is used is asked in the VRF of the top level.
func TestProbesOn(t *testing.T) {
	c := load(t, upstream+"services: [{name: a, interface: anycast1, addresses: [192.0.2.1], checks: [{use: exec}, {name: own, kind: exec, command: [y]}]}]\n")
	s := c.Services[0]
	if used, own := c.ProbesOn(s, s.Checks[0]), c.ProbesOn(s, s.Checks[1]); used != "anycast0" || own != "anycast1" {
		t.Errorf("on %s and %s", used, own)
	}
}

func TestUseFaults(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"a typo": {
			upstream + "services:\n" + using("a", "1", "{use: upstraem}"),
			`keepcast.yaml:5:47: services[a].checks[upstraem].use: no check "upstraem" at the top level (did you mean "upstream"?)`,
		},
		"no such list": {
			"services:\n" + using("a", "1", "{use: upstream}"),
			`keepcast.yaml:2:47: services[a].checks[upstream].use: no check "upstream": there is no list checks at the top level`,
		},
		"no name": {
			upstream + "services:\n" + using("a", "1", "{use: 5}, {use: ''}, {name: x, use: [upstream]}"),
			"keepcast.yaml:5:47: services[a].checks[0].use: text expected, got 5: write it in quotes\n" +
				`keepcast.yaml:5:57: services[a].checks[1].use: no check "" at the top level` + "\n" +
				"keepcast.yaml:5:77: services[a].checks[x].use: text expected, got a list",
		},
		"its settings": {
			upstream + "services:\n" + using("a", "1", "{use: upstream, kind: tcp, interval: 1s, on_failure: withdraw}"),
			"keepcast.yaml:5:62: services[a].checks[upstream].kind: not with use: it is checks[upstream] that says so, for all who use it\n" +
				"keepcast.yaml:5:73: services[a].checks[upstream].interval: not with use: it is checks[upstream] that says so, for all who use it",
		},
		"no settings at all": {
			upstream + "services:\n" + using("a", "1", "{use: upstream, on_failur: degrade, foo: 1, address: 'y:1'}, {kind: exec, command: [x]}"),
			"keepcast.yaml:5:62: services[a].checks[upstream].on_failur: no such setting (did you mean \"on_failure\"?)\n" +
				"keepcast.yaml:5:82: services[a].checks[upstream].foo: no such setting\n" +
				"keepcast.yaml:5:90: services[a].checks[upstream].address: not with use: it is checks[upstream] that says so, for all who use it",
		},
		"of no kind, with more": {
			"checks:\n- {name: upstream, kind: tpc}\nservices:\n" + using("a", "1", "{use: upstream, interval: 1s, foo: 1}"),
			`keepcast.yaml:2:20: checks[upstream].kind: no kind "tpc" (did you mean "tcp"?)` + "\n" +
				"keepcast.yaml:4:62: services[a].checks[upstream].interval: not with use: it is checks[upstream] that says so, for all who use it\n" +
				"keepcast.yaml:4:76: services[a].checks[upstream].foo: no such setting",
		},
		"wrong values": {
			upstream + "services:\n" + using("a", "1", "{use: upstream, name: 'x y', on_failure: explode}"),
			`keepcast.yaml:5:62: services[a].checks[x y].name: "x y" is no name: letters, digits, '.', '-' and '_' only, beginning with a letter or digit` + "\n" +
				`keepcast.yaml:5:75: services[a].checks[x y].on_failure: "explode" is none of withdraw, degrade`,
		},
		"one name twice": {
			upstream + "services:\n" + using("a", "1", "{use: upstream}, {name: upstream, kind: exec, command: [x]}"),
			`keepcast.yaml:5:63: services[a].checks[upstream]: the name "upstream" is taken (line 5): names must differ within a list`,
		},
		"what is used has a fault, told once": {
			"checks:\n- {name: upstream, kind: tcp}\nservices:\n" + using("a", "1", "{use: upstream}") + using("b", "2", "{use: upstream}"),
			"keepcast.yaml:2:3: checks[upstream].address: required, but missing",
		},
		"of no kind": {
			"checks:\n- {name: upstream, kind: tpc}\nservices:\n" + using("a", "1", "{use: upstream}"),
			`keepcast.yaml:2:20: checks[upstream].kind: no kind "tpc" (did you mean "tcp"?)`,
		},
		"only one that degrades": {
			upstream + "services:\n" + using("a", "1", "{use: upstream}"),
			"keepcast.yaml:5:37: services[a].checks: no check withdraws the service when it fails: add one, or leave out on_failure: degrade",
		},
		"a use at the top level": {
			"checks:\n- {name: x, use: y}\n" + minimal,
			"keepcast.yaml:2:3: checks[x].kind: required, but missing",
		},
		"no list": {
			"checks: tcp\n" + minimal,
			`keepcast.yaml:1:1: checks: a list of settings (- name: ...) expected, got "tcp"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := faultsOf(t, tt.text); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}
