package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// everyKind has a mutant of every kind. everyTest kills them all but one.
const everyKind = `package m

import "errors"

func calls() (n int) {
	one := func() { n++ }
	defer one()
	one()
	return n
}

func channels() int {
	q := make(chan int, 2)
	q <- 1
	q <- 2
	<-q
	return len(q)
}

func background(done chan bool) { go close(done) }

func compare(a, b int) (more, less, equal bool) {
	if a > b {
		return true, false, false
	} else if a < b {
		less = true
	} else {
		equal = true
		return more, less, equal
	}
	return more, less, equal
}

func parse(s string) (int, error) {
	switch s {
	case "":
		return 0, errors.New("empty")
	}
	return len(s) + 1, nil
}

func parseAny(s string) (int, error) { return parse(s) }

func sum(s []int) (all int) {
	for i := 0; i < len(s); i++ {
		if s[i] < 0 {
			continue
		}
		all += s[i]
	}
	return -all
}
`

const everyTest = `package m

import "testing"

func TestCalls(t *testing.T) {
	done := make(chan bool)
	background(done)
	<-done
	if calls() != 2 || channels() != 1 {
		t.Error("calls")
	}
}

func TestReturns(t *testing.T) {
	for n, want := range map[int][3]bool{1: {false, true}, 2: {false, false, true}, 3: {true}} {
		if more, less, equal := compare(n, 2); [3]bool{more, less, equal} != want {
			t.Error(n)
		}
	}
	if n, err := parseAny("abc"); n != 4 || err != nil {
		t.Error(n, err)
	}
	if _, err := parseAny(""); err == nil {
		t.Error("no error")
	}
}

func TestSum(t *testing.T) {
	if got := sum([]int{1, -1, 0, 2}); got != -3 {
		t.Error(got)
	}
}
`

// TestEndToEnd mutates a module.
func TestEndToEnd(t *testing.T) {
	dir := module(t, map[string]string{
		"a/m.go": everyKind, "a/m_test.go": everyTest, "a/m_windows.go": "package nonsense\n",
		"good/a.txt": "# equal\n\nsum: CONDITIONALS_BOUNDARY: if s[i] < 0 { :: adding 0 is adding nothing\n",
		"bad/a.txt":  "sum: call dropped: f() :: f is gone\ncalls: call dropped: one() :: who knows\n",
		"bad/b.txt":  "",
	})
	const (
		head     = "example.com/m/a: 31 mutants, 31 covered; tests of a take T, a mutant may take 1s\n"
		survivor = "a/m.go:46:11: CONDITIONALS_BOUNDARY: if s[i] < 0 { [lived]\n"
		counted  = "example.com/m/a: 30 killed, 1 of them timed out, 1 lived, 0 not covered: 96.8 % killed, in T\n"
		unlisted = "a/m.go:46:11: lived, kill it or list it with a reason: sum: CONDITIONALS_BOUNDARY: if s[i] < 0 {\n"
	)
	listed := strings.Replace(survivor, "lived]", "lived, listed]", 1)
	tests := []struct {
		name string
		args []string
		code int
		want string
	}{
		{"without a list", nil, 1, head + survivor + counted + unlisted},
		{"with a list", []string{"-survivors", "good", "-min", "96", "-parallel", "1"}, 0, head + listed + counted},
		{"too few killed", []string{"-survivors", "good", "-min", "98"}, 1, head + listed + counted + "example.com/m/a: 96.8 % killed, less than 98 %\n"},
		{"with a stale list", []string{"-survivors", "bad"}, 1, head + survivor + counted +
			"bad/b.txt: no such package: take the file away\n" +
			"bad/a.txt:1: no such mutant any more, take the line out: sum: call dropped: f()\n" +
			"bad/a.txt:2: killed now, take the line out: calls: call dropped: one()\n" + unlisted},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			code, out := mutate(t, append(tc.args, "-conditions", "-timeout-min", "1s", "./a")...)
			if got := withoutTimes(out); code != tc.code || got != tc.want {
				t.Errorf("exit code %d, want %d:\n%s\nwant\n%s", code, tc.code, got, tc.want)
			}
		})
	}
	if files, err := filepath.Glob(filepath.Join(dir, "a", "*")); err != nil || len(files) != 3 {
		t.Errorf("files in the checkout: %v (%v)", files, err)
	}
}

// TestNotCovered mutates what no test reaches, or what has no tests.
func TestNotCovered(t *testing.T) {
	text := "package m\n\nfunc f(c chan int) {\n\tclose(c)\n}\n"
	module(t, map[string]string{
		"a/m.go": text, "a/m_test.go": "package m\n",
		"b/m.go":  text,
		"l/a.txt": "f: call dropped: close(c) :: no reason\n", "l/b.txt": "# none\n",
	})
	code, out := mutate(t, "-covered", "-survivors", "l", "./a", "./b")
	want := `example.com/m/a: 1 mutants, 0 covered; tests of a take T, a mutant may take 5s
a/m.go:4:2: call dropped: close(c) [not covered, listed]
example.com/m/a: 0 killed, 0 of them timed out, 0 lived, 1 not covered: 0.0 % killed, in T
b/m.go:4:2: call dropped: close(c) [not covered]
example.com/m/b: 0 killed, 0 of them timed out, 0 lived, 1 not covered: 0.0 % killed, in T
b/m.go:4:2: not covered, kill it or list it with a reason: f: call dropped: close(c)
`
	if got := withoutTimes(out); code != 1 || got != want {
		t.Errorf("exit code %d:\n%s\nwant\n%s", code, got, want)
	}
	if code, out := mutate(t, "./b"); code != 0 {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}

// TestWith mutates a package that others test.
func TestWith(t *testing.T) {
	module(t, map[string]string{
		"a/m.go": "package a\n\nfunc F(n *int) {\n\t*n = 1\n\t*n++\n}\n", "a/m_test.go": "package a\n\nimport \"testing\"\n\nfunc TestF(*testing.T) { F(new(int)) }\n",
		"b/m.go": "package b\n", "b/m_test.go": "package b\n\nimport (\n\t\"testing\"\n\n\t\"example.com/m/a\"\n)\n\nfunc TestF(t *testing.T) {\n\tvar n int\n\tif a.F(&n); n == 0 || n == 1 {\n\t\tt.Error(n)\n\t}\n}\n",
	})
	code, out := mutate(t, "-with", "./b,./a", "./a")
	want := `example.com/m/a: 2 mutants, 2 covered; tests of a take T, a mutant may take 5s
example.com/m/a: 2 mutants, 2 covered; tests of b take T, a mutant may take 5s
example.com/m/a: 2 killed, 0 of them timed out, 0 lived, 0 not covered: 100.0 % killed, in T
`
	if got := withoutTimes(out); code != 0 || got != want {
		t.Errorf("exit code %d:\n%s", code, got)
	}
}

// TestByChance has a test that notices a mutant in some runs only, as a file says. One run
// is no proof that a mutant lives, nor that it does not.
func TestByChance(t *testing.T) {
	runs := filepath.Join(t.TempDir(), "runs")
	dir := module(t, map[string]string{
		"m.go": "package m\n\nfunc f(n *int) {\n\t*n = 1\n}\n", "listed/m.txt": "f: assignment dropped: *n = 1 :: by chance\n", "not/m.txt": "",
		"m_test.go": "package m\n\nimport (\n\t\"os\"\n\t\"testing\"\n)\n\nconst runs = " + strconv.Quote(runs) + `

func TestF(t *testing.T) {
	var n int
	if f(&n); n == 1 {
		return
	}
	left, err := os.ReadFile(runs)
	if err != nil || os.WriteFile(runs, left[1:], 0o600) != nil || left[0] == 'F' {
		t.Fatal(err)
	}
}
`,
	})
	for _, tc := range []struct {
		list, runs string // F: the test fails; an unlisted mutant is run twice, to be sure, before it lives
		code       int
		counted    string
	}{
		{"listed", "FFP", 0, "0 killed, 0 of them timed out, 1 lived"},
		{"listed", "FFF", 1, "1 killed, 0 of them timed out, 0 lived"},
		{"not", "PPPPF", 0, "1 killed, 0 of them timed out, 0 lived"},
		{"not", "PPPPPP", 1, "0 killed, 0 of them timed out, 1 lived"},
	} {
		write(t, filepath.Dir(runs), map[string]string{"runs": tc.runs})
		code, out := mutate(t, "-survivors", tc.list, ".")
		if left, err := os.ReadFile(runs); code != tc.code || !strings.Contains(out, tc.counted) || err != nil || len(left) > 0 {
			t.Errorf("%s, %s: exit code %d, %q (%v) not run in %s:\n%s", tc.list, tc.runs, code, left, err, dir, out)
		}
	}
}

// TestStartedAgain has a test that starts its binary again, with nothing of its
// environment. What runs there is mutated, and covered.
func TestStartedAgain(t *testing.T) {
	module(t, map[string]string{"m.go": "package m\n\nfunc f(s *string) {\n\t*s = \"yes\"\n}\n", "m_test.go": `package m

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 1 {
		var s string
		f(&s)
		fmt.Print(s)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestChild(t *testing.T) {
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path)
	cmd.Env = []string{"A=B"}
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "yes" {
		t.Fatalf("%s (%v)", out, err)
	}
}
`})
	code, out := mutate(t, ".")
	want := "example.com/m: 1 mutants, 1 covered; tests of m take T, a mutant may take 5s\nexample.com/m: 1 killed, 0 of them timed out, 0 lived, 0 not covered: 100.0 % killed, in T\n"
	if got := withoutTimes(out); code != 0 || got != want {
		t.Errorf("exit code %d:\n%s", code, got)
	}
}

// TestSample runs some mutants, the same ones with the same seed.
func TestSample(t *testing.T) {
	module(t, map[string]string{"m.go": everyKind, "m_test.go": everyTest, "l/m.txt": "calls: call dropped: one() :: not judged without a run\n"})
	args := []string{"-sample", "2", "-seed", "5", "-timeout-min", "1s", "-survivors", "l", "."}
	code, out := mutate(t, args...)
	want := `seed 5
example.com/m: 2 mutants, 2 covered; tests of m take T, a mutant may take 1s
example.com/m: 2 killed, 1 of them timed out, 0 lived, 0 not covered: 100.0 % killed (18 not run), in T
`
	if got := withoutTimes(out); code != 0 || got != want {
		t.Errorf("exit code %d:\n%s", code, got)
	}
	if _, again := mutate(t, args...); withoutTimes(again) != withoutTimes(out) {
		t.Errorf("with the same seed:\n%s", again)
	}
}

// TestRefused is what the program does not run.
func TestRefused(t *testing.T) {
	module(t, map[string]string{
		"wrong/m.go": "package m\n\nvar x int = \"\"\n", "wrong/m_test.go": "package m\n",
		"fails/m.go": "package m\n", "fails/m_test.go": "package m\n\nimport \"testing\"\n\nfunc TestA(t *testing.T) { t.Error(\"no\") }\n",
		"taken/zz_mutants.go": "package m\n",
		"l/taken.txt":         "f\n",
	})
	tests := []struct {
		args []string
		code int
		want string
	}{
		{nil, 2, "usage: mutate [flags] PACKAGE-DIR..."},
		{[]string{"-help"}, 0, "usage: mutate [flags] PACKAGE-DIR..."},
		{[]string{"-parallel", "0", "."}, 2, "usage: mutate [flags] PACKAGE-DIR..."},
		{[]string{"./none"}, 2, "mutate: go list: exit status 1: "},
		{[]string{"errors"}, 2, "mutate: errors: in no module\n"},
		{[]string{"./wrong"}, 2, "mutate: example.com/m/wrong: "},
		{[]string{"./fails"}, 2, "mutate: example.com/m/fails: tests of example.com/m/fails: without a mutant: killed:\n--- FAIL: TestA"},
		{[]string{"./taken"}, 2, "mutate: example.com/m/taken: package has a zz_mutants.go\n"},
		{[]string{"-survivors", "l", "./taken"}, 2, "mutate: example.com/m/taken: l/taken.txt:1: no \" :: \" with a reason after it\n"},
	}
	for _, tc := range tests {
		if code, out := mutate(t, tc.args...); code != tc.code || !strings.HasPrefix(out, tc.want) {
			t.Errorf("%q: exit code %d:\n%s", tc.args, code, out)
		}
	}
	if left, err := filepath.Glob(filepath.Join(os.TempDir(), "m[0-9]*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}

// TestLimitMemory limits what this process and its children may use, far above
// what they do.
func TestLimitMemory(t *testing.T) {
	var was, is syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_DATA, &was); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_DATA, &was); err != nil {
			t.Error(err)
		}
	}()
	const mib = 1 << 24
	if err := limitMemory(mib); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Getrlimit(syscall.RLIMIT_DATA, &is); err != nil || is.Cur != min(was.Max, mib<<20) {
		t.Errorf("limit %d (%v)", is.Cur, err)
	}
}
