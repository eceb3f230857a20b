package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// bench is where the test binary of a package is run.
type bench struct {
	tests        string // of which package
	binary, work string
	rooms        []room // one for each run at a time
	base         baseline
}

// job is one run of the test binary.
type job struct {
	order string   // what KEEPCAST_MUTANT says
	run   string   // a pattern of tests; empty: all
	out   *os.File // for what the tests print; nil: nowhere
	limit time.Duration
}

// grace is how long a binary may take to end by itself after its time is over.
const grace = 10 * time.Second

// run runs the test binary once, as "go test" does, but in a copy of the module.
// It lived if the tests pass.
func (b *bench) run(ctx context.Context, slot int, j job) (state, time.Duration, error) {
	temp := filepath.Join(b.work, strconv.Itoa(slot))
	if err := os.MkdirAll(temp, 0o700); err != nil {
		return notRun, 0, err
	}
	defer func() { _ = os.RemoveAll(temp) }()
	if err := os.Chmod(temp, 0o777|os.ModeSticky); err != nil { // as /tmp is
		return notRun, 0, err
	}
	limited, cancel := context.WithTimeout(ctx, j.limit+grace)
	defer cancel()
	cmd := exec.CommandContext(limited, b.binary, "-test.failfast", "-test.paniconexit0",
		"-test.timeout="+j.limit.String(), "-test.run="+j.run)
	cmd.Dir = b.rooms[slot].dir
	cmd.Env = append(os.Environ(), "PWD="+cmd.Dir, "TMPDIR="+temp, variable+"="+j.order)
	if j.out != nil { // not a writer: what the tests leave running would keep it open
		cmd.Stdout, cmd.Stderr = j.out, j.out
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	start := time.Now()
	if err := startApart(cmd, temp); err != nil {
		return notRun, 0, err
	}
	err := cmd.Wait()
	took := time.Since(start)
	// What the tests started and did not end is in the group still, or nothing is.
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	if err := b.rooms[slot].tidy(); err != nil {
		return notRun, took, err
	}
	switch {
	case ctx.Err() != nil:
		return notRun, took, ctx.Err()
	case err == nil:
		return lived, took, nil
	case took >= j.limit:
		return timedOut, took, nil
	}
	if _, failed := errors.AsType[*exec.ExitError](err); !failed {
		return notRun, took, err
	}
	return killed, took, nil
}

// each calls do for every number below n, in that many workers at once. A worker stops
// at its first error.
func each(workers, n int, do func(slot, i int) error) error {
	var next atomic.Int64
	errs := make([]error, workers)
	var running sync.WaitGroup
	for slot := range workers {
		running.Go(func() {
			for errs[slot] == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				errs[slot] = do(slot, i)
			}
		})
	}
	running.Wait()
	return errors.Join(errs...)
}

// pass runs all tests, which are to pass.
func (b *bench) pass(ctx context.Context, slot int, order string) (time.Duration, error) {
	out, err := os.Create(filepath.Join(b.work, "output-"+strconv.Itoa(slot)))
	if err != nil {
		return 0, err
	}
	defer out.Close()
	result, took, err := b.run(ctx, slot, job{order: order, out: out, limit: firstLimit})
	if err != nil || result == lived {
		return took, err
	}
	text, err := os.ReadFile(out.Name())
	if err != nil {
		return 0, err
	}
	return took, fmt.Errorf("%s:\n%s", result, bytes.TrimSpace(text))
}
