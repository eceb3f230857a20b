package control

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// lines are those of a log, without their times.
func lines(log string) string {
	var b strings.Builder
	for line := range strings.Lines(log) {
		_, line, _ = strings.Cut(line, " ")
		b.WriteString(line)
	}
	return b.String()
}

func replaced(text, old, new string) string { return strings.ReplaceAll(text, old, new) }

func textLog(b *drivertest.Buffer) *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }

// taken takes the lock of a directory until the test has ended.
func taken(t *testing.T, dir string) *Lock {
	t.Helper()
	l, err := TakeLock(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Release)
	return l
}

// Two keepcasts ran with one runtime directory where the file of the control socket was
// gone, and each took off what the other announced. One has the lock, and it is said which.
func TestLock(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	if pid, held := LockHolder(dir); pid != 0 || held {
		t.Errorf("no directory: held by %d, %v", pid, held)
	}
	first, err := TakeLock(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if pid, held := LockHolder(dir); pid != os.Getpid() || !held {
		t.Errorf("held by %d, %v", pid, held)
	}
	want := "another keepcast is running (pid " + strconv.Itoa(os.Getpid()) + "): it holds " + dir + "/lock"
	if _, err := TakeLock(t.Context(), dir); drivertest.ErrText(err) != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if info, err := os.Stat(dir + "/lock"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v: others could hold it", info.Mode(), err)
	}
	first.Release()
	if pid, held := LockHolder(dir); held {
		t.Errorf("held by %d after the end", pid)
	}
	taken(t, dir)
}

// What stands in the place of the lock is no lock, and hangs nobody.
func TestLockFails(t *testing.T) {
	dir := t.TempDir()
	drivertest.WriteFile(t, dir+"/file", "")
	for _, sub := range []string{"/link", "/dir/lock"} {
		if err := os.MkdirAll(dir+sub, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/etc/passwd", dir+"/link/lock"); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		dir + "/file": "lock: mkdir " + dir + "/file: not a directory",
		dir + "/link": "lock: open " + dir + "/link/lock: too many levels of symbolic links",
		dir + "/dir":  "lock: open " + dir + "/dir/lock: is a directory",
	} {
		if _, err := TakeLock(t.Context(), path); drivertest.ErrText(err) != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
		if _, held := LockHolder(path); held {
			t.Errorf("%s is held", path)
		}
	}
}

// A keepcast that root tried by hand left a lock that the unit, which runs as another user,
// could not open: the file belongs to whom the directory belongs to.
func TestLockOwner(t *testing.T) {
	drivertest.NeedsRoot(t, "to give a directory away")
	dir := t.TempDir()
	if err := os.Chown(dir, 4711, 4712); err != nil {
		t.Fatal(err)
	}
	taken(t, dir)
	info, err := os.Stat(dir + "/lock")
	if err != nil {
		t.Fatal(err)
	}
	if of := info.Sys().(*syscall.Stat_t); of.Uid != 4711 || of.Gid != 4712 {
		t.Errorf("the lock is of user %d and group %d", of.Uid, of.Gid)
	}
}

// keeps has a keeper look at a lock for as long as f runs.
func keeps(t *testing.T, l *Lock, f func(k *keeper)) string {
	t.Helper()
	var log drivertest.Buffer
	k := &keeper{lock: l, log: textLog(&log)}
	running := make(chan struct{})
	ctx, end := contextOf(t)
	go func() {
		defer close(running)
		k.keep(ctx)
	}()
	f(k)
	end()
	<-running
	return lines(log.String())
}

// "rm -rf /run/keepcast" let a second keepcast run from then on: the lock is taken anew.
func TestLockRemoved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	synctest.Test(t, func(t *testing.T) {
		l := taken(t, dir)
		old := l.file
		log := keeps(t, l, func(k *keeper) {
			time.Sleep(lookEvery + 1)
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			time.Sleep(lookEvery)
			if _, held := LockHolder(dir); !held || k.found() != nil {
				t.Errorf("held: %v, found %v", held, k.found())
			}
			if _, err := old.Stat(); !errors.Is(err, os.ErrClosed) {
				t.Errorf("the old file is not closed: %v", err)
			}
		})
		if want := "level=WARN msg=\"the lock was removed, and is taken anew\" file=" + dir + "/lock\n"; log != want {
			t.Errorf("got %s, want %s", log, want)
		}
	})
}

// Where another keepcast was quicker, an operator learns that two of them run, until only
// one does.
func TestLockLost(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := taken(t, dir)
		if err := os.Remove(dir + "/lock"); err != nil {
			t.Fatal(err)
		}
		other := taken(t, dir)
		log := keeps(t, l, func(k *keeper) {
			time.Sleep(5 * lookEvery)
			want := &driver.Finding{
				Name: "lock-lost", Level: driver.LevelError, Subject: dir,
				Text: dir + "/lock was removed, and can't be taken anew: another keepcast is running (pid " + strconv.Itoa(os.Getpid()) + "): it holds " + dir + "/lock",
				Fix:  "see that only one keepcast runs with this runtime_directory; then systemctl restart keepcast: a restart moves no route",
			}
			if d := cmp.Diff(want, k.found()); d != "" {
				t.Error(d)
			}
			other.Release()
			time.Sleep(2 * lookEvery)
			if got := k.found(); got != nil {
				t.Errorf("still found: %v", got)
			}
		})
		if got := strings.Count(log, "level=ERROR"); got != 1 {
			t.Errorf("%d errors are logged: %s", got, log)
		}
	})
}

// What a lock can't do is said with the reason, and leaves no file open.
func TestLockErrors(t *testing.T) {
	open := func(path string, flags int) *os.File {
		file, err := os.OpenFile(path, flags|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = file.Close() }) // it may be closed already
		return file
	}
	path := filepath.Join(t.TempDir(), "lock")
	closed := open(path, os.O_RDWR)
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	if err := (&Lock{path, closed}).there(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a closed file is there: %v", err)
	}
	for want, l := range map[string]*Lock{
		"lock " + path + ": bad file descriptor":         {path, closed},
		"lock: stat /nowhere: no such file or directory": {"/nowhere/lock", open(path, os.O_RDWR)},
		"lock: truncate " + path + "2: invalid argument": {path, open(path+"2", os.O_RDONLY)},
		"lock: write sealed: operation not permitted":    {path, sealed(t)},
	} {
		if got := drivertest.ErrText(l.take(t.Context())); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	if got := pidText(0) + pidText(-1) + pidText(1); got != " (pid 1)" {
		t.Errorf("got %q", got)
	}
}

// sealed is a file that can be cut off, but not written.
func sealed(t *testing.T) *os.File {
	t.Helper()
	fd, err := unix.MemfdCreate("sealed", unix.MFD_ALLOW_SEALING|unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "sealed")
	t.Cleanup(func() { _ = file.Close() })
	if _, err := unix.FcntlInt(file.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_WRITE); err != nil {
		t.Fatal(err)
	}
	return file
}

// Whoever looks who has the lock holds it for a moment: that is waited for. A lock that is
// refused leaves nothing open.
func TestLockWaits(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "lock")
	drivertest.WriteFile(t, path, "")
	looking, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(looking.Fd()), syscall.LOCK_SH); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(150*time.Millisecond, func() { _ = looking.Close() })
	taken(t, dir)
	if _, err := TakeLock(t.Context(), dir); err == nil {
		t.Error("two have it")
	}
	held := 0
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if to, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && to == path {
			held++
		}
	}
	if held != 1 {
		t.Errorf("%d files are open, want that of who has the lock", held)
	}
}

// The server keeps the lock.
func TestServerKeepsLock(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	synctest.Test(t, func(t *testing.T) {
		var log drivertest.Buffer
		stop, ended := serving(&Server{Engine: &fakeEngine{}, Socket: newPipes(), Lock: taken(t, dir), Log: textLog(&log)})
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * lookEvery)
		if _, held := LockHolder(dir); !held {
			t.Error("nobody holds the lock")
		}
		stop()
		<-ended
	})
}
