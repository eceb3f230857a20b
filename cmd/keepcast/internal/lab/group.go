package lab

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// group is the PID namespace that all processes of a lab live in. Its first
// process waits for the end of its input; when that comes, by close or because
// the process that made the lab is gone, the kernel kills all the others. A
// parent-death signal would not do: it is forgotten when a daemon changes its
// user (prctl(2)).
type group struct {
	first *exec.Cmd
	input io.Closer
	ns    int // file descriptor of the namespace
}

func newGroup() (*group, error) {
	cat, err := program("", "cat")
	if err != nil {
		return nil, err
	}
	first := exec.Command(cat)
	first.Dir = "/"
	first.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID, Setpgid: true}
	input, err := first.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("pid namespace: %w", err)
	}
	if err := first.Start(); err != nil {
		return nil, fmt.Errorf("pid namespace: %w", err)
	}
	g := &group{first: first, input: input, ns: -1}
	path := filepath.Join("/proc", strconv.Itoa(first.Process.Pid), "ns/pid")
	if g.ns, err = unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		_ = g.close()
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return g, nil
}

// close kills every process of the lab, and returns when they are gone.
func (g *group) close() error {
	_ = g.first.Process.Kill() // its input may be at its end already
	_ = g.first.Wait()         // killed, as it should be
	_ = g.input.Close()
	if g.ns >= 0 {
		if err := unix.Close(g.ns); err != nil {
			return fmt.Errorf("pid namespace: %w", err)
		}
	}
	return nil
}
