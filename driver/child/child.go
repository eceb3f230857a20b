// Package child holds what all processes that keepcast starts have in common:
// commands of checks and of drivers.
package child

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Environ returns the environment of keepcast without what systemd tells keepcast
// alone (sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3), sd_pid_notify_with_fds(3),
// systemd.exec(5)). A command that had it would speak to systemd in keepcast's name, as
// systemctl does, or take descriptors for sockets that it was given.
func Environ() []string {
	return slices.DeleteFunc(os.Environ(), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		switch name {
		case "NOTIFY_SOCKET", "FDSTORE", "MAINPID", "SYSTEMD_EXEC_PID",
			"WATCHDOG_USEC", "WATCHDOG_PID",
			"LISTEN_FDS", "LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDNAMES",
			"MEMORY_PRESSURE_WATCH", "MEMORY_PRESSURE_WRITE":
			return true
		}
		return false
	})
}

// KillGroup kills every process of a group. A group that is gone is no error.
func KillGroup(leader int) error {
	if err := syscall.Kill(-leader, syscall.SIGKILL); !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}

// Expendable has the kernel, when memory is short, not spare the process as it spares
// keepcast (OOMScoreAdjust= of the unit, which a process hands on to what it starts): a
// check that eats all memory is what is to be killed, and not the services of the host.
// Where that can't be had, nothing is lost but this.
func Expendable(pid int) { expendable("/proc", pid) }

func expendable(proc string, pid int) {
	const file = "oom_score_adj" // proc(5)
	if negative(filepath.Join(proc, "self", file)) {
		_ = os.WriteFile(filepath.Join(proc, strconv.Itoa(pid), file), []byte("0"), 0)
	}
}

// negative reports whether the number in a file is below zero. It is looked at for each
// command that is started, so it takes no more than the three calls of the kernel.
func negative(path string) bool {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer func() { _ = unix.Close(fd) }()
	sign := make([]byte, 1)
	n, err := unix.Read(fd, sign)
	return err == nil && n == 1 && sign[0] == '-'
}
