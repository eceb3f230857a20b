package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// firstLimit is how long the tests may take without a mutant.
const firstLimit = 10 * time.Minute

// baseline is what the tests do without a mutant.
type baseline struct {
	took    time.Duration // of all tests
	reached map[int]bool  // the mutants whose place is reached
	tests   []test        // each alone
	failing []string      // those that fail alone, and are not in tests
}

// test is a test function run alone.
type test struct {
	name    string
	took    time.Duration
	reached map[int]bool
}

// clean runs the tests without a mutant: all to note the mutants that they
// reach, then all as many times at once as mutants will run, then each alone.
func (b *bench) clean(ctx context.Context) (baseline, error) {
	notes, err := b.notes("all")
	if err != nil {
		return baseline{}, err
	}
	if _, err := b.pass(ctx, 0, "0:"+notes); err != nil {
		return baseline{}, fmt.Errorf("without a mutant: %w", err)
	}
	var base baseline
	if base.reached, err = readNotes(notes); err != nil {
		return baseline{}, err
	}
	var lock sync.Mutex
	err = each(len(b.rooms), len(b.rooms), func(slot, _ int) error {
		took, err := b.pass(ctx, slot, "0")
		lock.Lock()
		defer lock.Unlock()
		base.took = max(base.took, took)
		return err
	})
	if err != nil {
		return baseline{}, fmt.Errorf("without a mutant, %d times at once: %w", len(b.rooms), err)
	}
	base.tests, base.failing, err = b.alone(ctx)
	return base, err
}

// alone runs each test alone. Those that do not pass so are returned by name.
func (b *bench) alone(ctx context.Context) (passing []test, failing []string, err error) {
	cmd := exec.CommandContext(ctx, b.binary, "-test.list=^(Test|Fuzz|Example)")
	cmd.Dir = b.rooms[0].dir
	out, err := cmd.Output()
	if err != nil {
		return nil, nil, fmt.Errorf("list of tests: %w", withOutput(err, nil))
	}
	names := strings.Fields(string(out))
	all := make([]test, len(names))
	err = each(len(b.rooms), len(names), func(slot, i int) error {
		notes, err := b.notes(names[i])
		if err != nil {
			return err
		}
		result, took, err := b.run(ctx, slot, job{order: "0:" + notes, run: "^" + names[i] + "$", limit: firstLimit})
		if err != nil || result != lived {
			return err
		}
		all[i].name, all[i].took = names[i], took
		all[i].reached, err = readNotes(notes)
		return err
	})
	for i, test := range all {
		if test.name == "" {
			failing = append(failing, names[i])
		} else {
			passing = append(passing, test)
		}
	}
	return passing, failing, err
}

// notes makes an empty file for the mutants that a run reaches.
func (b *bench) notes(name string) (string, error) {
	path := filepath.Join(b.work, "reached-"+name)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return "", err
	}
	return path, os.Chmod(path, 0o666) // whoever the tests run as
}

func readNotes(path string) (map[int]bool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	reached := map[int]bool{}
	for line := range bytes.Lines(text) {
		n, err := strconv.Atoi(string(bytes.TrimSpace(line)))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		reached[n] = true
	}
	return reached, nil
}

// quick is how long the tests take that a mutant meets first. Most are killed by these,
// and only the others meet the slow tests.
const quick = time.Second

// stage is a part of the tests.
type stage struct {
	names []string
	took  time.Duration
}

// pattern matches the names of the tests.
func (s stage) pattern() string { return "^(" + strings.Join(s.names, "|") + ")$" }

// reaching returns the tests that reach a mutant: the quick ones, and then the others.
func (base baseline) reaching(n int) []stage {
	tests := slices.DeleteFunc(slices.Clone(base.tests), func(t test) bool { return !t.reached[n] })
	slices.SortStableFunc(tests, func(a, b test) int { return cmp.Compare(a.took, b.took) })
	var stages []stage
	for _, t := range tests {
		last := len(stages) - 1
		if last < 0 || last == 0 && stages[0].took+t.took > quick {
			stages = append(stages, stage{})
			last++
		}
		stages[last].names = append(stages[last].names, t.name)
		stages[last].took += t.took
	}
	return stages
}
