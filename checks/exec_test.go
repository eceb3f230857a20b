package checks

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestExec(t *testing.T) {
	noLeaks(t)
	t.Setenv("NOTIFY_SOCKET", "/run/systemd/notify")
	t.Setenv("LISTEN_FDS", "3")
	t.Setenv("KEEPCAST_TEST", "inherited")
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	sh := func(script string) []string { return []string{"sh", "-c", script} }

	for name, tt := range map[string]struct {
		exec *Exec
		err  string
	}{
		"0":            {exec: &Exec{Command: []string{"true"}}},
		"0, talks":     {exec: &Exec{Command: sh(`echo fine; echo fine >&2`)}},
		"1":            {exec: &Exec{Command: []string{"false"}}, err: "false: exit 1"},
		"says why":     {exec: &Exec{Command: sh(`echo " zone is stale "; exit 3`)}, err: `sh: exit 3: "zone is stale"`},
		"on stderr":    {exec: &Exec{Command: sh(`echo zone is stale >&2; exit 3`)}, err: `sh: exit 3: "zone is stale"`},
		"several":      {exec: &Exec{Command: sh(`echo; echo one; echo two >&2; exit 3`)}, err: `sh: exit 3: "one" (and more)`},
		"nagios ok":    {exec: &Exec{Command: sh(`echo "OK - 3 ms|t=3"`), Nagios: true}},
		"warning":      {exec: &Exec{Command: sh(`exit 1`), Nagios: true, Warning: "fit"}},
		"warning bad":  {exec: &Exec{Command: sh(`echo "WARNING - 9 ms|t=9"; exit 1`), Nagios: true, Warning: "fail"}, err: `sh: exit 1 (warning): "WARNING - 9 ms"`},
		"critical":     {exec: &Exec{Command: sh(`echo "CRITICAL|t=99"; exit 2`), Nagios: true}, err: `sh: exit 2 (critical): "CRITICAL"`},
		"unknown":      {exec: &Exec{Command: sh(`exit 3`), Nagios: true}, err: `sh: exit 3 (unknown)`},
		"no plugin":    {exec: &Exec{Command: sh(`exit 127`), Nagios: true}, err: `sh: exit 127`},
		"bar":          {exec: &Exec{Command: sh(`echo "a|b"; exit 2`)}, err: `sh: exit 2: "a|b"`},
		"signal":       {exec: &Exec{Command: sh(`echo ouch; kill -SEGV $$`)}, err: `sh: killed by signal 11 (segmentation fault): "ouch"`},
		"kills itself": {exec: &Exec{Command: sh(`kill -KILL 0`)}, err: `sh: killed by signal 9 (killed)`},
		"not found":    {exec: &Exec{Command: []string{"nonexistent"}}, err: `nonexistent: starting: exec: "nonexistent": executable file not found in $PATH`},
		"no file":      {exec: &Exec{Command: []string{"/nonexistent"}}, err: `/nonexistent: starting: fork/exec /nonexistent: no such file or directory`},
		"no program":   {exec: &Exec{Command: []string{plain}}, err: plain + `: starting: fork/exec ` + plain + `: permission denied`},
		"no dir":       {exec: &Exec{Command: []string{"true"}, Dir: "/nonexistent"}, err: `true: dir: stat /nonexistent: no such file or directory`},
		"dir":          {exec: &Exec{Command: sh(`test "$PWD" = ` + dir), Dir: dir}},
		"env":          {exec: &Exec{Command: sh(`test "$A$KEEPCAST_TEST${NOTIFY_SOCKET-unset}${LISTEN_FDS-unset}" = "b cinheritedunsetunset"`), Env: []string{"A=b c"}}},
		"env wins":     {exec: &Exec{Command: sh(`test "$KEEPCAST_TEST" = mine`), Env: []string{"KEEPCAST_TEST=mine"}}},
		"no stdin":     {exec: &Exec{Command: sh(`cat; exit 3`)}, err: `sh: exit 3`},
		"argv":         {exec: &Exec{Command: []string{"test", "a b $(x)", "=", "a b $(x)"}}},
		"much":         {exec: &Exec{Command: sh(`head -c 10000000 /dev/zero | tr '\0' a; exit 3`)}, err: `sh: exit 3: "` + strings.Repeat("a", 120) + `"... (and more)`},
		"own group":    {exec: &Exec{Command: sh(`test "$(ps -o pgid= -p $$ | tr -d ' ')" = $$`)}},
		"slow":         {exec: &Exec{Command: sh(`echo working; sleep 1000`)}, err: `sh: timed out, killed: "working"`},
		"deaf":         {exec: &Exec{Command: sh(`trap "" TERM INT HUP; echo deaf; while :; do sleep 1000; done`)}, err: `sh: timed out, killed: "deaf"`},
		"floods":       {exec: &Exec{Command: []string{"yes"}}, err: `yes: timed out, killed: "y" (and more)`},
	} {
		t.Run(name, func(t *testing.T) {
			if err := tt.exec.Validate(); err != nil {
				t.Fatal(err)
			}
			ctx := within(t)
			if strings.Contains(tt.err, "timed out") {
				ctx = shortly(t)
			}
			sameError(t, tt.exec.Check(ctx), tt.err, "")
		})
	}
}

// TestExecLeavesNothing runs commands whose children outlive them, or try to.
func TestExecLeavesNothing(t *testing.T) {
	for name, tt := range map[string]struct {
		script string // gets the name of the file for the child's process id
		escape bool   // whether the child leaves the group, and so stays
		err    string
	}{
		"in the background":       {script: `sleep 1000 & echo $! >"$1"`},
		"and a failure":           {script: `sleep 1000 & echo $! >"$1"; exit 2`, err: "sh: exit 2"},
		"when time is over":       {script: `sleep 1000 & echo $! >"$1"; wait`, err: "sh: timed out, killed"},
		"grandchild":              {script: `(sleep 1000 & echo $! >"$1"; sleep 1000) & while ! test -s "$1"; do :; done`},
		"new session":             {script: `setsid sh -c 'echo $$ >"$1"; exec sleep 1000' x "$1" & while ! test -s "$1"; do :; done`, escape: true},
		"new session, time over ": {script: `setsid sh -c 'echo $$ >"$1"; exec sleep 1000' x "$1" & sleep 1000`, escape: true, err: "sh: timed out, killed"},
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			file := filepath.Join(t.TempDir(), "pid")
			c := Exec{Command: []string{"sh", "-c", tt.script, "sh", file}}
			ctx := within(t)
			if strings.Contains(tt.err, "timed out") {
				ctx = untilFile(t, file)
			}
			sameError(t, c.Check(ctx), tt.err, "")
			pid := readPid(t, file)
			if tt.escape {
				if !runs(pid) {
					t.Errorf("process %d does not run: the test shows nothing", pid)
				}
				if err := unix.Kill(pid, unix.SIGKILL); err != nil {
					t.Error(err)
				}
			}
			eventually(t, "the end of process "+strconv.Itoa(pid), func() bool { return !runs(pid) })
		})
	}
}

func TestHead(t *testing.T) {
	var h head
	for _, size := range []int{maxOutput - 1, 2, 5} {
		if n, err := h.Write(make([]byte, size)); n != size || err != nil {
			t.Errorf("wrote %d of %d, %v", n, size, err)
		}
		if h.cut != (size != maxOutput-1) {
			t.Errorf("after %d more: cut is %v", size, h.cut)
		}
	}
	if h.kept.Len() != maxOutput {
		t.Errorf("kept %d bytes", h.kept.Len())
	}
}

func TestExecCancelled(t *testing.T) {
	noLeaks(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := (&Exec{Command: []string{"sleep", "1000"}}).Check(ctx)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestExecValidate(t *testing.T) {
	for name, tt := range map[string]struct {
		exec *Exec
		err  string
	}{
		"good":       {exec: &Exec{Command: []string{"true"}, Env: []string{"A=", "B=c=d"}}},
		"no command": {exec: &Exec{}, err: "command: no command is given"},
		"empty":      {exec: &Exec{Command: []string{"", "a"}}, err: "command: no command is given"},
		"env":        {exec: &Exec{Command: []string{"true"}, Env: []string{"A"}}, err: `env: "A" is not NAME=value`},
		"env name":   {exec: &Exec{Command: []string{"true"}, Env: []string{"=a"}}, err: `env: "=a" is not NAME=value`},
		"NUL":        {exec: &Exec{Command: []string{"true", "a\x00b"}}, err: `"a\x00b" has a NUL, which no command can be given`},
	} {
		t.Run(name, func(t *testing.T) { sameError(t, tt.exec.Validate(), tt.err, "") })
	}
}

// untilFile returns a context whose time is over once a file has content.
func untilFile(t *testing.T, file string) context.Context {
	t.Helper()
	ctx := &fileContext{Context: t.Context(), file: file, done: make(chan struct{})}
	ended := make(chan struct{})
	t.Cleanup(func() { <-ended })
	go func() {
		defer close(ended)
		ticker := time.NewTicker(5 * time.Millisecond)
		defer ticker.Stop()
		for range ticker.C {
			if ctx.Context.Err() != nil || hasContent(file) {
				close(ctx.done)
				return
			}
		}
	}()
	return ctx
}

// fileContext is a context that says its deadline has passed.
type fileContext struct {
	context.Context
	file string
	done chan struct{}
}

func (c *fileContext) Done() <-chan struct{} { return c.done }

func (c *fileContext) Err() error {
	select {
	case <-c.done:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

func hasContent(file string) bool {
	content, err := os.ReadFile(file)
	return err == nil && bytes.HasSuffix(content, []byte("\n"))
}

func readPid(t *testing.T, file string) int {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// runs reports whether a process exists and is no zombie.
func runs(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, state, _ := bytes.Cut(stat, []byte(") "))
	return len(state) > 0 && state[0] != 'Z'
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	ctx := within(t)
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for !is() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited in vain for %s", what)
		case <-ticker.C:
		}
	}
}
