// Mutate breaks a package in many small ways, one at a time, and sees which of
// them its tests notice:
//
//	go run ./cmd/keepcast/internal/mutate [flags] PACKAGE-DIR...
//
// A mutant is the package with one statement dropped, one result changed or one body
// emptied; with -conditions, also with one comparison, operator or counter changed. All
// mutants are built into one test binary, each behind a number, and the binary is run
// once for each: so a mutant costs no more than the tests do. Of these the quick ones that
// reach it come first, then the slow ones. They run in a copy of the module, as a mutant may
// write or remove what it should not, and with root in namespaces of their own: it may change
// addresses and routes, and temporary files are in memory.
//
// The survivors list of a package, in the directory that -survivors names, has
// the mutants that may live, each with the reason:
//
//	FUNC: KIND: SOURCE TEXT :: reason
//
// The exit code is 1 if a mutant lives that is not listed, if a listed one does
// not live any more, or if fewer are killed than -min asks for; it is 2 if
// something else went wrong. Why it is not 0 is all that goes to the standard error.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := command(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// command is the program; it returns the exit code.
func command(ctx context.Context, args []string, out, errs io.Writer) int {
	opts, err := parseFlags(args, errs)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		return 2
	}
	problems, err := mutateAll(ctx, out, opts)
	if err != nil {
		fmt.Fprintln(errs, "mutate:", err)
		return 2
	}
	for _, p := range problems {
		fmt.Fprintln(errs, p)
	}
	if len(problems) > 0 {
		return 1
	}
	return 0
}

// session is what is the same for all packages.
type session struct {
	options
	out  io.Writer
	work string   // a directory for all that is written
	with []listed // of -with
}

// mutateAll mutates one package after the other and returns what is wrong with
// the outcome.
func mutateAll(ctx context.Context, out io.Writer, o options) ([]string, error) {
	if err := limitMemory(o.memory); err != nil {
		return nil, err
	}
	s := session{options: o, out: out}
	packages, err := listPackages(ctx, o.packages)
	if err != nil {
		return nil, err
	}
	if o.with != "" {
		if s.with, err = listPackages(ctx, strings.Split(o.with, ",")); err != nil {
			return nil, err
		}
	}
	if o.sample > 0 {
		fmt.Fprintf(out, "seed %d\n", o.seed)
	}
	// A short name: the tests may make sockets below it, whose paths are limited.
	if s.work, err = os.MkdirTemp("", "m"); err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(s.work) }()
	if err := os.Chmod(s.work, 0o755); err != nil { // tests may start something as another user
		return nil, err
	}
	changed, err := s.changes(ctx, packages)
	if err != nil {
		fmt.Fprintf(out, "running all packages: %v\n", err)
	}
	problems := strayLists(ctx, o)
	for _, l := range packages {
		if !changed(l) {
			fmt.Fprintf(out, "%s: not changed since %s, not run\n", l.ImportPath, o.since)
			continue
		}
		found, err := s.mutate(ctx, l)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", l.ImportPath, err)
		}
		problems = append(problems, found...)
	}
	return problems, nil
}

// mutate mutates one package, prints what came of it, and returns what is wrong
// with that.
func (s session) mutate(ctx context.Context, l listed) ([]string, error) {
	start := time.Now()
	list, err := readSurvivors(s.listOf(l))
	if err != nil {
		return nil, err
	}
	p, err := load(ctx, l)
	if err != nil {
		return nil, err
	}
	conditions := s.conditions
	if s.gremlins != "" && !conditions && !fitForGremlins(l) {
		conditions = true
		fmt.Fprintf(s.out, "%s: gremlins would test another package, as the name is not that of the directory: mutate does the conditions\n", l.ImportPath)
	}
	mutants := p.find(conditions)
	if err := p.runMutants(ctx, s, mutants, list); err != nil {
		return nil, err
	}
	printMutants(s.out, l, mutants, list)
	fmt.Fprintf(s.out, "%s: %s, in %s\n", l.ImportPath, countOf(mutants), time.Since(start).Round(time.Second))
	if s.gremlins != "" && !conditions {
		start = time.Now()
		theirs, err := p.runGremlins(ctx, s)
		if err != nil {
			return nil, fmt.Errorf("gremlins: %w", err)
		}
		printMutants(s.out, l, theirs, list)
		fmt.Fprintf(s.out, "%s: gremlins: %s, in %s\n", l.ImportPath, countOf(theirs), time.Since(start).Round(time.Second))
		mutants, conditions = append(mutants, theirs...), true
		fmt.Fprintf(s.out, "%s: both: %s\n", l.ImportPath, countOf(mutants))
	}
	return judge(s.options, l, mutants, list, conditions), nil
}

// limitMemory limits this process, and with it all that it starts: a mutant that
// never ends may take all memory before its time is over.
func limitMemory(mib int) error {
	if mib == 0 {
		return nil
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_DATA, &limit); err != nil {
		return fmt.Errorf("memory limit: %w", err)
	}
	limit.Cur = min(limit.Max, uint64(mib)<<20)
	if err := syscall.Setrlimit(syscall.RLIMIT_DATA, &limit); err != nil {
		return fmt.Errorf("memory limit: %w", err)
	}
	return nil
}

// dotted is the name of a package's files: its path in the module.
func (l listed) dotted() string {
	if l.rel() == "." {
		return l.Name
	}
	return strings.ReplaceAll(l.rel(), "/", ".")
}
