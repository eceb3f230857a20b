package main

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// TestSince runs the packages that changed. Without git, or without the revision,
// these are all.
func TestSince(t *testing.T) {
	drivertest.Program(t, "git")
	dir := module(t, map[string]string{
		"a/m.go": "package a\n", "b/m.go": "package b\n", "b/c/m.go": "package c\n", "d/m.go": "package d\n", "l/d.txt": "# none\n", "l/a.txt": "# none\n",
	})
	run := func(args ...string) {
		t.Helper()
		args = append([]string{"-c", "user.name=a", "-c", "user.email=a@example.com"}, args...)
		if out, err := exec.Command("git", args...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	const unknown = "running all packages: git diff: exit status 1"
	if _, out := mutate(t, "-since", "HEAD", "./..."); !strings.HasPrefix(out, unknown) || strings.Contains(out, "not run") {
		t.Errorf("without git:\n%s", out)
	}
	run("init", "-q")
	run("add", ".")
	run("commit", "-q", "-m", "one")
	tests := []struct {
		name string
		file map[string]string
		want string
	}{
		{"nothing", nil, ""},
		{"a file", map[string]string{"a/m.go": "package a\n\n"}, "a"},
		{"a package below", map[string]string{"b/c/m.go": "package c\n\n"}, "c"},
		{"a new test", map[string]string{"b/m_test.go": "package b\n"}, "b"},
		{"testdata", map[string]string{"b/testdata/x/y": ""}, "b"},
		{"a list", map[string]string{"l/d.txt": "# some\n"}, "d"},
		{"something else", map[string]string{"go.sum": ""}, ""},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			write(t, dir, tc.file)
			defer run("add", ".")
			defer run("checkout", "-q", ".")
			defer run("clean", "-qfd")
			_, out := mutate(t, "-survivors", "l", "-since", "HEAD", "./...")
			var ran string
			for _, name := range []string{"a", "b", "b/c", "d"} {
				if !strings.Contains(out, "example.com/m/"+name+": not changed since HEAD, not run\n") {
					ran += name[strings.LastIndexByte(name, '/')+1:]
				}
			}
			if ran != tc.want {
				t.Errorf("ran %q:\n%s", ran, out)
			}
		})
	}
	if _, out := mutate(t, "-since", "no-such", "./..."); !strings.HasPrefix(out, "running all packages: git diff: exit status 128: fatal: bad revision") {
		t.Errorf("revision unknown:\n%s", out)
	}
}
