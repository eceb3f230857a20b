package driver

import "cmp"

// Level says what a finding means for the announcements.
type Level string

// The levels, from the worst on.
const (
	LevelError   Level = "error"   // something is not announced, or cannot be withdrawn
	LevelWarning Level = "warning" // it works now, but failover is slow, or something may break it
	LevelInfo    Level = "info"    // good to know
)

// Finding is something about the host or a daemon that an operator should know,
// with what to do about it. It is an error, so that Apply can return one.
type Finding struct {
	Name    string `json:"finding"` // stable, for scripts and metrics: include-missing
	Level   Level  `json:"level"`
	Subject string `json:"subject"` // what it is about: a driver, a neighbor, an interface, a service
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
	rank := map[Level]int{LevelError: 0, LevelWarning: 1, LevelInfo: 2}
	return cmp.Or(cmp.Compare(rank[a.Level], rank[b.Level]), cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.Name, b.Name))
}

// Unobserved is the finding about a daemon of which no more is known than that it can't
// be asked what it announces.
func Unobserved(err error) Finding {
	return Finding{
		Name: "daemon-unreachable", Level: LevelError,
		Text: "can't be asked what it announces: " + err.Error(),
		Fix:  "see that the daemon runs, and that the settings of the driver name it",
	}
}
