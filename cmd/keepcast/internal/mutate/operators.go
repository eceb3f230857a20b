package main

import (
	"go/token"
	"slices"
)

// operator is a comparison or arithmetic, and what a mutant makes of it.
type operator struct {
	was, other token.Token
	kind       string
	function   string // that takes its place in the instrumented package
	operands   string // the type constraint of both
	result     string // its type; T is that of the operands
}

// operators returns those that gremlins knows.
func operators() []operator {
	const ordered, number, integer = "mutant__cmp.Ordered", "mutant__number", "mutant__integer"
	return []operator{
		{token.LSS, token.LEQ, boundaryMoved, "mutant__less", ordered, "bool"},
		{token.LEQ, token.LSS, boundaryMoved, "mutant__lessOrEqual", ordered, "bool"},
		{token.GTR, token.GEQ, boundaryMoved, "mutant__more", ordered, "bool"},
		{token.GEQ, token.GTR, boundaryMoved, "mutant__moreOrEqual", ordered, "bool"},
		{token.ADD, token.SUB, arithmeticSwapped, "mutant__plus", number, "T"},
		{token.SUB, token.ADD, arithmeticSwapped, "mutant__sub", number, "T"},
		{token.MUL, token.QUO, arithmeticSwapped, "mutant__times", number, "T"},
		{token.QUO, token.MUL, arithmeticSwapped, "mutant__by", number, "T"},
		{token.REM, token.MUL, arithmeticSwapped, "mutant__rest", integer, "T"},
	}
}

// operatorOf returns what is known of an operator.
func operatorOf(was token.Token) (o operator, known bool) {
	all := operators()
	i := slices.IndexFunc(all, func(o operator) bool { return o.was == was })
	if i < 0 {
		return operator{}, false
	}
	return all[i], true
}
