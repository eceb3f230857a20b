package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"slices"
	"strconv"
	"strings"
)

// edit is a place where the text of a file changes. No edit has a newline, so
// that every line keeps its number.
type edit struct {
	at, remove int
	text       string
	closes     bool // it ends what another one begins
	order      int
}

// apply makes all edits of a file.
func apply(text []byte, edits []edit) []byte {
	sorted := slices.Clone(edits)
	slices.SortFunc(sorted, before)
	var out []byte
	done := 0
	for _, e := range sorted {
		out = append(out, text[done:e.at]...)
		out = append(out, e.text...)
		done = e.at + e.remove
	}
	return append(out, text[done:]...)
}

// before orders edits. At one place the inner ones close first; then the outer
// ones open first; what takes something away comes last.
func before(a, b edit) int {
	rank := func(e edit) int {
		switch {
		case e.closes:
			return 0
		case e.remove == 0:
			return 1
		}
		return 2
	}
	switch {
	case a.at != b.at:
		return a.at - b.at
	case rank(a) != rank(b):
		return rank(a) - rank(b)
	case a.closes:
		return b.order - a.order
	}
	return a.order - b.order
}

// instrument returns the files of the package, by name, with the mutants in them
// that are not left out.
func (p *source) instrument(mutants []*mutant) map[string][]byte {
	edits := map[string][]edit{}
	for _, m := range mutants {
		if m.state == leftOut {
			continue
		}
		for _, e := range m.edits {
			e.text = strings.Replace(e.text, "(N", "("+strconv.Itoa(m.number), 1)
			edits[m.pos.Filename] = append(edits[m.pos.Filename], e)
		}
	}
	files := map[string][]byte{guardFile: guard(p.Name, len(mutants))}
	for name, text := range p.texts {
		if e := edits[name]; e != nil {
			files[name] = apply(text, e)
		}
	}
	return files
}

// compilable leaves out the mutants that do not compile, and returns the
// instrumented files with the others.
func (p *source) compilable(mutants []*mutant) (map[string][]byte, error) {
	if _, taken := p.texts[guardFile]; taken {
		return nil, errors.New("package has a " + guardFile)
	}
	for {
		files := p.instrument(mutants)
		fset := token.NewFileSet()
		parsed, err := p.parse(fset, files)
		if err != nil {
			return nil, fmt.Errorf("instrumented package: %w", err)
		}
		faults := p.check(fset, parsed, nil)
		if len(faults) == 0 {
			return files, nil
		}
		if !p.leaveOut(mutants, fset, faults) {
			return nil, fmt.Errorf("instrumented package: %w", faults[0])
		}
	}
}

// parse reads the package with some of its files replaced or added.
func (p *source) parse(fset *token.FileSet, files map[string][]byte) ([]*ast.File, error) {
	var all []*ast.File
	for _, name := range append(slices.Clone(p.GoFiles), guardFile) {
		text := files[name]
		if text == nil {
			text = p.texts[name]
		}
		file, err := parser.ParseFile(fset, name, text, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		all = append(all, file)
	}
	return all, nil
}

// leaveOut marks the mutants that are the cause of faults: those with an edit on
// the line of a fault. It reports whether there is one.
func (p *source) leaveOut(mutants []*mutant, fset *token.FileSet, faults []types.Error) bool {
	found := false
	for _, fault := range faults {
		at := fset.Position(fault.Pos)
		for _, m := range mutants {
			if m.state != leftOut && m.pos.Filename == at.Filename && p.editsLine(m, at.Line) {
				m.state, m.why, found = leftOut, fault.Msg, true
			}
		}
	}
	return found
}

func (p *source) editsLine(m *mutant, line int) bool {
	text := p.texts[m.pos.Filename]
	return slices.ContainsFunc(m.edits, func(e edit) bool {
		return 1+strings.Count(string(text[:e.at]), "\n") == line
	})
}
