package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/token"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// gremlinsResult is what "gremlins unleash -o" writes.
type gremlinsResult struct {
	Files []struct {
		Name      string             `json:"file_name"` // from the directory of the package
		Mutations []gremlinsMutation `json:"mutations"`
	} `json:"files"`
}

type gremlinsMutation struct {
	Type, Status string
	Line, Column int
}

// fitForGremlins reports whether gremlins runs the tests of this package: gremlins
// derives the path of the package from its name. If the directory has another name, "go
// test" finds no package, and gremlins counts that as a kill.
func fitForGremlins(l listed) bool { return strings.HasSuffix(l.rel(), l.Name) }

// runGremlins starts gremlins, or reads what it wrote before, and returns its
// mutants.
func (p *source) runGremlins(ctx context.Context, s session) ([]*mutant, error) {
	info, err := os.Stat(s.gremlins)
	if err == nil && info.IsDir() {
		file := filepath.Join(s.gremlins, p.dotted()+".json")
		if err := p.olderThan(file); err != nil {
			return nil, err
		}
		return p.readGremlins(file)
	}
	file := filepath.Join(s.work, p.dotted()+".json")
	if err := p.unleash(ctx, s, file); err != nil {
		return nil, err
	}
	if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
		return nil, nil // it writes nothing where there are no mutants
	}
	return p.readGremlins(file)
}

// olderThan returns an error if a file of the package is newer than the result:
// its lines would be others.
func (p *source) olderThan(result string) error {
	info, err := os.Stat(result)
	if err != nil {
		return err
	}
	for _, name := range slices.Concat(p.GoFiles, p.TestGoFiles, p.XTestGoFiles) {
		file, err := os.Stat(filepath.Join(p.Dir, name))
		if err != nil {
			return err
		}
		if file.ModTime().After(info.ModTime()) {
			return fmt.Errorf("%s: older than %s: run gremlins again", result, name)
		}
	}
	return nil
}

// unleash runs gremlins on one package, not on those below it.
func (p *source) unleash(ctx context.Context, s session, file string) error {
	program, err := exec.LookPath(s.gremlins)
	if err != nil {
		return err
	}
	if program, err = filepath.Abs(program); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, program, "unleash", "--silent", "--timeout-coefficient", strconv.Itoa(max(3, int(s.factor))),
		"--workers", strconv.Itoa(s.parallel), "--exclude-files", "/", "--output", file, "./"+p.rel())
	cmd.Dir = p.Module.Dir
	// Its timeouts are multiples of the time of a first run. If that one comes from
	// the cache of "go test", they are so short that each mutant is over them.
	flags := os.Getenv("GOFLAGS") + " -count=1"
	cmd.Env = append(os.Environ(), "PWD="+cmd.Dir, "TMPDIR="+s.work, "GOFLAGS="+flags)
	if out, err := cmd.CombinedOutput(); err != nil {
		return withOutput(err, out)
	}
	return nil
}

func (p *source) readGremlins(file string) ([]*mutant, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var result gremlinsResult
	if err := json.Unmarshal(text, &result); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	var all []*mutant
	for _, f := range result.Files {
		index := slices.Index(p.GoFiles, path.Clean(f.Name))
		if index < 0 { // of another platform, or of a package below
			continue
		}
		for _, g := range f.Mutations {
			m, err := p.fromGremlins(p.files[index], g)
			if err != nil {
				return nil, fmt.Errorf("%s: %s:%d:%d: %w", file, f.Name, g.Line, g.Column, err)
			}
			all = append(all, m)
		}
	}
	slices.SortStableFunc(all, func(a, b *mutant) int {
		return cmp.Or(cmp.Compare(a.pos.Filename, b.pos.Filename), cmp.Compare(a.pos.Offset, b.pos.Offset))
	})
	return all, nil
}

// fromGremlins makes a mutant of ours of one of theirs.
func (p *source) fromGremlins(file *ast.File, g gremlinsMutation) (*mutant, error) {
	handle := p.fset.File(file.Package)
	if g.Line < 1 || g.Line > handle.LineCount() {
		return nil, errors.New("no such line")
	}
	pos := handle.LineStart(g.Line) + token.Pos(g.Column-1)
	m := &mutant{pos: p.fset.Position(pos)}
	m.kind, m.text = g.Type, short(line(p.texts[m.pos.Filename], m.pos.Offset))
	for _, decl := range file.Decls {
		if decl.Pos() <= pos && pos < decl.End() {
			m.fn = nameOf(decl)
		}
	}
	states := map[string]state{"KILLED": killed, "TIMED OUT": timedOut, "LIVED": lived, "NOT COVERED": notCovered}
	known := false
	if m.state, known = states[g.Status]; !known {
		m.state, m.why = leftOut, "gremlins says "+strings.ToLower(g.Status)
	}
	if why := p.invalid(file, pos, g.Type); why != "" {
		m.state, m.why = leftOut, why
	}
	return m, nil
}

// invalid returns why a mutant of gremlins is none, or nothing. One that does not
// compile is killed for gremlins, as "go test" fails. Of each minus it makes two
// mutants that are the same.
func (p *source) invalid(file *ast.File, pos token.Pos, kind string) string {
	why := ""
	ast.Inspect(file, func(n ast.Node) bool {
		switch e := n.(type) {
		case *ast.UnaryExpr:
			if e.OpPos == pos && kind == arithmeticSwapped {
				why = "the same as " + signDropped
			}
		case *ast.BinaryExpr:
			o, known := operatorOf(e.Op)
			switch {
			case e.OpPos != pos || !known || o.kind != arithmeticSwapped:
			case kind == signDropped:
				why = "the same as " + arithmeticSwapped
			case kind == arithmeticSwapped:
				e.Op = o.other
				if faults := p.check(p.fset, p.files, nil); len(faults) > 0 {
					why = faults[0].Msg
				}
				e.Op = o.was
			}
		}
		return true
	})
	return why
}
