package checks

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// TestExecStuck has keepcast run as nobody and the command as root, by a
// set-user-id program, so that the command does not die of what kills others.
// Then the check must not hang, nor start a second one beside the first.
func TestExecStuck(t *testing.T) {
	drivertest.NeedsRoot(t, "to run as nobody")
	dir, err := os.MkdirTemp("", "keepcast-stuck-") // one that nobody can enter
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	for name, mode := range map[string]os.FileMode{"nobody": 0o755, "root": 0o755 | os.ModeSetuid} {
		drivertest.CopyFile(t, "/proc/self/exe", filepath.Join(dir, name), mode)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	nobody := exec.Command(filepath.Join(dir, "nobody"), "-test.run=^TestExecStuckNobody$")
	nobody.Dir = dir
	nobody.Env = []string{"KEEPCAST_STUCK=" + dir, "PATH=" + os.Getenv("PATH")}
	nobody.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := nobody.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	nobody.Stderr = os.Stderr
	if err := nobody.Start(); err != nil {
		t.Fatal(err)
	}
	defer nobody.Process.Kill()
	var said []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		said = append(said, lines.Text())
		if strings.HasPrefix(lines.Text(), "stuck") {
			releaseStuck(t, dir)
		}
	}
	if err := nobody.Wait(); err != nil || len(said) == 0 || said[0] != "stuck" {
		t.Errorf("%v\n%s", err, strings.Join(said, "\n"))
	}
}

// releaseStuck ends the command, which must not wait again when it is started anew.
func releaseStuck(t *testing.T, dir string) {
	if err := os.WriteFile(filepath.Join(dir, "stop"), nil, 0o644); err != nil {
		t.Error(err)
	}
	if err := unix.Kill(readPid(t, filepath.Join(dir, "pid")), unix.SIGKILL); err != nil {
		t.Error(err)
	}
}

// TestExecStuckNobody is the part of TestExecStuck that runs as nobody.
func TestExecStuckNobody(t *testing.T) {
	dir := os.Getenv("KEEPCAST_STUCK")
	if dir == "" {
		t.Skip("part of TestExecStuck")
	}
	program, pidFile := filepath.Join(dir, "root"), filepath.Join(dir, "pid")
	c := Exec{Command: []string{program, "-test.run=^TestExecStuckRoot$"}, Env: []string{"KEEPCAST_STUCK_ROOT=" + dir}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	first, start := make(chan error, 1), time.Now()
	go func() { first <- c.Check(ctx) }()
	eventually(t, "the command", func() bool { return hasContent(pidFile) })
	running := time.Now()
	cancel()
	pid := strconv.Itoa(readPid(t, pidFile))
	sameError(t, <-first, "ADDR: context canceled, and process "+pid+" does not die though it was killed", program)
	err := c.Check(within(t))
	sameError(t, err, "ADDR: process "+pid+" of an earlier check does not die though it was killed", program)
	if began, ok := health.AftermathSince(err); !ok || began.Before(start) || began.After(running) {
		t.Errorf("it is said to have begun at %s, want between %s and %s", began, start, running)
	}
	fmt.Println("stuck")
	eventually(t, "a check that goes well", func() bool { return c.Check(within(t)) == nil })
}

// TestExecStuckRoot is the command of TestExecStuck.
func TestExecStuckRoot(t *testing.T) {
	dir := os.Getenv("KEEPCAST_STUCK_ROOT")
	if dir == "" {
		t.Skip("part of TestExecStuck")
	}
	if _, err := os.Stat(filepath.Join(dir, "stop")); err == nil {
		return
	}
	if err := syscall.Setuid(0); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "pid"), []byte(strconv.Itoa(os.Getpid())+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	forever, end, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer end.Close()
	io.ReadAll(forever)
}
