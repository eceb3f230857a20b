package checks

import (
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// alone runs a test again in a namespace of processes of its own, in which none of others is
// out of sight, and returns true there.
func alone(t *testing.T) bool {
	t.Helper()
	const mark = "KEEPCAST_TEST_ALONE"
	if os.Getenv(mark) != "" {
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
			t.Fatal(err)
		}
		return true
	}
	drivertest.NeedsRoot(t, "for a namespace of processes")
	cmd := exec.CommandContext(within(t), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), mark+"=1")
	cmd.SysProcAttr = &unix.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	return false
}

// restricted calls do on a thread without CAP_SYS_PTRACE, once prepare has succeeded there.
func restricted(t *testing.T, prepare func() error, do func()) {
	t.Helper()
	drivertest.NeedsRoot(t, "to give up CAP_SYS_PTRACE")
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread dies with the goroutine
		err := prepare()
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var caps [2]unix.CapUserData
		if err == nil {
			err = unix.Capget(&header, &caps[0])
		}
		for _, set := range []*uint32{&caps[0].Effective, &caps[0].Permitted} {
			*set &^= 1 << unix.CAP_SYS_PTRACE
		}
		if err == nil {
			err = unix.Capset(&header, &caps[0])
		}
		if err == nil {
			do()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// The package's unit has no CAP_SYS_PTRACE, and /proc hides from it the processes of others.
// That is no sign of a service that is down, and keepcast says what to do.
func TestProcessHidden(t *testing.T) {
	noLeaks(t)
	program := sleeper(t)
	pid, lost := sleeps(t, program).Process.Pid, killed(t)
	restricted(t, hideProcesses, func() { unseen(t, program, pid, 1, lost, "no such file or directory") })
}

// Elsewhere it sees them, but not what they run.
func TestProcessRefused(t *testing.T) {
	if !alone(t) {
		return
	}
	noLeaks(t)
	program := sleeper(t)
	pid, lost := sleeps(t, program).Process.Pid, killed(t)
	restricted(t, func() error { return nil }, func() { unseen(t, program, pid, pid, lost, "permission denied") })
}

// unseen looks for a process whose program keepcast is not shown, and neither that of the
// process refused.
func unseen(t *testing.T, program string, pid, refused, lost int, errno string) {
	t.Helper()
	file := pidfile(t, pid)
	words := []string{"PID", strconv.Itoa(pid), "REFUSED", strconv.Itoa(refused), "LOST", strconv.Itoa(lost), "FILE", file, "PROGRAM", program, "ERRNO", errno}
	const why = ", among those that keepcast may look at: without CAP_SYS_PTRACE it is not shown what other users run " +
		"(readlink /proc/REFUSED/exe: ERRNO): set unit or pidfile instead of exe"
	p := &Process{Exe: program, Count: 1}
	failure(t, p.Check(within(t)), "no process runs PROGRAM"+why, words...)
	p.seen.Store(&[]int{lost})
	failure(t, p.Check(within(t)), "certain: process LOST is gone: no process runs PROGRAM"+why, words...)

	failure(t, (&Process{PIDFile: file}).Check(within(t)), "")
	failure(t, (&Process{PIDFile: file, Exe: program}).Check(within(t)),
		"keepcast is not shown what process PID, which FILE names, runs, which takes CAP_SYS_PTRACE: leave exe out (readlink /proc/PID/exe: ERRNO)", words...)

	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Error(err)
	}
	failure(t, (&Process{Exe: self, Count: 1}).Check(within(t)), "")
	failure(t, (&Process{Exe: self, Count: 1000}).Check(within(t)), "only 1 of 1000 processes run "+self+why, words...)
}

// hideProcesses does for this thread what ProtectProc=invisible does. A member of group gid,
// which is that of root otherwise, would see all.
func hideProcesses() error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	return unix.Mount("proc", "/proc", "proc", 0, "hidepid=2,gid=65534")
}
