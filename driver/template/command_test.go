package template

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/keepcast/keepcast/driver/drivertest"
)

func TestCommand(t *testing.T) {
	for name, c := range map[string]struct {
		argv     []string
		out, err string
	}{
		"good":        {[]string{"echo", "a", "b c"}, "a b c\n", ""},
		"stderr":      {[]string{"sh", "-c", "echo out; echo err >&2"}, "out\n", ""},
		"no shell":    {[]string{"echo", "$HOME;id"}, "$HOME;id\n", ""},
		"failing":     {[]string{"sh", "-c", "echo err >&2; exit 3"}, "", "sh -c echo err >&2; exit 3: exit status 3: err"},
		"no such":     {[]string{"/nonexistent/keepcast"}, "", "/nonexistent/keepcast: fork/exec /nonexistent/keepcast: no such file or directory"},
		"killed":      {[]string{"sh", "-c", "kill -9 $$"}, "", "sh -c kill -9 $$: signal: killed"},
		"no terminal": {[]string{"cat"}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := command(t.Context(), 20*time.Second, c.argv)
			if out != c.out {
				t.Errorf("out %q, want %q", out, c.out)
			}
			if (err == nil) != (c.err == "") || err != nil && err.Error() != c.err {
				t.Errorf("err  %v\nwant %s", err, c.err)
			}
		})
	}
}

func TestCommandShowsTheEnd(t *testing.T) {
	_, err := command(t.Context(), 20*time.Second, []string{"sh", "-c", "seq 1 100000; exit 1"})
	if err == nil || !strings.HasSuffix(err.Error(), " 99999 100000") || !strings.Contains(err.Error(), ": exit status 1: ...") || len(err.Error()) > 500 {
		t.Errorf("got %v", err)
	}
	out, err := command(t.Context(), 20*time.Second, []string{"sh", "-c", "yes | head -c 9000000; echo end"})
	if err != nil || len(out) != maxOutput || !strings.HasSuffix(out, "y\nend\n") {
		t.Errorf("%d bytes kept, %v", len(out), err)
	}
}

// A command that hangs is killed with what it started.
func TestCommandHangs(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	argv := []string{"sh", "-c", `sleep 1000 & echo $! >"$0"; echo half; sleep 1000`, pids}
	_, err := command(t.Context(), 2*time.Second, argv)
	want := "sh -c " + argv[2] + " " + pids + ": not done after 2s, killed: half"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	drivertest.Eventually(t, "its child is gone", func() bool { return !alive(childOf(t, pids)) })

	ctx, cancel := context.WithCancel(t.Context())
	defer context.AfterFunc(t.Context(), cancel)()
	done := make(chan error)
	go func() {
		_, err := command(ctx, time.Hour, []string{"sh", "-c", `sleep 1000 & echo $! >"$0".2; wait`, pids})
		done <- err
	}()
	drivertest.Eventually(t, "it runs", func() bool { b, _ := os.ReadFile(pids + ".2"); return len(b) > 0 })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	drivertest.Eventually(t, "its child is gone", func() bool { return !alive(childOf(t, pids+".2")) })
}

// A command that ends well and leaves a daemon behind, which holds its output,
// has done its work, and the daemon lives on.
func TestCommandStartsDaemon(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	out, err := command(t.Context(), 20*time.Second, []string{"sh", "-c", `sleep 1000 & echo $! >"$0"; echo started`, pids})
	if err != nil || out != "started\n" {
		t.Errorf("%q, %v", out, err)
	}
	pid := childOf(t, pids)
	if !alive(pid) {
		t.Error("the daemon was killed")
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Error(err)
	}
}

// A command can't speak to systemd in keepcast's name. LISTEN_* went on to the commands of
// drivers, but not to those of checks, and a daemon that one started took its own
// descriptors for sockets; so both have the environment of one place, package child.
func TestCommandEnvironment(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "/run/notify")
	t.Setenv("WATCHDOG_USEC", "10000000")
	t.Setenv("LISTEN_FDS", "3")
	t.Setenv("LISTEN_PID", "1")
	t.Setenv("KEPT", "kept")
	out, err := command(t.Context(), 20*time.Second, []string{"sh", "-c", "echo $NOTIFY_SOCKET$WATCHDOG_USEC$LISTEN_FDS$LISTEN_PID$KEPT"})
	if err != nil || out != "kept\n" {
		t.Errorf("%q, %v", out, err)
	}
}

func childOf(t *testing.T, path string) int {
	t.Helper()
	pid, err := strconv.Atoi(strings.TrimSpace(drivertest.ReadFile(t, path)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// alive tells whether a process runs; a zombie that nobody reaps does not.
func alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(after, "Z")
}
