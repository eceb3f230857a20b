package driver

import "cmp"

// Level says what a finding means for the announcements.
type Level string

// The levels, from the worst on.
const (
	Breaks Level = "breaks" // something is not announced, or cannot be withdrawn
	Risks  Level = "risks"  // it works now, but failover is slow, or something may break it
	Note   Level = "note"   // good to know
)

// Finding is something about the host or a daemon that an operator should know,
// with what to do about it. It is an error, so that Apply can return one.
type Finding struct {
	Name    string `json:"finding"` // stable, for scripts and metrics: include-missing
	Level   Level  `json:"level"`
	Subject string `json:"subject"` // what it is about: a driver, a neighbour, an interface, a service
	Text    string `json:"text"`    // what is found
	Fix     string `json:"fix,omitempty"`
}

// Error returns what is found and what to do about it.
func (f Finding) Error() string {
	text := f.Subject + ": " + f.Text
	if f.Fix != "" {
		text += ": " + f.Fix
	}
	return text
}

// CompareFindings sorts the worst first, then by subject and name.
func CompareFindings(a, b Finding) int {
	rank := map[Level]int{Breaks: 0, Risks: 1, Note: 2}
	return cmp.Or(cmp.Compare(rank[a.Level], rank[b.Level]), cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.Name, b.Name))
}
