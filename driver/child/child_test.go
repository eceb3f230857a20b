package child

import (
	"os/exec"
	"slices"
	"syscall"
	"testing"
)

func TestEnviron(t *testing.T) {
	for _, name := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"} {
		t.Setenv(name, "1")
	}
	t.Setenv("NOTIFY_SOCKET_OF_MINE", "kept")
	got := Environ()
	for _, variable := range got {
		switch variable {
		case "NOTIFY_SOCKET=1", "WATCHDOG_USEC=1", "WATCHDOG_PID=1", "LISTEN_FDS=1", "LISTEN_PID=1", "LISTEN_FDNAMES=1":
			t.Errorf("%s is passed on", variable)
		}
	}
	if !slices.Contains(got, "NOTIFY_SOCKET_OF_MINE=kept") {
		t.Error("a variable of the operator's is left out")
	}
}

func TestKillGroup(t *testing.T) {
	cmd := exec.Command("sh", "-c", "sleep 1000 & wait")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := KillGroup(cmd.Process.Pid); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err == nil || err.Error() != "signal: killed" {
		t.Errorf("got %v", err)
	}
	if err := KillGroup(cmd.Process.Pid); err != nil {
		t.Errorf("a group that is gone: %v", err)
	}
}
