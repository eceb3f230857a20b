package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// minus has what gremlins finds: it takes a string that it broke for killed, and
// makes two mutants of a minus.
const minus = `package a

func minus(a, b int) int { return a - b }

func join(a, b string) string { return a + b }

func negative(a int) int { return -a }

func loop() {
	for i := 0; i < 1; i++ {
	}
}
`

const minusResult = `{"go_module":"example.com/m","files":[
	{"file_name":"b/b.go","mutations":[{"type":"ARITHMETIC_BASE","status":"LIVED","line":1,"column":1}]},
	{"file_name":"a.go","mutations":[
		{"type":"CONDITIONALS_BOUNDARY","status":"LIVED","line":10,"column":18},
		{"type":"CONDITIONALS_NEGATION","status":"NOT COVERED","line":10,"column":18},
		{"type":"INCREMENT_DECREMENT","status":"TIMED OUT","line":10,"column":24},
		{"type":"ARITHMETIC_BASE","status":"KILLED","line":3,"column":37},
		{"type":"INVERT_NEGATIVES","status":"KILLED","line":3,"column":37},
		{"type":"ARITHMETIC_BASE","status":"KILLED","line":5,"column":42},
		{"type":"INVERT_NEGATIVES","status":"KILLED","line":7,"column":35},
		{"type":"ARITHMETIC_BASE","status":"LIVED","line":7,"column":35},
		{"type":"ARITHMETIC_BASE","status":"SKIPPED","line":7,"column":35}
	]}
]}`

const minusOutput = `example.com/m/a: 0 killed, 0 of them timed out, 0 lived, 0 not covered: 100.0 % killed, in T
a/a.go:10:18: CONDITIONALS_BOUNDARY: for i := 0; i < 1; i++ { [lived, listed]
a/a.go:10:18: CONDITIONALS_NEGATION: for i := 0; i < 1; i++ { [not covered]
example.com/m/a: gremlins: 3 killed, 1 of them timed out, 1 lived, 1 not covered: 60.0 % killed (4 left out), in T
example.com/m/a: both: 3 killed, 1 of them timed out, 1 lived, 1 not covered: 60.0 % killed (4 left out)
`

// gremlinsModule has a program that stands for gremlins.
func gremlinsModule(t *testing.T) string {
	t.Helper()
	dir := module(t, map[string]string{
		"a/a.go": minus, "a/b/b.go": "package b\n", "cmd/tool/main.go": "package main\n\nfunc main() { println(1 < 2) }\n", "cmd/tool/main_test.go": "package main\n",
		"l/a.txt": "loop: CONDITIONALS_BOUNDARY: for i := 0; i < 1; i++ { :: nothing happens in it\n",
		"gremlins": `#!/bin/sh
echo "$@" >>arguments
echo "$GOFLAGS" >flags
while [ "$1" != --output ]; do shift; done
[ -e nothing ] || cp results/a.json "$2"
[ ! -e broken ] || { echo "it broke"; exit 1; }
`,
	})
	write(t, dir, map[string]string{"results/a.json": minusResult}) // after what it is of
	return dir
}

// TestGremlins counts gremlins' mutants too: those of the program that is started,
// or of a result that there is.
func TestGremlins(t *testing.T) {
	dir := gremlinsModule(t)
	if err := os.Chmod("gremlins", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{"./gremlins", "results"} {
		code, out := mutate(t, "-survivors", "l", "-gremlins", from, "-min", "60", "./a")
		if got := withoutTimes(out); code != 0 || got != minusOutput {
			t.Errorf("from %s: exit code %d:\n%s", from, code, got)
		}
	}
	arguments, err := os.ReadFile("arguments")
	if got := string(arguments); err != nil || !strings.HasPrefix(got, "unleash --silent --timeout-coefficient 5 --workers 2 --exclude-files / --output ") || !strings.HasSuffix(got, " ./a\n") {
		t.Errorf("arguments %s (%v)", got, err)
	}
	if flags, err := os.ReadFile("flags"); err != nil || string(flags) != "-mod=mod -count=1\n" {
		t.Errorf("flags %s (%v)", flags, err)
	}
	write(t, dir, map[string]string{"nothing": ""})
	if code, out := mutate(t, "-gremlins", "./gremlins", "./a"); code != 0 || !strings.Contains(out, "both: 0 killed, 0 of them timed out, 0 lived, 0 not covered: 100.0 % killed") {
		t.Errorf("without mutants: exit code %d:\n%s", code, out)
	}
	write(t, dir, map[string]string{"broken": ""})
	if code, out := mutate(t, "-gremlins", "./gremlins", "./a"); code != 2 || !strings.HasSuffix(out, "mutate: example.com/m/a: gremlins: exit status 1: it broke\n") {
		t.Errorf("broken: exit code %d:\n%s", code, out)
	}
}

// TestGremlinsUnfit does without gremlins where that would test another package.
func TestGremlinsUnfit(t *testing.T) {
	gremlinsModule(t)
	code, out := mutate(t, "-gremlins", "./gremlins", "./cmd/tool")
	want := "example.com/m/cmd/tool: gremlins would test another package, as the name is not that of the directory: mutate does the conditions\n"
	if code != 0 || !strings.HasPrefix(out, want) {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}

// TestGremlinsRefused are results that are of no use.
func TestGremlinsRefused(t *testing.T) {
	dir := gremlinsModule(t)
	tests := []struct{ result, want string }{
		{"{", "results/a.json: unexpected end of JSON input"},
		{strings.Replace(minusResult, `"line":10`, `"line":100`, 1), "results/a.json: a.go:100:18: no such line"},
	}
	for _, tc := range tests {
		write(t, dir, map[string]string{"results/a.json": tc.result})
		if code, out := mutate(t, "-gremlins", "results", "./a"); code != 2 || !strings.HasSuffix(out, "mutate: example.com/m/a: gremlins: "+tc.want+"\n") {
			t.Errorf("exit code %d:\n%s", code, out)
		}
	}
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(filepath.Join("a", "a.go"), later, later); err != nil {
		t.Fatal(err)
	}
	if code, out := mutate(t, "-gremlins", "results", "./a"); code != 2 || !strings.HasSuffix(out, "gremlins: results/a.json: older than a.go: run gremlins again\n") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	for name, want := range map[string]string{"nowhere": "executable file not found", "./nowhere": "no such file or directory"} {
		if code, out := mutate(t, "-gremlins", name, "./a"); code != 2 || !strings.Contains(out, want) {
			t.Errorf("exit code %d:\n%s", code, out)
		}
	}
}
