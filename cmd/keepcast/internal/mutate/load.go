package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// listed is a package as "go list" tells of it.
type listed struct {
	Dir, ImportPath, Name, Export      string
	GoFiles, TestGoFiles, XTestGoFiles []string
	ImportMap                          map[string]string
	Module                             *struct{ Path, Dir, GoVersion string }
}

// rel is the package's directory in the module.
func (l listed) rel() string {
	rel, err := filepath.Rel(l.Module.Dir, l.Dir)
	if err != nil {
		return l.Dir
	}
	return filepath.ToSlash(rel)
}

func (l listed) hasTests() bool { return len(l.TestGoFiles)+len(l.XTestGoFiles) > 0 }

// goList runs "go list" in dir.
func goList(ctx context.Context, dir string, args ...string) ([]listed, error) {
	fields := "-json=Dir,ImportPath,Name,Export,GoFiles,TestGoFiles,XTestGoFiles,ImportMap,Module"
	cmd := exec.CommandContext(ctx, "go", append([]string{"list", fields}, args...)...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", withOutput(err, nil))
	}
	var all []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var l listed
		if err := dec.Decode(&l); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		all = append(all, l)
	}
}

// withOutput adds what a program said to the error of its end.
func withOutput(err error, out []byte) error {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && len(out) == 0 {
		out = exit.Stderr
	}
	if len(out) == 0 {
		return err
	}
	return fmt.Errorf("%w: %s", err, bytes.TrimSpace(out))
}

// listPackages returns the packages to mutate.
func listPackages(ctx context.Context, patterns []string) ([]listed, error) {
	all, err := goList(ctx, "", append([]string{"--"}, patterns...)...)
	if err != nil {
		return nil, err
	}
	for _, l := range all {
		if l.Module == nil {
			return nil, fmt.Errorf("%s: in no module", l.ImportPath)
		}
	}
	return all, nil
}

// source is a package, parsed and type-checked.
type source struct {
	listed
	fset     *token.FileSet
	files    []*ast.File
	texts    map[string][]byte // by the name of the file
	info     *types.Info
	importer types.Importer
}

// load reads a package, without its tests.
func load(ctx context.Context, l listed) (*source, error) {
	deps, err := goList(ctx, l.Dir, append([]string{"-deps", "-export", "."}, guardImports()...)...)
	if err != nil {
		return nil, err
	}
	exports := map[string]string{}
	for _, d := range deps {
		exports[d.ImportPath] = d.Export
	}
	p := &source{listed: l, texts: map[string][]byte{}}
	p.importer = importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) {
		if mapped, ok := l.ImportMap[path]; ok {
			path = mapped
		}
		if exports[path] == "" {
			return nil, fmt.Errorf("%s: no export data", path)
		}
		return os.Open(exports[path])
	})
	for _, name := range l.GoFiles {
		if p.texts[name], err = os.ReadFile(filepath.Join(l.Dir, name)); err != nil {
			return nil, err
		}
	}
	return p, p.understand()
}

// understand parses and type-checks the texts of the package.
func (p *source) understand() error {
	p.fset, p.files = token.NewFileSet(), nil
	for _, name := range p.GoFiles {
		file, err := parser.ParseFile(p.fset, name, p.texts[name], parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		p.files = append(p.files, file)
	}
	p.info = &types.Info{
		Types: map[ast.Expr]types.TypeAndValue{}, Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{},
	}
	if faults := p.check(p.fset, p.files, p.info); len(faults) > 0 {
		return faults[0]
	}
	return nil
}

// check type-checks files as the package, and returns all that is wrong.
func (p *source) check(fset *token.FileSet, files []*ast.File, info *types.Info) []types.Error {
	var faults []types.Error
	conf := types.Config{
		Importer: p.importer, Sizes: types.SizesFor("gc", runtime.GOARCH), GoVersion: "go" + p.Module.GoVersion,
		Error: func(err error) {
			if fault, ok := errors.AsType[types.Error](err); ok {
				faults = append(faults, fault)
			}
		},
	}
	// What it returns is the first of those that Error got.
	_, _ = conf.Check(p.ImportPath, fset, files, info)
	return faults
}
