package config

import (
	"fmt"
	"slices"
	"strings"
)

// Position is a place in a configuration file.
type Position struct {
	File      string
	Line, Col int
}

// String returns file:line:col, as compilers write it.
func (p Position) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col)
}

// Fault is one thing that is wrong with a configuration.
type Fault struct {
	At   Position
	Path string // such as services[dns].checks[answers].interval
	Text string
}

// Error returns `file:line:col: path: what is wrong`.
func (f Fault) Error() string {
	if f.Path == "" {
		return fmt.Sprintf("%s: %s", f.At, f.Text)
	}
	return fmt.Sprintf("%s: %s: %s", f.At, f.Path, f.Text)
}

// Faults is everything that is wrong with a configuration, in reading order.
type Faults []Fault

// Error returns one line for each fault.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, fault := range f {
		lines[i] = fault.Error()
	}
	return strings.Join(lines, "\n")
}

// sorted returns the faults by file, as the files were read, and line.
func (f Faults) sorted(files []string) Faults {
	slices.SortStableFunc(f, func(a, b Fault) int {
		if d := slices.Index(files, a.At.File) - slices.Index(files, b.At.File); d != 0 {
			return d
		}
		if d := a.At.Line - b.At.Line; d != 0 {
			return d
		}
		return a.At.Col - b.At.Col
	})
	return f
}

// positions tells where each path was written. Paths are in lower case, as
// viper hands keys on, and name list entries: services[dns].checks[answers].
type positions map[string]Position

// position returns the position of path, or of the nearest thing around it that was
// written: a required setting that is missing stands nowhere itself.
func (p positions) position(path string) Position {
	for path = strings.ToLower(path); ; path = parent(path) {
		if at, ok := p[path]; ok || path == "" {
			return at
		}
	}
}

// parent cuts the last element off a path.
func parent(path string) string {
	if strings.HasSuffix(path, "]") {
		return path[:strings.LastIndexByte(path, '[')]
	}
	return path[:max(strings.LastIndexByte(path, '.'), 0)]
}

// join appends a key to a path.
func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
