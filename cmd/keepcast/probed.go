package main

import (
	"fmt"
	"io"
	"slices"
	"time"
)

// The outcomes of a run.
const (
	outcomeFit    = "fit"
	outcomeFailed = "failed"
	outcomeVoid   = "void" // it says nothing of the service
)

// probed is what one run of a check found and saw.
type probed struct {
	Service    string  `json:"service"`
	Check      string  `json:"check"`
	Kind       string  `json:"kind"`
	Outcome    string  `json:"outcome"`
	Error      string  `json:"error,omitempty"` // nothing where it is fit
	Certain    bool    `json:"certain"`         // a failure that makes the check down at once, whatever fall says
	Seconds    float64 `json:"took_seconds"`
	Seen       []seen  `json:"seen"`
	WaitingFor string  `json:"waiting_for,omitempty"` // what had not come when its time was over
}

// seen is one thing that a run saw.
type seen struct {
	After float64 `json:"after_seconds"` // since the run began
	What  string  `json:"what"`          // one word
	Text  string  `json:"text"`
}

// print prints what came of a run, and if told what it saw.
func (p probed) print(out io.Writer, whole bool) error {
	name, took := p.Service+"/"+p.Check, rounded(p.Seconds)
	var err error
	switch p.Outcome {
	case outcomeVoid:
		_, err = fmt.Fprintf(out, "%s: void, which says nothing of the service: %s\n", name, p.Error)
	case outcomeFailed:
		_, err = fmt.Fprintf(out, "%s: failed after %s: %s\n", name, took, p.Error)
	default:
		_, err = fmt.Fprintf(out, "%s: fit (%s)\n", name, took)
	}
	if err != nil || !whole {
		return err
	}
	return p.printSeen(out)
}

// printSeen prints what a run saw, and what it waited for, in columns.
func (p probed) printSeen(out io.Writer) error {
	lines := p.Seen
	if p.WaitingFor != "" {
		lines = append(slices.Clip(lines), seen{p.Seconds, "waiting for", p.WaitingFor})
	}
	wide := 0
	for _, s := range lines {
		wide = max(wide, len(s.What))
	}
	for _, s := range lines {
		if _, err := fmt.Fprintf(out, "  %9s  %-*s  %s\n", rounded(s.After), wide, s.What, oneLine(s.Text)); err != nil {
			return err
		}
	}
	return nil
}

// rounded is a time as exact as anybody needs it.
func rounded(seconds float64) time.Duration {
	return time.Duration(seconds * float64(time.Second)).Round(10 * time.Microsecond)
}

// verdictOf is the error of a command that ran checks.
func verdictOf(all []probed) error {
	failed, void := 0, 0
	for _, p := range all {
		switch p.Outcome {
		case outcomeFailed:
			failed++
		case outcomeVoid:
			void++
		}
	}
	return verdict(failed, void, len(all))
}
