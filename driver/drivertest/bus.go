package drivertest

import (
	"bufio"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Bus starts a private D-Bus, has this process take it for the system's, and
// returns its address and a function that kills it.
func Bus(t *testing.T) (address string, kill func()) {
	t.Helper()
	program := Program(t, "dbus-daemon")
	conf := filepath.Join(t.TempDir(), "bus.conf")
	WriteFile(t, conf, `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>unix:dir=`+t.TempDir()+`</listen>
  <policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/></policy>
</busconfig>`)
	daemon := exec.Command(program, "--config-file="+conf, "--nofork", "--nopidfile", "--print-address")
	daemon.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // should the test panic
	out, err := daemon.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	kill = func() {
		_ = daemon.Process.Kill()
		_ = daemon.Wait()
	}
	t.Cleanup(kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	address = strings.TrimSpace(line)
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
	return address, kill
}
