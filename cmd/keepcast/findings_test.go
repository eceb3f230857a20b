package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestFindingsAreDocumented holds every finding that the code can make to a row
// of docs/doctor.md, since operators and scripts know them by their names.
func TestFindingsAreDocumented(t *testing.T) {
	page, err := os.ReadFile(docs + "/doctor.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, dir := range []string{"internal/doctor", "../../driver"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			for _, name := range findingsIn(t, path) {
				found++
				if !strings.Contains(string(page), "\n| `"+name+"` |") {
					t.Errorf("%s: finding %s is not in docs/doctor.md", path, name)
				}
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d findings are in the code: has their form changed?", found)
	}
}

// findingsIn returns the names in the literals of findings: those with a Name
// and a Level or a Text.
func findingsIn(t *testing.T, path string) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	ast.Inspect(file, func(n ast.Node) bool {
		lit, ok := n.(*ast.CompositeLit)
		if !ok {
			return true
		}
		name, finding := "", false
		for _, e := range lit.Elts {
			kv, ok := e.(*ast.KeyValueExpr)
			if !ok {
				continue
			}
			key, _ := kv.Key.(*ast.Ident)
			if key == nil {
				continue
			}
			value, _ := kv.Value.(*ast.BasicLit)
			switch {
			case key.Name == "Name" && value != nil && value.Kind == token.STRING:
				name, _ = strconv.Unquote(value.Value) // parsed already
			case key.Name == "Level" || key.Name == "Text":
				finding = true
			}
		}
		if finding && name != "" {
			names = append(names, name)
		}
		return true
	})
	return names
}
