package child

import (
	"context"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"time"
)

// Starter makes the commands of somebody who runs the same one again and again. It remembers
// how its program can be started (see direct), since to look at that takes a third of a run.
// The zero Starter remembers nothing yet.
type Starter struct{ last atomic.Pointer[start] }

// start is how a program can be started.
type start struct {
	program string
	file    os.FileInfo // what it was
	seen    time.Time   // when
	path    string
	direct  bool
}

// rememberedFor bounds for how long it is not seen that something else than the program is
// on another file system by now, such as its dynamic linker.
const rememberedFor = time.Minute

// Command is as the function Command.
func (s *Starter) Command(ctx context.Context, dir string, argv []string) (*exec.Cmd, error) {
	return command(ctx, dir, argv, s.direct)
}

// direct is as the function direct, of which it remembers what that said of the same file.
func (s *Starter) direct(program string) (path string, ok bool) {
	file, err := os.Stat(program)
	if err != nil {
		return "", false
	}
	l := s.last.Load()
	if l == nil || l.program != program || time.Since(l.seen) > rememberedFor || !unchanged(l.file, file) {
		l = &start{program: program, file: file, seen: time.Now()}
		l.path, l.direct = direct(program)
		s.last.Store(l)
	}
	return l.path, l.direct
}

// unchanged reports whether two looks at a file saw the same one, which nobody has written,
// renamed or linked in between.
func unchanged(a, b os.FileInfo) bool {
	was, ok := a.Sys().(*syscall.Stat_t)
	is, same := b.Sys().(*syscall.Stat_t)
	return ok && same && os.SameFile(a, b) && was.Ctim == is.Ctim
}
