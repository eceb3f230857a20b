package child

import (
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/keepcast/keepcast/driver/drivertest"
)

func TestEnviron(t *testing.T) {
	own := []string{
		"NOTIFY_SOCKET", "FDSTORE", "MAINPID", "SYSTEMD_EXEC_PID", "WATCHDOG_USEC", "WATCHDOG_PID",
		"LISTEN_FDS", "LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDNAMES", "MEMORY_PRESSURE_WATCH", "MEMORY_PRESSURE_WRITE",
	}
	for _, name := range own {
		t.Setenv(name, "1")
	}
	t.Setenv("NOTIFY_SOCKET_OF_MINE", "kept")
	got := Environ()
	for _, variable := range got {
		if name, _, _ := strings.Cut(variable, "="); slices.Contains(own, name) {
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

// What an exec check started was spared by the kernel as keepcast is, when memory was short:
// a check that ate all of it had the kernel kill the services of the host. Where keepcast
// is not spared, what a container runtime has set stays.
func TestExpendable(t *testing.T) {
	for own, want := range map[string]string{"-900\n": "0", "0\n": "500\n", "936\n": "500\n", "": "500\n"} {
		proc := drivertest.Root(t, map[string]string{"self/oom_score_adj": own, "17/oom_score_adj": "500\n"})
		expendable(proc, 17)
		if got := drivertest.ReadFile(t, proc+"/17/oom_score_adj"); got != want {
			t.Errorf("keepcast has %q: the process has %q, want %q", own, got, want)
		}
	}
	Expendable(1 << 30) // a process that has ended
}
