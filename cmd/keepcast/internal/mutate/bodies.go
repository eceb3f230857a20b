package main

import (
	"go/ast"
	"go/token"
)

// emptyIf empties the body of an if, and that of its else. At the end of a
// function with results these must stay: the function would not compile.
func (f *finder) emptyIf(s *ast.IfStmt) {
	if f.tails[s] {
		return
	}
	if f.worthEmptying(s.Body.List) {
		bare := *s
		bare.Else = nil
		f.empty(ifEmptied, s.If, f.show(&bare), s.Body)
	}
	if other, ok := s.Else.(*ast.BlockStmt); ok && f.worthEmptying(other.List) {
		bare := *s
		bare.Body, bare.Else = &ast.BlockStmt{}, nil
		f.empty(elseEmptied, other.Pos(), f.show(&bare)+" else "+f.show(other), other)
	}
}

// emptyLoop empties the body of a loop that ends without it.
func (f *finder) emptyLoop(loop ast.Stmt, body *ast.BlockStmt) {
	if f.worthEmptying(body.List) {
		f.empty(loopEmptied, loop.Pos(), f.show(loop), body)
	}
}

func (f *finder) empty(kind string, pos token.Pos, text string, body *ast.BlockStmt) {
	f.wrap(kind, pos, text, body.Lbrace+1, body.Rbrace)
}

// emptyClause empties a case of a switch or select. One that falls through must
// end with that word.
func (f *finder) emptyClause(clause ast.Stmt, colon token.Pos, body []ast.Stmt) {
	if f.tails[clause] || !f.worthEmptying(body) {
		return
	}
	last := body[len(body)-1]
	if branch, ok := last.(*ast.BranchStmt); ok && branch.Tok == token.FALLTHROUGH {
		return
	}
	f.wrap(caseEmptied, clause.Pos(), f.show(clause), colon+1, last.End())
}

// worthEmptying reports whether a body without its statements is another mutant
// than those without one of them.
func (f *finder) worthEmptying(body []ast.Stmt) bool {
	if len(body) == 1 {
		_, nothing := body[0].(*ast.EmptyStmt)
		return !nothing && f.droppable(body[0]) == ""
	}
	return len(body) > 0
}

// markTails notes the statements that end a function with results, without
// which it would not compile: the last one, and what is last in its parts.
func (f *finder) markTails(list []ast.Stmt) {
	if len(list) == 0 {
		return
	}
	last := list[len(list)-1]
	f.tails[last] = true
	switch s := last.(type) {
	case *ast.BlockStmt:
		f.markTails(s.List)
	case *ast.LabeledStmt:
		f.markTails([]ast.Stmt{s.Stmt})
	case *ast.IfStmt:
		f.markTails(s.Body.List)
		if s.Else != nil {
			f.markTails([]ast.Stmt{s.Else})
		}
	case *ast.SwitchStmt:
		f.markClauses(s.Body)
	case *ast.TypeSwitchStmt:
		f.markClauses(s.Body)
	case *ast.SelectStmt:
		f.markClauses(s.Body)
	}
}

func (f *finder) markClauses(body *ast.BlockStmt) {
	for _, clause := range body.List {
		f.tails[clause] = true
		switch c := clause.(type) {
		case *ast.CaseClause:
			f.markTails(c.Body)
		case *ast.CommClause:
			f.markTails(c.Body)
		}
	}
}
