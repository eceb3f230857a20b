package main

import (
	"cmp"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// findingRow is a row of docs/reference/findings.md: name and levels.
var findingRow = regexp.MustCompile("(?m)^\\| `([a-z0-9-]+)` \\| ((?:error|warning|info)(?:, (?:error|warning|info))*) \\| ")

// byHand are the levels of findings whose name or level is not written as a
// constant where the finding is made.
var byHand = map[string]string{"bfd-down": "warning"}

// TestFindingsAreDocumented holds the rows of docs/reference/findings.md to the findings that
// the code makes, and to their levels, since operators and scripts know them by
// these.
func TestFindingsAreDocumented(t *testing.T) {
	page, err := os.ReadFile(docs + "/reference/findings.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for _, row := range findingRow.FindAllStringSubmatch(string(page), -1) {
		documented[row[1]] = row[2]
	}
	made := findingsOf(t, "internal/doctor", "internal/control", "internal/engine", "internal/reconcile", "../../driver")
	maps.Copy(made, byHand)
	if len(made) < 50 {
		t.Errorf("only %d findings are in the code: has their form changed?", len(made))
	}
	for _, name := range slices.Sorted(maps.Keys(made)) {
		if have, ok := documented[name]; !ok {
			t.Errorf("finding %s is not in docs/reference/findings.md", name)
		} else if have != made[name] {
			t.Errorf("finding %s is documented as %s, and is made as %s", name, have, made[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(documented)) {
		if _, ok := made[name]; !ok {
			t.Errorf("finding %s of docs/reference/findings.md is made nowhere", name)
		}
	}
}

// findingsOf returns the findings that the code in the directories makes, with their
// levels, the worst first.
func findingsOf(t *testing.T, dirs ...string) map[string]string {
	t.Helper()
	levels := map[string]map[string]bool{}
	for _, dir := range dirs {
		for _, path := range goFiles(t, dir) {
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range file.Decls {
				for _, f := range madeIn(d) {
					for name := range f.names {
						if levels[name] == nil {
							levels[name] = map[string]bool{}
						}
						maps.Copy(levels[name], f.levels)
					}
				}
			}
		}
	}
	out := map[string]string{}
	for name, of := range levels {
		unmade := func(level string) bool { return !of[level] }
		out[name] = strings.Join(slices.DeleteFunc([]string{"error", "warning", "info"}, unmade), ", ")
	}
	return out
}

// goFiles returns the files of the program in a directory and those below it.
func goFiles(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if filepath.Ext(path) == ".go" && !strings.HasSuffix(path, "_test.go") {
			out = append(out, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// finding is one that a function makes: by a literal, and by what is assigned to
// the fields of its variable.
type finding struct{ names, levels map[string]bool }

func newFinding() *finding { return &finding{map[string]bool{}, map[string]bool{}} }

// madeIn returns the findings that a function makes. A statement that sets name and
// level makes one of its own; else each name of a variable goes with each of its
// levels.
func madeIn(function ast.Node) []*finding {
	var out []*finding
	variables := map[string]*finding{}
	levels := map[string][]ast.Expr{} // assigned to variables such as level
	of := map[ast.Expr]*finding{}     // by their literal
	ast.Inspect(function, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if len(n.Lhs) != len(n.Rhs) {
				return true
			}
			both := newFinding()
			for i, to := range n.Lhs {
				switch to := to.(type) {
				case *ast.Ident:
					levels[to.Name] = append(levels[to.Name], n.Rhs[i])
					if lit, ok := n.Rhs[i].(*ast.CompositeLit); ok && isFinding(lit) {
						variables[to.Name] = newFinding()
						of[lit] = variables[to.Name]
					}
				case *ast.SelectorExpr:
					both.set(to.Sel.Name, n.Rhs[i], levels)
				}
			}
			if len(both.names) > 0 && len(both.levels) > 0 {
				out = append(out, both)
			} else if x := variables[assigned(n)]; x != nil {
				maps.Copy(x.names, both.names)
				maps.Copy(x.levels, both.levels)
			}
		case *ast.CompositeLit:
			if isFinding(n) {
				f := cmp.Or(of[n], newFinding())
				out = append(out, f)
				for _, e := range n.Elts {
					if kv, ok := e.(*ast.KeyValueExpr); ok {
						f.set(kv.Key.(*ast.Ident).Name, kv.Value, levels)
					}
				}
			}
		}
		return true
	})
	return out
}

// assigned returns the variable whose fields a statement sets, "" if it sets none.
func assigned(n *ast.AssignStmt) string {
	if field, ok := n.Lhs[0].(*ast.SelectorExpr); ok {
		if x, ok := field.X.(*ast.Ident); ok {
			return x.Name
		}
	}
	return ""
}

// set takes in what a field of a finding is given.
func (f *finding) set(field string, value ast.Expr, levels map[string][]ast.Expr) {
	switch v := value.(type) {
	case *ast.BasicLit:
		if name, err := strconv.Unquote(v.Value); err == nil && field == "Name" {
			f.names[name] = true
		}
	case *ast.SelectorExpr: // driver.LevelError
		f.set(field, v.Sel, nil)
	case *ast.Ident:
		if field != "Level" {
			return
		}
		if level, ok := strings.CutPrefix(v.Name, "Level"); ok {
			f.levels[strings.ToLower(level)] = true
		}
		for _, assigned := range levels[v.Name] {
			f.set(field, assigned, nil)
		}
	}
}

// isFinding tells whether a literal is one: by its type or, where that is left out, by its
// fields.
func isFinding(lit *ast.CompositeLit) bool {
	switch of := lit.Type.(type) {
	case *ast.Ident:
		return of.Name == "Finding"
	case *ast.SelectorExpr:
		return of.Sel.Name == "Finding"
	}
	fields := map[string]bool{}
	for _, e := range lit.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			if key, ok := kv.Key.(*ast.Ident); ok {
				fields[key.Name] = true
			}
		}
	}
	return lit.Type == nil && fields["Name"] && (fields["Level"] || fields["Text"])
}
