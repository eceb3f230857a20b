package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// contained is a keepcast that is the first process of a container.
type contained struct {
	t   *testing.T
	cmd *exec.Cmd
	log drivertest.Buffer
}

// contain starts a command line of keepcast as PID 1.
func contain(t *testing.T, args ...string) *contained {
	t.Helper()
	drivertest.NeedsRoot(t, "for a PID namespace")
	c := &contained{t: t, cmd: exec.Command("/proc/self/exe", args...)}
	c.cmd.Args[0] = "keepcast"
	c.cmd.Stdout, c.cmd.Stderr = &c.log, &c.log
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.cmd.Process.Kill(); c.cmd.Wait() })
	return c
}

// children counts the processes that PID 1 has to take care of, by their state, and
// returns the pid of one of them.
func (c *contained) children() (states map[string]int, pid int) {
	c.t.Helper()
	states = map[string]int{}
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		c.t.Fatal(err)
	}
	for _, path := range all {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		// pid (name) state parent: the name may have anything in it.
		_, rest, _ := strings.Cut(string(text[strings.LastIndexByte(string(text), ')'):]), " ")
		var state string
		var parent int
		if _, err := fmt.Sscan(rest, &state, &parent); err == nil && parent == c.cmd.Process.Pid {
			states[state]++
			fmt.Sscan(string(text), &pid)
		}
	}
	return states, pid
}

// code waits for the end and returns the exit code.
func (c *contained) code() int {
	c.t.Helper()
	var exit *exec.ExitError
	if err := c.cmd.Wait(); err != nil && !errors.As(err, &exit) {
		c.t.Fatal(err)
	}
	return c.cmd.ProcessState.ExitCode()
}

// In a container, where keepcast is PID 1, each check that left a process behind left a
// zombie, until no process could be started any more and every service was withdrawn. And
// the commands of checks keep their exit codes: nobody else waits for them.
func TestPID1Reaps(t *testing.T) {
	file := written(t, strings.Replace(gated, `command: ["true"]`, `command: [sh, -c, "echo >>DIR/ran; setsid sleep 0.01 | setsid sleep 0.01 & exit 0"]`, 1))
	dir := filepath.Dir(file)
	drivertest.WriteFile(t, dir+"/t", "{{range .Announced}}{{.Prefix}}\n{{end}}")
	drivertest.WriteFile(t, dir+"/ran", "")
	drivertest.WriteFile(t, dir+"/out", "")
	c := contain(t, "run", "-c", file)
	drivertest.Eventually(t, "the check has run often", func() bool { return len(drivertest.ReadFile(t, dir+"/ran")) > 30 })
	if got := drivertest.ReadFile(t, dir+"/out"); got != "192.0.2.53/32\n" {
		t.Errorf("announced: %q", got)
	}
	var states map[string]int
	if !drivertest.WaitFor(func() bool { states, _ = c.children(); return states["Z"] == 0 }) {
		t.Errorf("zombies are left: %v", states)
	}
	if strings.Contains(c.log.String(), "check down") {
		t.Errorf("a check failed that did not: %s", c.log.String())
	}

	// Signals come through: a reload, then a stop.
	c.cmd.Process.Signal(syscall.SIGHUP)
	drivertest.Eventually(t, "it is reloaded", func() bool { return strings.Contains(c.log.String(), "configuration reloaded") })
	c.cmd.Process.Signal(syscall.SIGTERM)
	if code := c.code(); code != exitOK {
		t.Errorf("exit code %d: %s", code, c.log.String())
	}
	has(t, c.log.String(), "withdrawing all services")
	if got := drivertest.ReadFile(t, dir+"/out"); got != "" {
		t.Errorf("announced after the stop: %q", got)
	}
}

// Whoever runs the container learns how keepcast ended.
func TestPID1ExitCode(t *testing.T) {
	for line, want := range map[string]int{"version": exitOK, "nothing": exitUsage, "validate -c " + written(t, "fish: 1"): exitConfig} {
		if c := contain(t, strings.Fields(line)...); c.code() != want {
			t.Errorf("%s: exit code %d, want %d: %s", line, c.cmd.ProcessState.ExitCode(), want, c.log.String())
		}
	}
	file := written(t, gated)
	drivertest.WriteFile(t, filepath.Dir(file)+"/t", "")
	c := contain(t, "run", "-c", file)
	drivertest.Eventually(t, "it runs", func() bool { return strings.Contains(c.log.String(), "msg=ready") })
	_, pid := c.children()
	if pid == 0 {
		t.Fatal("keepcast has no child") // and 0 would be this test
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if code := c.code(); code != 128+int(syscall.SIGKILL) {
		t.Errorf("killed: exit code %d", code)
	}
}

// The watchdog of PID 1 is fed by its child, also while nothing happens: else the service
// manager would end a keepcast that is well.
func TestPID1Watchdog(t *testing.T) {
	t.Setenv("WATCHDOG_PID", "1")
	t.Setenv("WATCHDOG_USEC", "150000")
	m := notified(t)
	file := written(t, strings.Replace(gated, "interval: 50ms", "interval: 1h", 1))
	drivertest.WriteFile(t, filepath.Dir(file)+"/t", "")
	contain(t, "run", "-c", file)
	for fed := 0; fed < 30; {
		if m.told() == "WATCHDOG=1" {
			fed++
		}
	}
}
