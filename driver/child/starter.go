package child

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"
)

// Starter makes the commands of somebody who runs the same one again and again. It remembers
// whether its program can be started directly, since to look at that takes a third of a run.
// The zero Starter remembers nothing yet.
type Starter struct{ last atomic.Pointer[start] }

// start is how a program can be started.
type start struct {
	path   string      // without links
	file   os.FileInfo // what was there
	seen   time.Time   // when
	direct bool
}

// rememberedFor bounds for how long it is not seen that something else than the program is
// on another file system by now, such as its dynamic linker.
const rememberedFor = time.Minute

// Command returns the command argv, to be run in dir (empty: here). The error is what a
// start of it would say.
//
// Until a new process has entered its directory and found its program, the thread that
// started it waits for it in the kernel, and the whole of keepcast waits for that thread as
// soon as memory is to be collected (vfork, see syscall.forkExec). So a directory or a program
// on a file system that hangs, such as NFS without its server, would stop all that keepcast
// decides. Where that can be, the command is started by way of the shell, which then is the
// command itself (exec). The shell is on the file system of the host itself. A host that has
// none goes without this.
func (s *Starter) Command(ctx context.Context, dir string, argv []string) (*exec.Cmd, error) {
	program, err := found(dir, argv[0])
	if err != nil {
		return nil, err
	}
	if dir == "" {
		if path, ok := s.direct(program); ok {
			cmd := exec.CommandContext(ctx, path, argv[1:]...)
			cmd.Args[0] = program
			return cmd, nil
		}
	}
	if _, err := os.Stat(shell); err != nil {
		cmd := exec.CommandContext(ctx, program, argv[1:]...)
		cmd.Dir = dir
		return cmd, nil
	}
	words := []string{"-c", `exec "$@"`, shell}
	if dir != "" {
		words = []string{"-c", `cd -- "$0" && export PWD && exec "$@"`, dir}
	}
	words = append(words, program)
	return exec.CommandContext(ctx, shell, append(words, argv[1:]...)...), nil
}

// direct returns the path by which a program can be started without the shell, if it can be. The
// path is found each time: a link may lead to the same file in another place by now.
func (s *Starter) direct(program string) (path string, ok bool) {
	path, err := filepath.EvalSymlinks(program)
	if err != nil {
		return "", false
	}
	file, err := os.Stat(path)
	if err != nil {
		return "", false
	}
	l := s.last.Load()
	if l == nil || l.path != path || time.Since(l.seen) > rememberedFor || !unchanged(l.file, file) {
		l = &start{path: path, file: file, seen: time.Now(), direct: direct(path)}
		s.last.Store(l)
	}
	return path, l.direct
}

// unchanged reports whether two looks at a file saw the same one, which nobody has written,
// renamed or linked in between.
func unchanged(a, b os.FileInfo) bool {
	was, ok := a.Sys().(*syscall.Stat_t)
	is, same := b.Sys().(*syscall.Stat_t)
	return ok && same && os.SameFile(a, b) && was.Ctim == is.Ctim
}
