package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"time"
)

// runMutants builds the test binaries of a package and finds out what becomes of
// its mutants.
func (p *source) runMutants(ctx context.Context, s session, mutants []*mutant, list []survivor) error {
	files, err := p.compilable(mutants)
	if err != nil {
		return err
	}
	dir := filepath.Join(s.work, "p")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	overlay, err := p.overlay(files, dir)
	if err != nil {
		return err
	}
	benches, err := s.benches(ctx, p.listed, overlay, dir)
	if err != nil {
		return err
	}
	chosen := choose(mutants, s.options)
	var covered []*mutant
	for _, m := range chosen {
		m.state = notCovered
		for _, b := range benches {
			if m.state == notCovered && b.base.reached[m.number] {
				m.state, covered = notRun, append(covered, m)
			}
		}
	}
	for _, b := range benches {
		fmt.Fprintf(s.out, "%s: %d mutants, %d covered; tests of %s take %s, a mutant may take %s\n", p.ImportPath, len(chosen), len(covered),
			b.tests, b.base.took.Round(time.Millisecond), s.limit(b.base.took).Round(time.Millisecond))
		for _, name := range b.base.failing {
			fmt.Fprintf(s.out, "%s: %s fails alone: mutants meet it only among all tests of %s, and those listed may not\n", p.ImportPath, name, b.tests)
		}
	}
	listed := keysOf(list)
	return each(s.parallel, len(covered), func(slot, i int) error {
		return s.try(ctx, benches, slot, covered[i], listed[covered[i].key])
	})
}

// choose returns the mutants to run.
func choose(mutants []*mutant, o options) []*mutant {
	var all []*mutant
	for _, m := range mutants {
		if m.state != leftOut {
			all = append(all, m)
		}
	}
	if o.sample > 0 && o.sample < len(all) {
		random := rand.New(rand.NewPCG(o.seed, 0))
		random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		all = all[:o.sample]
	}
	return all
}

// overlay writes the instrumented files, and the file that has the go command take
// them for those in the checkout.
func (p *source) overlay(files map[string][]byte, dir string) (string, error) {
	replace := map[string]string{}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(p.Dir, name)] = path
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, text, 0o600)
}

// benches builds and tries out the tests of a package, and those of the packages
// that -with names.
func (s session) benches(ctx context.Context, l listed, overlay, dir string) ([]*bench, error) {
	var all []*bench
	for i, tests := range append([]listed{l}, s.with...) {
		if !tests.hasTests() || i > 0 && tests.ImportPath == l.ImportPath {
			continue
		}
		b := &bench{tests: path.Base(tests.ImportPath), binary: filepath.Join(dir, strconv.Itoa(i)+".test"), work: filepath.Join(dir, strconv.Itoa(i))}
		cmd := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-overlay", overlay, "-o", b.binary, ".")
		cmd.Dir = tests.Dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build of the tests of %s: %w", tests.ImportPath, withOutput(err, out))
		}
		var err error
		if b.rooms, err = rooms(ctx, tests, b.work, s.parallel); err != nil {
			return nil, err
		}
		if b.base, err = b.clean(ctx); err != nil {
			return nil, fmt.Errorf("tests of %s: %w", tests.ImportPath, err)
		}
		all = append(all, b)
	}
	return all, nil
}

// tries is how often a mutant may come out otherwise than its list says before that
// counts: a listed one must be killed so often, another one live so often. What comes of
// a mutant may hang on the time that things take, and one bad moment of the machine is
// no proof.
const tries = 3

// try finds out what becomes of a mutant.
func (s session) try(ctx context.Context, benches []*bench, slot int, m *mutant, listed bool) error {
	for range tries {
		m.state = lived
		for _, b := range benches {
			if m.state != lived || !b.base.reached[m.number] {
				continue
			}
			var err error
			if m.state, err = s.tryOn(ctx, b, slot, m, listed); err != nil {
				return err
			}
		}
		if (m.state == lived) == listed {
			break
		}
	}
	return nil
}

// tryOn is try with the tests of one package: those that reach the mutant, the quick ones
// first. That a mutant lives which is not listed, all tests have to say.
func (s session) tryOn(ctx context.Context, b *bench, slot int, m *mutant, listed bool) (state, error) {
	order := strconv.Itoa(m.number)
	stages := b.base.reaching(m.number)
	for _, some := range stages {
		result, _, err := b.run(ctx, slot, job{order: order, run: some.pattern(), limit: s.limit(some.took)})
		if err != nil || result != lived {
			return result, err
		}
	}
	if listed && len(stages) > 0 {
		return lived, nil
	}
	result, _, err := b.run(ctx, slot, job{order: order, limit: s.limit(b.base.took)})
	return result, err
}

// limit is how long a mutant may take where the clean tests take so long.
func (o options) limit(took time.Duration) time.Duration {
	return max(o.shortest, time.Duration(o.factor*float64(took)))
}
