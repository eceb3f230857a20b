package checks

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// How the real servers of the tests hang and die.

// hangs stops all processes of a name that the test has started, as if they hung. The check
// fails with that error then, in which ADDR is the address, and is fit again once they go on.
func hangs(t *testing.T, name string, check func(context.Context) error, want, addr string) {
	t.Helper()
	t.Run("hangs", func(t *testing.T) {
		all := startedAs(t, name)
		signal := func(s syscall.Signal) {
			for _, pid := range all {
				syscall.Kill(pid, s)
			}
		}
		defer signal(syscall.SIGCONT)
		signal(syscall.SIGSTOP)
		drivertest.Eventually(t, name+" is stopped", func() bool {
			return !slices.ContainsFunc(all, func(pid int) bool { return !stopped(pid) })
		})
		sameError(t, check(shortly(t)), want, addr)
		signal(syscall.SIGCONT)
		fitAtLast(t, checking(check))
	})
}

// dies kills all processes of a name that the test has started. The kernel refuses the check then.
func dies(t *testing.T, name string, check func(context.Context) error) {
	t.Helper()
	t.Run("dies", func(t *testing.T) {
		for _, pid := range startedAs(t, name) {
			syscall.Kill(pid, syscall.SIGKILL)
		}
		drivertest.Eventually(t, "it is refused", func() bool {
			err := check(shortly(t)) // what a dying process has received gets no answer
			return err != nil && strings.HasSuffix(err.Error(), "connection refused")
		})
	})
}

// checking makes a function a Checker.
type checking func(context.Context) error

// Check implements Checker.
func (c checking) Check(ctx context.Context) error { return c(ctx) }

// startedAs returns the processes of a name that descend from this one.
func startedAs(t *testing.T, name string) (all []int) {
	t.Helper()
	queue := []int{os.Getpid()}
	for len(queue) > 0 {
		pid := queue[0]
		queue = queue[1:]
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
		for _, file := range files {
			text, _ := os.ReadFile(file) // its thread may have ended
			for word := range strings.FieldsSeq(string(text)) {
				child, err := strconv.Atoi(word)
				if err != nil {
					t.Fatal(err)
				}
				queue = append(queue, child)
				if is, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", child)); strings.TrimSpace(string(is)) == name {
					all = append(all, child)
				}
			}
		}
	}
	if len(all) == 0 {
		t.Fatalf("no %s was started", name)
	}
	return all
}

// stopped reports whether all threads of a process are, or have ended.
func stopped(pid int) bool {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	return !slices.ContainsFunc(files, func(file string) bool {
		text, err := os.ReadFile(file)
		return err == nil && !strings.Contains(string(text), ") T ") && !strings.Contains(string(text), ") Z ")
	})
}
