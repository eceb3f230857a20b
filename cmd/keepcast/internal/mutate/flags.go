package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"
)

// options are the flags.
type options struct {
	packages   []string
	survivors  string
	min        float64
	covered    bool
	unlisted   bool
	conditions bool
	gremlins   string
	with       string
	since      string
	sample     int
	seed       uint64
	parallel   int
	factor     float64
	shortest   time.Duration
	memory     int
}

func parseFlags(args []string, errs io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("mutate", flag.ContinueOnError)
	f.SetOutput(errs)
	f.Usage = func() {
		fmt.Fprintln(errs, "usage: mutate [flags] PACKAGE-DIR...")
		f.PrintDefaults()
	}
	f.StringVar(&o.survivors, "survivors", "", "`directory` of the lists of mutants that may live")
	f.Float64Var(&o.min, "min", 0, "least `percentage` of mutants killed")
	f.BoolVar(&o.covered, "covered", false, "fail if a mutant is not covered and not listed")
	f.BoolVar(&o.unlisted, "unlisted", false, "let mutants live that no list names, as far as -min does: for a change that is not finished")
	f.BoolVar(&o.conditions, "conditions", false, "mutate conditions and arithmetic too, as gremlins does, without it")
	f.StringVar(&o.gremlins, "gremlins", "", "the gremlins `program` to start, or the directory of its results, PACKAGE.json each")
	f.StringVar(&o.with, "with", "", "`packages` whose tests are run too, with commas between")
	f.StringVar(&o.since, "since", "", "leave out packages that are the same as in this git `revision`")
	f.IntVar(&o.sample, "sample", 0, "run only this many mutants of each package, at random; 0: all")
	f.Uint64Var(&o.seed, "seed", 0, "seed of -sample; 0: by the clock")
	f.IntVar(&o.parallel, "parallel", 2, "how many mutants run at once")
	f.Float64Var(&o.factor, "timeout-factor", 5, "a mutant may take this many times as long as the clean tests")
	f.DurationVar(&o.shortest, "timeout-min", 5*time.Second, "but it may take this long at least")
	f.IntVar(&o.memory, "memory", 4096, "MiB of memory that a mutant may use; 0: any")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	o.packages = f.Args()
	if err := o.check(); err != nil {
		f.Usage()
		fmt.Fprintln(errs, "mutate:", err)
		return o, err
	}
	if o.seed == 0 {
		o.seed = uint64(time.Now().UnixNano())
	}
	return o, nil
}

// check returns an error for flags by which nothing, or everything, would be killed.
func (o options) check() error {
	switch {
	case len(o.packages) == 0:
		return errors.New("no packages named")
	case o.parallel < 1:
		return errors.New("-parallel: at least 1")
	case !(o.min >= 0 && o.min <= 100): // neither is NaN
		return errors.New("-min: a percentage, 0 to 100")
	case o.sample < 0:
		return errors.New("-sample: at least 0")
	case !(o.factor >= 1):
		return errors.New("-timeout-factor: at least 1, the time that the clean tests take")
	case o.shortest < 0:
		return errors.New("-timeout-min: at least 0")
	case o.memory < 0:
		return errors.New("-memory: at least 0")
	}
	if o.survivors != "" {
		if info, err := os.Stat(o.survivors); err != nil || !info.IsDir() {
			return fmt.Errorf("-survivors: %s is no directory", o.survivors)
		}
	}
	return nil
}
