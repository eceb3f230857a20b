package main

import (
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
)

// asPID1 runs a command line in a process of its own, for a keepcast that is the first
// process of a container. The kernel gives that one every process whose parent has died, such
// as what an exec check started and left; none but it can take them off the process table.
// It does only that, and passes on signals, so that keepcast itself, which waits for the
// commands that it starts, is never robbed of their end. Its end is that of the container:
// the kernel kills what is left then. The exit code is that of the command line, or as a
// shell has it 128 and the signal that ended it.
func asPID1(args []string) int {
	signals, ends := make(chan os.Signal, 64), make(chan os.Signal, 1)
	signal.Notify(ends, syscall.SIGCHLD)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2)
	child, err := os.StartProcess("/proc/self/exe", args, &os.ProcAttr{ //nolint:gosec // it is this program, with its own arguments
		Env:   slices.DeleteFunc(os.Environ(), func(v string) bool { return v == "WATCHDOG_PID=1" }), // that is the child's now
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
		Sys:   &syscall.SysProcAttr{Setpgid: true}, // Ctrl-C comes once: from here
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "keepcast: as PID 1:", err)
		return exitFailed
	}
	for {
		select {
		case s := <-signals:
			_ = child.Signal(s) // it has ended, or is told
		case <-ends:
			if code, ended := reap(child.Pid); ended {
				return code
			}
		}
	}
}

// reap takes all processes that have ended off the process table. If that of pid is among
// them, it returns its exit code.
func reap(pid int) (code int, ended bool) {
	for {
		var status syscall.WaitStatus
		one, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		switch {
		case err == syscall.EINTR:
			continue
		case err != nil || one <= 0:
			return code, ended
		case one == pid && status.Signaled():
			code, ended = 128+int(status.Signal()), true
		case one == pid:
			code, ended = status.ExitStatus(), true
		}
	}
}
