package checks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/driver/child"
)

func init() {
	register(Kind{
		Name: "exec",
		Doc: "Runs a command, without a shell, and looks at how it exits. It runs in a process group of its own, " +
			"which is killed when the command exits or its time is over, so that nothing stays behind. " +
			"Nothing keeps a command from probing an anycast address that is not on this host.",
		Example: "command: [/usr/lib/nagios/plugins/check_ntp_time, -H, 127.0.0.1]\nnagios: true\n",
		New:     func() Checker { return new(Exec) },
	})
}

// Exec is fit when a command exits with 0, or as a Nagios plugin with 0 (ok) or
// 1 (warning).
type Exec struct {
	Command []string `config:"command" required:"true" doc:"The command and its arguments, one by one. No shell looks at them."`
	Env     []string `config:"env" doc:"Environment variables to set, as 'NAME=value', on top of those of keepcast."`
	Dir     string   `config:"dir" doc:"Directory to run in, instead of that of keepcast."`
	Nagios  bool     `config:"nagios" doc:"The command is a Nagios plugin: 0 is ok, 1 warning, 2 critical, 3 unknown."`
	Warning string   `config:"warning" default:"fit" enum:"fit|fail" doc:"What the warning of a Nagios plugin means."`

	starter child.Starter
	stuck   atomic.Pointer[process] // what an earlier check has not seen the end of
}

// maxOutput is how much output is kept to be shown; the rest is read and
// dropped, so that a command that says much does not block.
const maxOutput = 4 << 10

// pipeDelay is how long a process that left the group may hold the output open
// before the check goes on without it.
const pipeDelay = 100 * time.Millisecond

// killDelay is how long a command may take to die once it was killed.
const killDelay = time.Second

// Validate implements Validator.
func (e *Exec) Validate() error {
	if len(e.Command) == 0 || e.Command[0] == "" {
		return errors.New("command: no command is given")
	}
	for _, v := range e.Env {
		if name, _, ok := strings.Cut(v, "="); !ok || name == "" {
			return fmt.Errorf("env: %q is not NAME=value", v)
		}
	}
	for _, s := range slices.Concat(e.Command, e.Env, []string{e.Dir}) {
		if strings.Contains(s, "\x00") {
			return fmt.Errorf("%q has a NUL, which no command can be given", s)
		}
	}
	return nil
}

// Host implements Hosted.
func (e *Exec) Host() func() ([]string, error) { return e.look }

func (e *Exec) look() ([]string, error) {
	if e.Dir != "" {
		if _, err := os.Stat(e.Dir); err != nil {
			return nil, fmt.Errorf("dir: %w", err)
		}
	}
	program, err := child.Look(e.Dir, e.Command[0])
	if err != nil {
		return nil, fmt.Errorf("command: %w", err)
	}
	return []string{program}, nil
}

// Check implements Checker.
func (e *Exec) Check(ctx context.Context) error {
	if err := e.run(ctx); err != nil {
		return fmt.Errorf("%s: %w", e.Command[0], err)
	}
	return nil
}

func (e *Exec) run(ctx context.Context) error {
	if p := e.stuck.Load(); p != nil && !p.hasEnded() {
		return health.Aftermath(fmt.Errorf("process %d of an earlier check does not die though it was killed", p.cmd.Process.Pid), p.began)
	}
	if e.Dir != "" { // a directory that is missing would look like a command that is
		if _, err := os.Stat(e.Dir); err != nil {
			return fmt.Errorf("dir: %w", err)
		}
	}
	var out head
	cmd, err := e.starter.Command(ctx, e.Dir, e.Command)
	if err != nil {
		return fmt.Errorf("starting: %w", err)
	}
	cmd.Env = append(child.Environ(), e.Env...)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return child.KillGroup(cmd.Process.Pid) }
	cmd.WaitDelay = pipeDelay
	p := &process{cmd: cmd, began: time.Now(), ended: make(chan struct{})}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting: %w", err)
	}
	child.Expendable(cmd.Process.Pid)
	go p.reap()
	s := sight(ctx)
	if s != nil { // not its arguments: one may be a password
		s.saw("started", "%s, as process %d", e.Command[0], cmd.Process.Pid)
		s.waits("process %d to exit", cmd.Process.Pid)
	}
	select {
	case <-p.ended:
	case <-ctx.Done():
		select {
		case <-p.ended:
		case <-time.After(killDelay):
			// It hangs in the kernel or runs as another user. It is reaped
			// when it ends, and none is started beside it.
			e.stuck.Store(p)
			return fmt.Errorf("%w, and process %d does not die though it was killed", explain(ctx, ctx.Err()), cmd.Process.Pid)
		}
	}
	if cmd.ProcessState == nil {
		return p.err
	}
	if s != nil {
		s.sawLines("output", out.kept.String())
		if ctx.Err() != nil && !cmd.ProcessState.Exited() {
			s.waits("process %d to exit; it was killed", cmd.Process.Pid)
		} else {
			s.saw("exited", "%s", cmd.ProcessState)
		}
	}
	return e.judge(ctx, cmd.ProcessState, &out)
}

// judge says what an exit means. A pipe that is still held open by something
// that left the group does not matter, so the error of Wait is not looked at.
func (e *Exec) judge(ctx context.Context, state *os.ProcessState, out *head) error {
	code := state.ExitCode()
	status, ok := state.Sys().(syscall.WaitStatus)
	switch {
	case code == 0, code == 1 && e.Nagios && e.Warning != "fail":
		return nil
	case ok && status.Signaled() && ctx.Err() != nil:
		return fmt.Errorf("%w, killed%s", explain(ctx, ctx.Err()), out.quote(e.Nagios))
	case ok && status.Signaled():
		return fmt.Errorf("killed by signal %d (%s)%s", status.Signal(), status.Signal(), out.quote(e.Nagios))
	}
	meaning := ""
	if names := []string{"ok", "warning", "critical", "unknown"}; e.Nagios && code < len(names) {
		meaning = " (" + names[code] + ")"
	}
	return fmt.Errorf("exit %d%s%s", code, meaning, out.quote(e.Nagios))
}

// process is a command that was started.
type process struct {
	cmd   *exec.Cmd
	began time.Time
	ended chan struct{} // closed when it is reaped
	err   error         // of waiting for it, once ended is closed
}

// reap waits for a command to end and kills what it leaves behind.
func (p *process) reap() {
	defer close(p.ended)
	awaitExit(p.cmd.Process.Pid)
	// Not being allowed to is no fault of the service: the command was sudo.
	_ = child.KillGroup(p.cmd.Process.Pid)
	p.err = p.cmd.Wait()
}

func (p *process) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// awaitExit returns when the process has exited, but leaves it a zombie: until
// it is reaped no other process and no other group can get its number.
func awaitExit(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// head keeps the first maxOutput bytes that are written to it.
type head struct {
	kept bytes.Buffer
	cut  bool
}

// Write implements io.Writer. It never refuses anything.
func (h *head) Write(p []byte) (int, error) {
	room := maxOutput - h.kept.Len()
	h.cut = h.cut || len(p) > room
	h.kept.Write(p[:min(room, len(p))])
	return len(p), nil
}

// ReadFrom implements io.ReaderFrom. Without it each run would take a buffer of 32 KiB, to
// read what is mostly a line.
func (h *head) ReadFrom(r io.Reader) (n int64, err error) {
	to, begin := struct{ io.Writer }{h}, &io.LimitedReader{R: r, N: maxOutput}
	n, err = io.CopyBuffer(to, begin, make([]byte, 512))
	if err != nil || begin.N > 0 {
		return n, err
	}
	more, err := io.Copy(to, r)
	return n + more, err
}

// quote returns the first line of the output, for the end of an error, and
// marks that there was more. A plugin's performance data is left out.
func (h *head) quote(nagios bool) string {
	line, rest, _ := strings.Cut(strings.TrimSpace(h.kept.String()), "\n")
	if nagios {
		line, _, _ = strings.Cut(line, "|")
	}
	if line == "" {
		return ""
	}
	more := ""
	if rest != "" || h.cut {
		more = " (and more)"
	}
	return ": " + excerpt([]byte(line)) + more
}
