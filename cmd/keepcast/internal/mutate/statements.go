package main

import (
	"go/ast"
	"go/token"
)

// walk finds the mutants in a node. What is outside comes before what is inside
// it: the order of the edits rests on that.
func (f *finder) walk(root ast.Node) {
	var open []ast.Node
	ast.Inspect(root, func(n ast.Node) bool {
		if n == nil {
			if isFunc(open[len(open)-1]) {
				f.results = f.results[:len(f.results)-1]
			}
			open = open[:len(open)-1]
			return true
		}
		open = append(open, n)
		if isFunc(n) {
			f.enter(n)
		}
		f.visit(n)
		return true
	})
}

func isFunc(n ast.Node) bool {
	switch n.(type) {
	case *ast.FuncDecl, *ast.FuncLit:
		return true
	}
	return false
}

func (f *finder) visit(n ast.Node) {
	switch n := n.(type) {
	case *ast.BlockStmt:
		f.statements(n.List)
	case *ast.CaseClause:
		f.emptyClause(n, n.Colon, n.Body)
		f.statements(n.Body)
	case *ast.CommClause:
		f.emptyClause(n, n.Colon, n.Body)
		f.statements(n.Body)
	case *ast.IfStmt:
		f.emptyIf(n)
	case *ast.ForStmt:
		if n.Cond != nil && n.Post != nil { // else it might not end
			f.emptyLoop(n, n.Body)
		}
	case *ast.RangeStmt:
		f.emptyLoop(n, n.Body)
	case *ast.ReturnStmt:
		f.changeReturn(n)
	case *ast.BinaryExpr, *ast.UnaryExpr:
		if f.conditions {
			f.changeExpr(n.(ast.Expr))
		}
	}
}

// statements finds what can be dropped of a list.
func (f *finder) statements(list []ast.Stmt) {
	for _, s := range list {
		for label, ok := s.(*ast.LabeledStmt); ok; label, ok = s.(*ast.LabeledStmt) {
			s = label.Stmt
		}
		if kind := f.droppable(s); kind != "" {
			f.wrap(kind, s.Pos(), f.show(s), s.Pos(), s.End())
		}
		if counter, ok := s.(*ast.IncDecStmt); ok && f.conditions {
			f.reverse(counter)
		}
	}
}

// droppable returns what the mutant is called that leaves s out, or nothing.
func (f *finder) droppable(s ast.Stmt) string {
	switch s := s.(type) {
	case *ast.ExprStmt:
		switch {
		case f.tails[s]: // it is the end of a function with results: a panic
			return ""
		case isReceive(s.X):
			return receiveDropped
		}
		return callDropped
	case *ast.DeferStmt:
		return deferDropped
	case *ast.GoStmt:
		return goDropped
	case *ast.SendStmt:
		return sendDropped
	case *ast.IncDecStmt:
		return assignmentDropped
	case *ast.AssignStmt:
		return droppableAssignment(s)
	}
	return ""
}

// droppableAssignment is droppable of an assignment: one to nothing is a call, or
// without effect.
func droppableAssignment(s *ast.AssignStmt) string {
	if s.Tok == token.DEFINE {
		return ""
	}
	for _, left := range s.Lhs {
		if name, ok := left.(*ast.Ident); !ok || name.Name != "_" {
			return assignmentDropped
		}
	}
	for _, right := range s.Rhs {
		if _, ok := ast.Unparen(right).(*ast.CallExpr); ok {
			return callDropped
		}
	}
	return ""
}

func isReceive(e ast.Expr) bool {
	unary, ok := ast.Unparen(e).(*ast.UnaryExpr)
	return ok && unary.Op == token.ARROW
}
