package main

import (
	"go/ast"
	"go/token"
	"go/types"
)

// results are the types that a function returns.
type results []types.Type

// enter notes the function that the walk is in from now on.
func (f *finder) enter(fn ast.Node) {
	var body *ast.BlockStmt
	var t types.Type
	switch fn := fn.(type) {
	case *ast.FuncDecl:
		body, t = fn.Body, f.info.Defs[fn.Name].Type()
	case *ast.FuncLit:
		body, t = fn.Body, f.info.TypeOf(fn)
	}
	var all results
	if signature, ok := t.(*types.Signature); ok {
		for v := range signature.Results().Variables() {
			all = append(all, v.Type())
		}
	}
	if body != nil && len(all) > 0 {
		f.markTails(body.List)
	}
	f.results = append(f.results, all)
}

// changeReturn returns something else: the two results in the other order, the
// other truth, no error.
func (f *finder) changeReturn(s *ast.ReturnStmt) {
	want := f.results[len(f.results)-1]
	if len(s.Results) == 1 && len(want) == 2 && isError(want[1]) {
		// return f(), with what f returns
		e := s.Results[0]
		f.add(errorNil, s.Pos(), f.show(s), f.opening(e.Pos(), "mutant__errorOf("), f.closing(e.End(), ")(N)"))
		return
	}
	if len(s.Results) != len(want) {
		return
	}
	if f.canSwap(s.Results, want) {
		call := "mutant__swap"
		if basic, ok := want[0].(*types.Basic); ok { // constants have no type of their own
			call += "[" + basic.Name() + "]"
		}
		f.add(resultsSwapped, s.Pos(), f.show(s), f.opening(s.Results[0].Pos(), call+"(N, "), f.closing(s.Results[1].End(), ")"))
	}
	for i, e := range s.Results {
		switch {
		case isError(want[i]) && !f.info.Types[e].IsNil():
			f.add(errorNil, s.Pos(), f.show(s), f.opening(e.Pos(), "mutant__error(N, "), f.closing(e.End(), ")"))
		case isBool(want[i]) && f.canNegate(e, len(want) == 1):
			f.add(returnNegated, s.Pos(), f.show(s), f.opening(e.Pos(), "mutant__(N) != bool("), f.closing(e.End(), ")"))
		}
	}
}

// canSwap reports whether two results can change places, and it shows.
func (f *finder) canSwap(e []ast.Expr, want results) bool {
	if len(e) != 2 || !types.Identical(want[0], want[1]) || f.show(e[0]) == f.show(e[1]) {
		return false
	}
	one, two := f.info.Types[e[0]], f.info.Types[e[1]]
	if one.Value != nil && two.Value != nil {
		_, basic := want[0].(*types.Basic)
		return basic
	}
	return (one.IsNil() || types.Identical(one.Type, want[0])) && (two.IsNil() || types.Identical(two.Type, want[1]))
}

// canNegate reports whether a truth is to be negated: where it is a constant, or
// the only result. A comparison is a condition, and mutated as such.
func (f *finder) canNegate(e ast.Expr, alone bool) bool {
	if f.info.Types[e].Value != nil {
		return true
	}
	binary, ok := ast.Unparen(e).(*ast.BinaryExpr)
	return alone && (!ok || binary.Op == token.LAND || binary.Op == token.LOR)
}

func isError(t types.Type) bool { return types.Identical(t, types.Universe.Lookup("error").Type()) }

func isBool(t types.Type) bool {
	basic, ok := t.Underlying().(*types.Basic)
	return ok && basic.Kind() == types.Bool
}
