package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestReaching has a mutant meet the quick tests first, and no test that does not reach it.
func TestReaching(t *testing.T) {
	here, elsewhere := map[int]bool{7: true}, map[int]bool{8: true}
	slow := test{"TestSlow", 4 * time.Second, here}
	slower := test{"TestSlower", 9 * time.Second, here}
	half := test{"TestHalf", quick / 2, here}
	rest := test{"TestRest", quick / 2, here}
	for name, tc := range map[string]struct {
		tests []test
		want  []string
	}{
		"none":                {[]test{{"TestOther", 1, elsewhere}, {}}, nil},
		"quick ones":          {[]test{half, {"TestOther", 1, elsewhere}, rest}, []string{"^(TestHalf|TestRest)$ 1s"}},
		"a slow one":          {[]test{slow}, []string{"^(TestSlow)$ 4s"}},
		"quick and slow ones": {[]test{slower, slow, half, rest}, []string{"^(TestHalf|TestRest)$ 1s", "^(TestSlow|TestSlower)$ 13s"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, s := range (baseline{tests: tc.tests}).reaching(7) {
				got = append(got, s.pattern()+" "+s.took.String())
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestFailsAlone has a test that needs another one before it. It was left out without a
// word, so that whoever read a mutant's end did not know that the test had not met it alone.
func TestFailsAlone(t *testing.T) {
	module(t, map[string]string{
		"m.go":      "package m\n\nfunc f(s *string) {\n\t*s = \"yes\"\n}\n",
		"m_test.go": "package m\n\nimport \"testing\"\n\nvar s string\n\nfunc TestA(*testing.T) { f(&s) }\n\nfunc TestB(t *testing.T) {\n\tif s != \"yes\" {\n\t\tt.Error(s)\n\t}\n}\n",
	})
	code, out := mutate(t, ".")
	want := `example.com/m: 1 mutants, 1 covered; tests of m take T, a mutant may take 5s
example.com/m: TestB fails alone: mutants meet it only among all tests of m, and those listed may not
example.com/m: 1 killed, 0 of them timed out, 0 lived, 0 not covered: 100.0 % killed, in T
`
	if got := withoutTimes(out); code != 0 || got != want {
		t.Errorf("exit code %d:\n%s", code, got)
	}
}
