package main

import (
	"go/ast"
	"go/token"
	"go/types"
)

// changeExpr makes the mutants of conditions and arithmetic that gremlins makes.
func (f *finder) changeExpr(e ast.Expr) {
	switch e := e.(type) {
	case *ast.BinaryExpr:
		if f.info.Types[e].Value == nil { // a constant has to stay one
			f.changeBinary(e)
		}
	case *ast.UnaryExpr:
		basic, ok := f.info.TypeOf(e).(*types.Basic)
		if e.Op == token.SUB && ok && basic.Info()&types.IsUntyped == 0 {
			f.add(signDropped, e.OpPos, f.lineAt(e.OpPos),
				edit{at: f.offset(e.OpPos), remove: 1, text: "mutant__minus[" + basic.Name() + "](N, "}, f.closing(e.End(), ")"))
		}
	}
}

func (f *finder) changeBinary(e *ast.BinaryExpr) {
	switch e.Op {
	case token.EQL, token.NEQ, token.LSS, token.LEQ, token.GTR, token.GEQ:
		f.add(conditionNegated, e.OpPos, f.lineAt(e.OpPos), f.opening(e.Pos(), "(mutant__(N) != ("), f.closing(e.End(), "))"))
	}
	o, known := operatorOf(e.Op)
	if !known || o.kind == arithmeticSwapped && !f.isNumber(e) {
		return
	}
	f.add(o.kind, e.OpPos, f.lineAt(e.OpPos),
		f.opening(e.Pos(), o.function+"(N, "),
		edit{at: f.offset(e.OpPos), remove: len(e.Op.String()), text: ","},
		f.closing(e.End(), ")"))
}

func (f *finder) isNumber(e ast.Expr) bool {
	basic, ok := f.info.TypeOf(e).Underlying().(*types.Basic)
	return ok && basic.Info()&(types.IsInteger|types.IsFloat) != 0
}

// reverse counts the other way.
func (f *finder) reverse(s *ast.IncDecStmt) {
	other := "--"
	if s.Tok == token.DEC {
		other = "++"
	}
	f.add(counterReversed, s.TokPos, f.lineAt(s.TokPos),
		f.opening(s.Pos(), "if mutant__(N) { "+short(f.show(s.X))+other+" } else { "), f.closing(s.End(), " }"))
}

func (f *finder) lineAt(pos token.Pos) string { return line(f.text, f.offset(pos)) }
