package checks

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// What a kind of check asks the kernel about processes. A pidfd stands for one process for
// good, a number only as long as that runs. It needs neither a right nor /proc, which
// the package's unit hides (ProtectProc=invisible).

// pidfd is a descriptor of a process, see pidfd_open(2).
type pidfd int

// noProcess stands for a process that is gone.
const noProcess pidfd = -1

// hold returns a descriptor of the process that has a number.
func hold(pid int) (pidfd, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	switch {
	case err == nil:
		return pidfd(fd), nil
	case errors.Is(err, unix.ESRCH),
		errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT): // a thread or a process group has it
		return noProcess, nil
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM): // no process is out of reach
		return noProcess, fmt.Errorf("watching process %d: Linux 5.3 or newer is needed, and a sandbox that allows pidfd_open (%w)", pid, err)
	}
	return noProcess, fmt.Errorf("watching process %d: %w", pid, err)
}

// exited reports whether the process has exited. A zombie has.
func (p pidfd) exited() bool {
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(p), Events: unix.POLLIN}}, 0)
		if !errors.Is(err, unix.EINTR) {
			return n > 0
		}
	}
}

// release closes the descriptor.
func (p pidfd) release() { _ = unix.Close(int(p)) }

// alive reports whether some process that has not exited has a number.
func alive(pid int) (bool, error) {
	held, err := hold(pid)
	if err != nil || held == noProcess {
		return false, err
	}
	defer held.release()
	return !held.exited(), nil
}

// watchedProcess is a process whose exit is waited for.
type watchedProcess struct {
	pid  int
	file *os.File    // its pidfd
	over atomic.Bool // it has exited
}

// watch returns the process that has a number, nil if there is none. It is for await.
func watch(pid int) (*watchedProcess, error) {
	held, err := hold(pid)
	if err != nil || held == noProcess {
		return nil, err
	}
	// It lets the runtime wait, without a thread for each process. PIDFD_NONBLOCK needs
	// Linux 5.10.
	if err := unix.SetNonblock(int(held), true); err != nil {
		held.release()
		return nil, fmt.Errorf("watching process %d: %w", pid, err)
	}
	return &watchedProcess{pid: pid, file: os.NewFile(uintptr(held), "pidfd")}, nil
}

// await calls changed once the process has exited. It ends early by drop, or with what broke
// the wait.
func (w *watchedProcess) await(changed func(), broken chan<- error) {
	defer w.file.Close()
	raw, err := w.file.SyscallConn()
	if err == nil {
		err = raw.Read(func(fd uintptr) bool { return pidfd(fd).exited() })
	}
	switch {
	case err == nil:
		w.over.Store(true)
		changed()
	case !errors.Is(err, os.ErrDeadlineExceeded):
		select {
		case broken <- fmt.Errorf("watching process %d: %w", w.pid, err):
		default: // one is enough
		}
	}
}

// drop has await end. If that has ended, there is nothing to do.
func (w *watchedProcess) drop() { _ = w.file.SetReadDeadline(time.Unix(1, 0)) }

// processes returns the numbers of all processes that /proc shows, the smallest first:
// those of a daemon before those of its workers, as a rule.
func processes() ([]int, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids, nil
}

// programOf returns the path of what a process runs, as the kernel shows it.
func programOf(pid int) (string, error) { return os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)) }

// isProgram reports whether what programOf returned is the program at a path, or was before
// an upgrade replaced it.
func isProgram(shown, path string) bool { return strings.TrimSuffix(shown, " (deleted)") == path }

// resolved returns the path of a program without symbolic links. The program itself need
// not be there any more.
func resolved(program string) string {
	if at, err := filepath.EvalSymlinks(program); err == nil {
		return at
	}
	dir, name := filepath.Split(filepath.Clean(program))
	if at, err := filepath.EvalSymlinks(dir); err == nil {
		return filepath.Join(at, name)
	}
	return filepath.Clean(program)
}

// mostPIDFile is how much of a pidfile is read. The number comes first; that of PostgreSQL
// has other lines after it.
const mostPIDFile = 64

// readPIDFile returns the number of the process that a file names. That there is none is an
// absentError.
func readPIDFile(path string) (int, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // opening a pipe would wait for a writer
	if errors.Is(err, os.ErrNotExist) {
		return 0, absent("pidfile: %w", err)
	}
	if err != nil {
		return 0, fmt.Errorf("pidfile: %w", err)
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil {
		return 0, fmt.Errorf("pidfile: %w", err)
	} else if !info.Mode().IsRegular() {
		return 0, fmt.Errorf("pidfile: %s is no regular file", path)
	}
	text, err := io.ReadAll(io.LimitReader(file, mostPIDFile))
	if err != nil {
		return 0, fmt.Errorf("pidfile: %w", err)
	}
	pid, err := parsePID(text)
	if err != nil {
		return 0, absent("pidfile: %s %w", path, err)
	}
	return pid, nil
}

// parsePID reads the number at the start of a pidfile.
func parsePID(text []byte) (int, error) {
	words := bytes.Fields(text)
	if len(words) == 0 {
		return 0, errors.New("is empty")
	}
	pid, err := strconv.ParseUint(string(words[0]), 10, 31)
	if err != nil || pid == 0 {
		return 0, fmt.Errorf("does not start with the number of a process: %s", excerpt(words[0]))
	}
	return int(pid), nil
}

// describe returns what is to be seen of a process: its number, and as far as /proc shows
// it to keepcast, what it runs and since when.
func describe(pid int) string {
	text := strconv.Itoa(pid)
	if program, err := programOf(pid); err == nil {
		text += ", " + program
	}
	if since, err := started(pid); err == nil {
		text += ", since " + since.UTC().Format(time.RFC3339)
	}
	return text
}

// started returns when a process started, by the 22nd field of proc_pid_stat(5): clock ticks
// from boot, a hundred in a second whatever the kernel's own clock. The second field, a name
// in parentheses, may hold anything.
func started(pid int) (time.Time, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return time.Time{}, err
	}
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 20 {
		return time.Time{}, errors.New("too few fields")
	}
	ticks, err := strconv.ParseInt(string(fields[19]), 10, 64)
	if err != nil {
		return time.Time{}, err
	}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return time.Time{}, err
	}
	return time.Now().Add(time.Duration(ticks)*10*time.Millisecond - time.Duration(now.Nano())), nil
}
