package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// separator is what stands before the reason. The last one in a line counts.
const separator = " :: "

// survivor is a line of a survivors list. It stands for all mutants of its key.
type survivor struct {
	key
	where string // file and line
}

// listOf is the survivors list of a package, or nothing.
func (o options) listOf(l listed) string {
	if o.survivors == "" {
		return ""
	}
	return filepath.Join(o.survivors, l.dotted()+".txt")
}

// readSurvivors reads a survivors list; none where there is no file.
func readSurvivors(path string) ([]survivor, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("survivors: %w", err)
	}
	var all []survivor
	known := map[key]string{}
	number := 0
	for raw := range bytes.Lines(text) {
		number++
		line := strings.TrimSpace(string(raw))
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		where := fmt.Sprintf("%s:%d", path, number)
		k, err := parseSurvivor(line)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", where, err)
		}
		if first := known[k]; first != "" {
			return nil, fmt.Errorf("%s: listed before, at %s", where, first)
		}
		known[k] = where
		all = append(all, survivor{k, where})
	}
	return all, nil
}

// keysOf returns the keys that are listed.
func keysOf(list []survivor) map[key]bool {
	keys := map[key]bool{}
	for _, s := range list {
		keys[s.key] = true
	}
	return keys
}

func parseSurvivor(line string) (key, error) {
	at := strings.LastIndex(line+" ", separator)
	if at < 0 {
		return key{}, fmt.Errorf("no %q with a reason after it", separator)
	}
	if strings.TrimSpace((line + " ")[at+len(separator):]) == "" {
		return key{}, fmt.Errorf("nothing after %q: a survivor needs a reason", separator)
	}
	parts := strings.SplitN(line[:at], ": ", 3)
	if len(parts) < 3 {
		return key{}, errors.New("want FUNC: KIND: SOURCE TEXT :: reason")
	}
	return key{parts[0], parts[1], strings.TrimSpace(parts[2])}, nil
}

// strayLists returns what is wrong with the directory of the lists: those of
// packages that are no more.
func strayLists(ctx context.Context, o options) []string {
	if o.survivors == "" {
		return nil
	}
	found, err := filepath.Glob(filepath.Join(o.survivors, "*.txt"))
	if err != nil || len(found) == 0 {
		return nil
	}
	all, err := goList(ctx, "", "./...")
	if err != nil {
		return []string{err.Error()}
	}
	known := map[string]bool{}
	for _, l := range all {
		known[o.listOf(l)] = true
	}
	var problems []string
	for _, path := range found {
		if !known[path] {
			problems = append(problems, path+": no such package: take the file away")
		}
	}
	return problems
}

// judge returns what is wrong with the outcome of a package. Where no mutants of
// conditions were made, those that are listed are not stale.
func judge(o options, l listed, mutants []*mutant, list []survivor, conditions bool) []string {
	var problems []string
	if c := countOf(mutants); c.percent() < o.min {
		problems = append(problems, fmt.Sprintf("%s: %.1f %% killed, less than %g %%", l.ImportPath, c.percent(), o.min))
	}
	if o.unlisted {
		return problems
	}
	return append(unlisted(o, l, mutants, list, conditions), problems...)
}

// unlisted returns what the list of survivors lacks, and what it has for nothing.
func unlisted(o options, l listed, mutants []*mutant, list []survivor, conditions bool) []string {
	var problems []string
	alive, waiting, there := map[key]bool{}, map[key]bool{}, map[key]bool{}
	for _, m := range mutants {
		there[m.key] = there[m.key] || m.state != leftOut
		alive[m.key] = alive[m.key] || m.state.alive()
		waiting[m.key] = waiting[m.key] || m.state == notRun || m.state == timedOut // a busy machine is no proof
	}
	for _, s := range list {
		switch {
		case alive[s.key] || waiting[s.key] || ofConditions(s.kind) && !conditions:
		case there[s.key]:
			problems = append(problems, fmt.Sprintf("%s: killed now, take the line out: %s", s.where, s.key))
		default:
			problems = append(problems, fmt.Sprintf("%s: no such mutant any more, take the line out: %s", s.where, s.key))
		}
	}
	known := keysOf(list)
	for _, m := range mutants {
		if bad := m.state == lived || m.state == notCovered && o.covered; bad && !known[m.key] {
			known[m.key] = true
			problems = append(problems, fmt.Sprintf("%s: %s, kill it or list it with a reason: %s", l.at(m), m.state, m.key))
		}
	}
	return problems
}
