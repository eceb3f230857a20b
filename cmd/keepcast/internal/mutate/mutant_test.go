package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestFind finds the mutants in small texts. Each text also compiles with all
// of them in it.
func TestFind(t *testing.T) {
	const imported = "package m\n\nimport \"errors\"\n\nvar _ = errors.New\n\nfunc f(...any) error { return nil }\n\n"
	tests := []struct {
		name, text string
		want       []string
	}{
		{"calls", "func g(s []int) { f(1); (f)(2); println(); copy(s, s); panic(3) }", []string{
			"call dropped: f(1)", "call dropped: (f)(2)", "call dropped: println()", "call dropped: copy(s, s)", "call dropped: panic(3)",
		}},
		{"call in an assignment to nothing", "func g(x int) { _ = f(); _ = x; _, _ = x, f() }", []string{
			"call dropped: _ = f()", "call dropped: _, _ = x, f()",
		}},
		{"defer, go, send and receive", "func g(c chan int) { defer f(); go f(); c <- 1; <-c }", []string{
			"defer dropped: defer f()", "go dropped: go f()", "send dropped: c <- 1", "receive dropped: <-c",
		}},
		{"assignments", "func g(x int, m map[int]int) { x = 1; y := x; y += 2; y++; m[1], _ = y, x; for i := 0; i < 1; i++ { } }", []string{
			"assignment dropped: x = 1", "assignment dropped: y += 2", "assignment dropped: y++", "assignment dropped: m[1], _ = y, x",
		}},
		{"with a label", "func g(x int) {\nhere:\n\tx++\n\tgoto here\n}", []string{"assignment dropped: x++"}},
		{"truths", "type truth bool\nfunc g() bool { return true }\nfunc h() truth { return truth(false) }\nfunc i() (int, bool) { return 1, false }", []string{
			"return negated: return true", "return negated: return truth(false)", "return negated: return 1, false",
		}},
		{"truths that are no constants", "func g(a, b bool) bool { return a && b }\nfunc h(a bool) (bool, int) { return a, 1 }\nfunc i(a int) bool { return a == 1 }\nfunc j(a bool) bool { return !a }", []string{
			"return negated: return a && b", "return negated: return !a",
		}},
		{"of a type parameter", "func g[T ~bool](a T) T { return a }\nfunc h[T error](a T) T { return a }\nfunc i[T any](a T) (T, error) { return a, errors.New(\"\") }", []string{
			"error returned nil: return a, errors.New(\"\")",
		}},
		{"errors", "func g() error { return errors.New(\"a\") }\nfunc h() (int, error) { return 1, f() }\nfunc i() (int, error) { return h() }\nfunc j() error { return nil }", []string{
			"error returned nil: return errors.New(\"a\")", "error returned nil: return 1, f()", "error returned nil: return h()",
		}},
		{"error of a type of its own", "type fault struct{}\nfunc (*fault) Error() string { return \"\" }\nfunc g() error { return &fault{} }\nfunc h() *fault { return &fault{} }", []string{
			"error returned nil: return &fault{}",
		}},
		{"results", "func g(a, b string) (string, string) { return a, b }\nfunc h(a string) (string, string) { return a, a }\nfunc i() (x, y float64) { return 1, 2 }\nfunc j(a int, b any) (any, any) { return a, b }\nfunc k(a string) (string, string) { return \"\", a }\nfunc l() (x, y int) { return }", []string{
			"results swapped: return a, b", "results swapped: return 1, 2", "results swapped: return \"\", a",
		}},
		{"functions in functions", "var v = func() bool { return true }\nfunc g() int { h := func() (bool, error) { return true, f() }; h(); return 1 }", []string{
			"return negated: return true", "return negated: return true, f()", "error returned nil: return true, f()", "call dropped: h()",
		}},
		{"if and else", "func g(a, b int) { if a == b { f(); f() } else if a > b { return } else { a = b; f() }; if a == b { f() }; if a == b { } }", []string{
			"if emptied: if a == b { f() f() }", "call dropped: f()", "call dropped: f()", "if emptied: if a > b { return }",
			"else emptied: if a > b { } else { a = b f() }", "assignment dropped: a = b", "call dropped: f()", "call dropped: f()",
		}},
		{"at the end of a function with results", "func g(a int) int { if a == 1 { return 1 } else { panic(2) } }\nfunc h(a int) int { switch a { case 1: return 1; default: { f(); panic(2) } } }\nfunc i(a int) { if a == 1 { return } else { panic(2) } }\nfunc j() int { for { if f() != nil { return 1 } } }\nfunc k(c chan int) int { select { case <-c: return 1 } }", []string{
			"call dropped: f()", "if emptied: if a == 1 { return }", "call dropped: panic(2)", "if emptied: if f() != nil { return 1 }",
		}},
		{"cases", "func g(a any, c chan int) { switch a { case 1: f(); f(); case 2: fallthrough; case 3: f(); default: return }; switch b := a.(type) { case int: a = b; return }; select { case c <- 1: return; case <-c: } }", []string{
			"case emptied: case 1: f() f()", "call dropped: f()", "call dropped: f()", "call dropped: f()", "case emptied: default: return",
			"case emptied: case int: a = b return", "assignment dropped: a = b", "case emptied: case c <- 1: return",
		}},
		{"loops", "func g(s []int) { for range s { f(); f() }; for i := 0; i < 1; i++ { if i == 2 { break } }; for { break }; for len(s) > 0 { s = s[1:]; f() } }", []string{
			"loop emptied: for range s { f() f() }", "call dropped: f()", "call dropped: f()", "loop emptied: for i := 0; i < 1; i++ { if i == 2 { break } }",
			"if emptied: if i == 2 { break }", "assignment dropped: s = s[1:]", "call dropped: f()",
		}},
		{"not conditions", "func g(a, b int) int { return a + b*-a }", nil},
	}
	module(t, map[string]string{"m.go": "package m\n"})
	p := loaded(t)
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got := found(t, another(t, p, imported+tc.text+"\n"), false)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestConditions finds those that gremlins makes too.
func TestConditions(t *testing.T) {
	tests := []struct {
		name, text string
		want       []string
	}{
		{"equal", "func g(a any) bool { return a == 1 }", []string{"CONDITIONALS_NEGATION"}},
		{"not equal", "func g(a *int) bool { return a != nil }", []string{"CONDITIONALS_NEGATION"}},
		{"order", "func g(a string, b float64) bool { return a<\"x\" || 1 >= b }", []string{
			"return negated", "CONDITIONALS_NEGATION", "CONDITIONALS_BOUNDARY", "CONDITIONALS_NEGATION", "CONDITIONALS_BOUNDARY",
		}},
		{"of a type of its own", "type truth bool\ntype number int\nfunc g(a number) truth { return a <= 1 }", []string{
			"CONDITIONALS_NEGATION", "CONDITIONALS_BOUNDARY",
		}},
		{"in a case", "func g(a int) { switch { case a > 1: } }", []string{"CONDITIONALS_NEGATION", "CONDITIONALS_BOUNDARY"}},
		{"arithmetic", "func g(a, b int, c float32) (int, float32) { return a+b - a*b%2, c / 2 }", []string{
			"ARITHMETIC_BASE", "ARITHMETIC_BASE", "ARITHMETIC_BASE", "ARITHMETIC_BASE", "ARITHMETIC_BASE",
		}},
		{"no numbers, and constants", "const c = 1 + 2\nfunc g(a string, b complex64) (string, complex64) { return a + a, b * b }\nvar v [c - 1]int", nil},
		{"type parameter", "func g[T ~int | ~uint](a T) bool { return a < 2 }", []string{"CONDITIONALS_NEGATION", "CONDITIONALS_BOUNDARY"}},
		{"counters", "func g(a int) { a++; a--; for ; ; a++ { return } }", []string{
			"assignment dropped", "INCREMENT_DECREMENT", "assignment dropped", "INCREMENT_DECREMENT",
		}},
		{"minus", "func g(a float64) (int, float64) { return -1, -a }\nconst c = -1", []string{"INVERT_NEGATIVES", "INVERT_NEGATIVES"}},
	}
	module(t, map[string]string{"m.go": "package m\n"})
	p := loaded(t)
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got := found(t, another(t, p, "package m\n\n"+tc.text+"\n"), true)
			for i, m := range got {
				got[i], _, _ = strings.Cut(m, ":")
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// found returns the mutants of a package, which must all compile, without their
// functions.
func found(t *testing.T, p *source, conditions bool) []string {
	t.Helper()
	mutants := p.find(conditions)
	files, err := p.compilable(mutants)
	if err != nil {
		t.Fatalf("%v in\n%s", err, p.instrument(mutants)[p.GoFiles[0]])
	}
	var got []string
	for _, m := range mutants {
		if m.state == leftOut {
			t.Errorf("left out: %s: %s\n%s", m.key, m.why, files[p.GoFiles[0]])
		}
		got = append(got, m.kind+": "+m.text)
	}
	return got
}

// TestNames names declarations.
func TestNames(t *testing.T) {
	tests := []struct{ text, want string }{
		{"func f() {}", "f"},
		{"func (t T) f() {}\ntype T int", "T.f"},
		{"func (t *T) f() {}\ntype T int", "(*T).f"},
		{"func (t *T[A]) f() {}\ntype T[A any] int", "(*T).f"},
		{"func (t T[A, B]) f() {}\ntype T[A, B any] int", "T.f"},
		{"var x, y = 1, 2", "var x"},
		{"var (\n\tx = 1\n\ty = 2\n)", "var (...)"},
	}
	module(t, map[string]string{"m.go": "package m\n"})
	p := loaded(t)
	for _, tc := range tests {
		if got := nameOf(declared(t, p, tc.text)); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.text, got, tc.want)
		}
	}
}

// TestShort brings texts to one line.
func TestShort(t *testing.T) {
	long := strings.Repeat("ä", longestText)
	for text, want := range map[string]string{
		"if a {\n\tb()\n}": "if a { b() }",
		long:               long,
		long + "x":         long[:len(long)-2] + "…",
	} {
		if got := short(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// TestLeftOut leaves out what does not compile, and keeps the others.
func TestLeftOut(t *testing.T) {
	module(t, map[string]string{"m.go": `package m

func f() bool {
	type bool int
	_ = bool(1)
	return !g()
}

func g() bool { return true }
`})
	p := loaded(t)
	mutants := p.find(false)
	if _, err := p.compilable(mutants); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range mutants {
		got = append(got, m.String()+": "+m.state.String()+": "+m.why)
	}
	want := []string{
		"f: call dropped: _ = bool(1): not run: ",
		"f: return negated: return !g(): does not compile: cannot convert !g() (value of type bool) to type bool",
		"g: return negated: return true: not run: ",
	}
	if !slices.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
}
