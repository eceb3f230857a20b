package main

import (
	"fmt"
	"slices"
	"strings"
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

// lines says what came of a run, and if told what it saw.
func (p probed) lines(whole bool) string {
	name, took := p.Service+"/"+p.Check, rounded(p.Seconds)
	said := fmt.Sprintf("%s: fit (%s)\n", name, took)
	switch p.Outcome {
	case outcomeVoid:
		said = fmt.Sprintf("%s: void, which says nothing of the service: %s\n", name, p.Error)
	case outcomeFailed:
		said = fmt.Sprintf("%s: failed after %s: %s\n", name, took, p.Error)
	}
	if whole {
		said += p.stages()
	}
	return said
}

// stages lists what a run saw, and what it waited for, in columns.
func (p probed) stages() string {
	all := p.Seen
	if p.WaitingFor != "" {
		all = append(slices.Clip(all), seen{p.Seconds, "waiting for", p.WaitingFor})
	}
	wide := 0
	for _, s := range all {
		wide = max(wide, len(s.What))
	}
	var text strings.Builder
	for _, s := range all {
		fmt.Fprintf(&text, "  %9s  %-*s  %s\n", rounded(s.After), wide, s.What, oneLine(s.Text))
	}
	return text.String()
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
