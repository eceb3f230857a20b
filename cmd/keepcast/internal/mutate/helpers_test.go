package main

import (
	"context"
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// module writes a module of the files, by name, and makes it the working
// directory.
func module(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, map[string]string{"go.mod": "module example.com/m\n\ngo 1.26\n"})
	write(t, dir, files)
	t.Setenv("TMPDIR", t.TempDir())
	t.Setenv("GOFLAGS", "-mod=mod")
	t.Setenv("GOWORK", "off")
	t.Setenv("GOPROXY", "off")
	t.Chdir(dir)
	return dir
}

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// loaded returns the package in the working directory.
func loaded(t *testing.T) *source {
	t.Helper()
	all, err := listPackages(t.Context(), []string{"."})
	if err != nil {
		t.Fatal(err)
	}
	p, err := load(t.Context(), all[0])
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// another returns the package with another text in its only file.
func another(t *testing.T, p *source, text string) *source {
	t.Helper()
	q := *p
	q.texts = map[string][]byte{p.GoFiles[0]: []byte(text)}
	if err := q.understand(); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return &q
}

// mutate runs the program, and returns its exit code and all that it printed.
func mutate(t *testing.T, args ...string) (int, string) {
	t.Helper()
	var out strings.Builder
	code := command(context.Background(), append([]string{"-memory", "0"}, args...), &out, &out)
	return code, out.String()
}

// withoutTimes puts T in the place of the times that differ from run to run.
func withoutTimes(out string) string {
	return regexp.MustCompile(`(tests of [a-z]+ take|, in) [0-9.a-zµ]+`).ReplaceAllString(out, "$1 T")
}

// declared returns the first declaration of a text.
func declared(t *testing.T, p *source, text string) ast.Decl {
	t.Helper()
	return another(t, p, "package m\n\n"+text).files[0].Decls[0]
}
