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
