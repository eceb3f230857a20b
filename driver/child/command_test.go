package child

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// A command is itself, not a shell: it has its words as they are, its directory, and the
// process that was started.
func TestCommand(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "run")
	drivertest.WriteFile(t, script, "#!/bin/sh\npwd\necho \"$PWD\"\nprintf '<%s>' \"$@\"\n")
	if err := os.Chmod(script, 0o755); err != nil {
		t.Fatal(err)
	}
	words := []string{"a b", "$HOME", `"'`, "", "-x"}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ dir, program, in string }{{"", script, here}, {dir, "./run", dir}, {"/", script, "/"}} {
		cmd, err := Command(t.Context(), tt.dir, append([]string{tt.program}, words...))
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.CombinedOutput()
		want := tt.in + "\n" + tt.in + "\n<a b><$HOME><\"'><><-x>"
		if got := string(out); got != want || err != nil {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
	}
	cmd, err := Command(t.Context(), "", []string{"cat", "/proc/self/stat"})
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.Output()
	if pid, _, _ := strings.Cut(string(out), " "); err != nil || pid != strings.TrimSpace(strings.Fields(string(out))[0]) || !strings.Contains(string(out), "(cat)") {
		t.Errorf("got %s, %v", out, err)
	}
}

// A check whose program was on NFS stopped all of keepcast when the server went away: no
// service was withdrawn any more, not even that whose check needs no file.
func TestCommandOnHangingFileSystem(t *testing.T) {
	dir, release := drivertest.HangingDir(t)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		// What is known of a program may be older than the hang: here it is elsewhere.
		if cmd, err := Command(t.Context(), dir, []string{"/bin/true"}); err == nil {
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			_ = cmd.Run()
		}
	}()
	drivertest.Eventually(t, "it is started", func() bool {
		lists, err := filepath.Glob("/proc/self/task/*/children")
		return err == nil && slices.ContainsFunc(lists, func(list string) bool {
			children, err := os.ReadFile(list)
			return err == nil && len(children) > 0
		})
	})
	collected := make(chan struct{})
	go func() {
		runtime.GC()
		close(collected)
	}()
	select {
	case <-collected:
	case <-time.After(10 * time.Second):
		t.Error("memory is not collected while a command starts")
	}
	release()
	<-ended
}
