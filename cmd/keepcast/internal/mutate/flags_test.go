package main

import (
	"strings"
	"testing"
)

// TestFlags is what would make a result worthless.
func TestFlags(t *testing.T) {
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{}, "no packages named"},
		{[]string{"-parallel", "0", "."}, "-parallel: at least 1"},
		{[]string{"-min", "NaN", "."}, "-min: a percentage, 0 to 100"},
		{[]string{"-min", "101", "."}, "-min: a percentage, 0 to 100"},
		{[]string{"-sample", "-3", "."}, "-sample: at least 0"},
		{[]string{"-timeout-factor", "0", "."}, "-timeout-factor: at least 1, the time that the clean tests take"},
		{[]string{"-timeout-min", "-1s", "."}, "-timeout-min: at least 0"},
		{[]string{"-memory", "-1", "."}, "-memory: at least 0"},
		{[]string{"-survivors", "none", "."}, "-survivors: none is no directory"},
		{[]string{"-survivors", "main.go", "."}, "-survivors: main.go is no directory"},
	} {
		if code, out := mutate(t, tc.args...); code != 2 || !strings.HasSuffix(out, "\nmutate: "+tc.want+"\n") {
			t.Errorf("%q: exit code %d:\n%s", tc.args, code, out)
		}
	}
}
