package main

import (
	"go/token"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestSurvivors reads lists.
func TestSurvivors(t *testing.T) {
	tests := []struct {
		text string
		want []survivor
		err  string
	}{
		{text: ""},
		{text: "# f: k: t :: r\n\n  \t\n"},
		{
			text: "f: call dropped: g() :: it only logs\n\n(*T).f: if emptied: if a { b: c } :: r: s\n",
			want: []survivor{
				{key{"f", "call dropped", "g()"}, "l.txt:1"},
				{key{"(*T).f", "if emptied", "if a { b: c }"}, "l.txt:3"},
			},
		},
		{
			text: "f: k: g(\"a :: b\") :: of IPv6",
			want: []survivor{{key{"f", "k", "g(\"a :: b\")"}, "l.txt:1"}},
		},
		{text: "f: k: t\n", err: `l.txt:1: no " :: " with a reason after it`},
		{text: "f: k: t ::\n", err: `l.txt:1: nothing after " :: ": a survivor needs a reason`},
		{text: "#\nf: k :: r\n", err: `l.txt:2: want FUNC: KIND: SOURCE TEXT :: reason`},
		{text: "f: k: t :: r\nf: k: u :: r\nf: k: t :: s\n", err: `l.txt:3: listed before, at l.txt:1`},
	}
	dir := t.TempDir()
	t.Chdir(dir)
	for _, tc := range tests {
		write(t, dir, map[string]string{"l.txt": tc.text})
		got, err := readSurvivors("l.txt")
		if message(err) != tc.err || !cmp.Equal(got, tc.want, cmp.AllowUnexported(survivor{}, key{})) {
			t.Errorf("%q: %v (%v), want %v (%s)", tc.text, got, err, tc.want, tc.err)
		}
	}
	if got, err := readSurvivors("none.txt"); got != nil || err != nil {
		t.Errorf("no file: %v (%v)", got, err)
	}
	if _, err := readSurvivors(dir); message(err) != "survivors: read "+dir+": is a directory" {
		t.Errorf("directory: %v", err)
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// TestJudge is what is wrong with an outcome.
func TestJudge(t *testing.T) {
	theKey := key{"f", callDropped, "g()"}
	theirs := key{"f", conditionNegated, "if a {"}
	with := func(k key, states ...state) (all []*mutant) {
		for i, s := range states {
			all = append(all, &mutant{key: k, state: s, pos: token.Position{Filename: "m.go", Line: i + 1, Column: 2}})
		}
		return all
	}
	tests := []struct {
		name    string
		mutants []*mutant
		listed  []key
		opts    options
		want    []string
	}{
		{name: "nothing"},
		{name: "killed", mutants: with(theKey, killed, timedOut), opts: options{min: 100, covered: true}},
		{name: "lives", mutants: with(theKey, killed, lived, lived), want: []string{"a/m.go:2:2: lived, kill it or list it with a reason: f: call dropped: g()"}},
		{name: "lives, listed", mutants: with(theKey, killed, lived, lived), listed: []key{theKey}},
		{name: "not covered", mutants: with(theKey, notCovered)},
		{
			name: "not covered, to be covered", mutants: with(theKey, notCovered), opts: options{covered: true},
			want: []string{"a/m.go:1:2: not covered, kill it or list it with a reason: f: call dropped: g()"},
		},
		{name: "not covered, listed", mutants: with(theKey, notCovered), listed: []key{theKey}, opts: options{covered: true}},
		{name: "killed, listed", mutants: with(theKey, killed), listed: []key{theKey}, want: []string{"l.txt:7: killed now, take the line out: f: call dropped: g()"}},
		{name: "timed out, listed", mutants: with(theKey, timedOut), listed: []key{theKey}},
		{name: "not run, listed", mutants: with(theKey, killed, notRun), listed: []key{theKey}},
		{name: "left out, listed", mutants: with(theKey, leftOut), listed: []key{theKey}, want: []string{"l.txt:7: no such mutant any more, take the line out: f: call dropped: g()"}},
		{name: "of a tool that did not run", listed: []key{theirs}},
		{name: "listed ones are alive", mutants: with(theKey, killed, lived, notCovered), listed: []key{theKey}, opts: options{min: 33.4}, want: []string{"example.com/m/a: 33.3 % killed, less than 33.4 %"}},
		{name: "unlisted ones are let live", mutants: with(theKey, killed, lived), listed: []key{theirs}, opts: options{unlisted: true, min: 50}},
		{name: "unlisted, but too many", mutants: with(theKey, killed, lived), opts: options{unlisted: true, min: 50.1}, want: []string{"example.com/m/a: 50.0 % killed, less than 50.1 %"}},
		{name: "left out and not run do not count", mutants: with(theKey, killed, leftOut, notRun), opts: options{min: 100}},
	}
	l := listed{ImportPath: "example.com/m/a", Dir: filepath.FromSlash("/m/a")}
	l.Module = &struct{ Path, Dir, GoVersion string }{Dir: filepath.FromSlash("/m")}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			var list []survivor
			for _, k := range tc.listed {
				list = append(list, survivor{k, "l.txt:7"})
			}
			got := judge(tc.opts, l, tc.mutants, list, false)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
