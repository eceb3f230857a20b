package template

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/keepcast/keepcast/driver/child"
)

const (
	maxOutput = 1 << 20         // bytes kept of what a command prints
	maxShown  = 400             // bytes of it that an error shows
	pipeWait  = 2 * time.Second // for what a finished command left running and which holds its output
)

// command runs argv and returns what it printed on its standard output, of that
// the last maxOutput bytes. It runs in a process group of its own, which is
// killed as a whole when timeout is over or ctx is done. Its error names the
// command and shows the end of what it printed, errors included.
func command(ctx context.Context, timeout time.Duration, argv []string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var out, both tail
	cmd, err := child.Command(ctx, "", argv)
	if err != nil {
		return "", fmt.Errorf("%s: %w", strings.Join(argv, " "), err)
	}
	cmd.Env = child.Environ()
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&out, &both), &both
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return child.KillGroup(cmd.Process.Pid) }
	cmd.WaitDelay = pipeWait
	err = cmd.Start()
	if err == nil {
		child.Expendable(cmd.Process.Pid)
		err = cmd.Wait()
	}
	switch {
	case err == nil:
		return out.String(), nil
	case errors.Is(err, exec.ErrWaitDelay) && cmd.ProcessState.Success() && ctx.Err() == nil:
		// It ended well and left a process behind that holds its output, as a
		// command does that starts a daemon.
		return out.String(), nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		err = fmt.Errorf("not done after %s, killed", timeout)
	case ctx.Err() != nil:
		err = ctx.Err()
	}
	return out.String(), fmt.Errorf("%s: %w%s", strings.Join(argv, " "), err, shown(both.String()))
}

// shown is the end of a command's output, on one line, for an error.
func shown(out string) string {
	out = strings.Join(strings.Fields(strings.ToValidUTF8(out, "?")), " ")
	if out == "" {
		return ""
	}
	if len(out) > maxShown {
		out = "..." + strings.ToValidUTF8(out[len(out)-maxShown:], "")
	}
	return ": " + out
}

// tail keeps the last maxOutput bytes written to it.
type tail struct {
	mu   sync.Mutex // both streams write, and what outlives WaitDelay may still be at it
	kept []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p...)
	if len(t.kept) > 2*maxOutput { // not at every write
		t.kept = append(t.kept[:0], t.kept[len(t.kept)-maxOutput:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.kept[max(0, len(t.kept)-maxOutput):])
}
