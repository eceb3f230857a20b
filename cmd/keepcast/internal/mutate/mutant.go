package main

import (
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"go/format"
	"go/token"
	"slices"
	"strings"
)

// The kinds of mutants. Those of conditions have the names that gremlins gives
// them, so that one survivors list does for both tools.
const (
	callDropped       = "call dropped"
	deferDropped      = "defer dropped"
	goDropped         = "go dropped"
	sendDropped       = "send dropped"
	receiveDropped    = "receive dropped"
	assignmentDropped = "assignment dropped"
	returnNegated     = "return negated"
	errorNil          = "error returned nil"
	resultsSwapped    = "results swapped"
	ifEmptied         = "if emptied"
	elseEmptied       = "else emptied"
	caseEmptied       = "case emptied"
	loopEmptied       = "loop emptied"

	conditionNegated   = "CONDITIONALS_NEGATION"
	boundaryMoved      = "CONDITIONALS_BOUNDARY"
	arithmeticSwapped  = "ARITHMETIC_BASE"
	counterReversed    = "INCREMENT_DECREMENT"
	signDropped        = "INVERT_NEGATIVES"
	longestText        = 80 // of a mutant, in runes
	shortened          = "…"
	outsideOfFunctions = "var "
)

// ofConditions reports whether a mutant of the kind is one that gremlins makes too.
func ofConditions(kind string) bool { return kind == strings.ToUpper(kind) }

// state is what became of a mutant.
type state int

const (
	notRun     state = iota // not chosen by -sample
	leftOut                 // does not compile
	notCovered              // no test gets there
	lived
	killed
	timedOut // killed, too
)

// alive reports whether the tests did not notice the mutant.
func (s state) alive() bool { return s == lived || s == notCovered }

// String is what the output says.
func (s state) String() string {
	return [...]string{"not run", "does not compile", "not covered", "lived", "killed", "timed out"}[s]
}

// mutant is one way to break the package.
type mutant struct {
	number int // in the binary
	pos    token.Position
	key
	edits []edit
	state state
	why   string // of leftOut
}

// key is what the survivors list knows a mutant by.
type key struct{ fn, kind, text string }

func (k key) String() string { return fmt.Sprintf("%s: %s: %s", k.fn, k.kind, k.text) }

// finder collects the mutants of one file.
type finder struct {
	*source
	text       []byte
	fn         string
	results    []results // of the functions around, the innermost last
	tails      map[ast.Stmt]bool
	conditions bool
	edits      int
	mutants    []*mutant
}

// find returns all mutants of the package, in the order of its files.
func (p *source) find(conditions bool) []*mutant {
	var all []*mutant
	for _, file := range p.files {
		f := &finder{source: p, text: p.texts[p.fset.Position(file.Package).Filename], tails: map[ast.Stmt]bool{}, conditions: conditions}
		for _, decl := range file.Decls {
			f.fn = nameOf(decl)
			f.walk(decl)
		}
		slices.SortStableFunc(f.mutants, func(a, b *mutant) int { return cmp.Compare(a.pos.Offset, b.pos.Offset) })
		all = append(all, f.mutants...)
	}
	for i, m := range all {
		m.number = i + 1
	}
	return all
}

// nameOf names a declaration in the way of (*Engine).Run.
func nameOf(decl ast.Decl) string {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil {
			return d.Name.Name
		}
		recv := d.Recv.List[0].Type
		pointer, isPointer := recv.(*ast.StarExpr)
		if isPointer {
			recv = pointer.X
		}
		switch generic := recv.(type) {
		case *ast.IndexExpr:
			recv = generic.X
		case *ast.IndexListExpr:
			recv = generic.X
		}
		name, ok := recv.(*ast.Ident)
		if !ok {
			return d.Name.Name
		}
		if isPointer {
			return "(*" + name.Name + ")." + d.Name.Name
		}
		return name.Name + "." + d.Name.Name
	case *ast.GenDecl:
		if len(d.Specs) == 1 {
			if v, ok := d.Specs[0].(*ast.ValueSpec); ok {
				return outsideOfFunctions + v.Names[0].Name
			}
		}
	}
	return outsideOfFunctions + "(...)"
}

// add notes a mutant; in the text of an edit, N stands for its number.
func (f *finder) add(kind string, pos token.Pos, text string, edits ...edit) {
	for i := range edits {
		edits[i].order = f.edits
		f.edits++
	}
	f.mutants = append(f.mutants, &mutant{
		pos: f.fset.Position(pos), key: key{f.fn, kind, short(text)}, edits: edits,
	})
}

// wrap adds a mutant that leaves out everything from one place to another.
func (f *finder) wrap(kind string, pos token.Pos, text string, from, to token.Pos) {
	f.add(kind, pos, text, f.opening(from, "if !mutant__(N) { "), f.closing(to, " }"))
}

func (f *finder) opening(at token.Pos, text string) edit {
	return edit{at: f.offset(at), text: text}
}

func (f *finder) closing(at token.Pos, text string) edit {
	return edit{at: f.offset(at), text: text, closes: true}
}

func (f *finder) offset(at token.Pos) int { return f.fset.Position(at).Offset }

// show prints a node without its comments.
func (f *finder) show(n ast.Node) string {
	var b bytes.Buffer
	if err := format.Node(&b, f.fset, n); err != nil {
		return err.Error()
	}
	return b.String()
}

// line is the line of the source at pos, as gremlins gives no more.
func line(text []byte, offset int) string {
	start := bytes.LastIndexByte(text[:offset], '\n') + 1
	end := bytes.IndexByte(text[offset:], '\n')
	if end < 0 {
		end = len(text) - offset
	}
	return string(text[start : offset+end])
}

// short brings a text to one line that is not too long.
func short(text string) string {
	runes := []rune(strings.Join(strings.Fields(text), " "))
	if len(runes) <= longestText {
		return string(runes)
	}
	return strings.TrimSpace(string(runes[:longestText-1])) + shortened
}
