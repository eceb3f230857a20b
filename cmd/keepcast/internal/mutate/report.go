package main

import (
	"fmt"
	"io"
	"path"
)

// at is where a mutant is, from the module's root.
func (l listed) at(m *mutant) string {
	return fmt.Sprintf("%s:%d:%d", path.Join(l.rel(), m.pos.Filename), m.pos.Line, m.pos.Column)
}

// printMutants prints the mutants that the tests did not notice, and those that
// could not be made.
func printMutants(out io.Writer, l listed, mutants []*mutant, list []survivor) {
	known := keysOf(list)
	for _, m := range mutants {
		switch {
		case m.state == leftOut && m.number > 0: // gremlins counts many of these as killed
			fmt.Fprintf(out, "%s: %s: %s [%s: %s]\n", l.at(m), m.kind, m.text, m.state, m.why)
		case m.state.alive() && known[m.key]:
			fmt.Fprintf(out, "%s: %s: %s [%s, listed]\n", l.at(m), m.kind, m.text, m.state)
		case m.state.alive():
			fmt.Fprintf(out, "%s: %s: %s [%s]\n", l.at(m), m.kind, m.text, m.state)
		}
	}
}

// count is how many mutants came to which end.
type count map[state]int

func countOf(mutants []*mutant) count {
	c := count{}
	for _, m := range mutants {
		c[m.state]++
	}
	return c
}

// percent is the share of the killed ones in all that there are.
func (c count) percent() float64 {
	dead := c[killed] + c[timedOut]
	all := dead + c[lived] + c[notCovered]
	if all == 0 {
		return 100
	}
	return 100 * float64(dead) / float64(all)
}

func (c count) String() string {
	text := fmt.Sprintf("%d killed, %d of them timed out, %d lived, %d not covered: %.1f %% killed",
		c[killed]+c[timedOut], c[timedOut], c[lived], c[notCovered], c.percent())
	if c[leftOut] > 0 {
		text += fmt.Sprintf(" (%d left out)", c[leftOut])
	}
	if c[notRun] > 0 {
		text += fmt.Sprintf(" (%d not run)", c[notRun])
	}
	return text
}
