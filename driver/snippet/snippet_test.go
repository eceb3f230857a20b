package snippet

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/driver/drivertest"
)

func TestPlaceKeepsModeAndOwner(t *testing.T) {
	drivertest.NeedsRoot(t, "to give files away")
	dir := t.TempDir()
	if err := os.Chown(dir, 1234, 2345); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "keepcast.conf")
	owned := func(want string, mode fs.FileMode, uid, gid uint32) {
		t.Helper()
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		st := info.Sys().(*syscall.Stat_t)
		if got := drivertest.ReadFile(t, path); got != want || info.Mode() != mode || st.Uid != uid || st.Gid != gid {
			t.Errorf("%q %s %d:%d, want %q %s %d:%d", got, info.Mode(), st.Uid, st.Gid, want, mode, uid, gid)
		}
	}
	changed, restore, err := Write(path, []byte("one\n"), Private)
	if err != nil || !changed {
		t.Fatal(changed, err)
	}
	owned("one\n", 0o640, 1234, 2345)
	if err := restore(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a new file is still there after restore: %v", err)
	}

	drivertest.WriteFile(t, path, "one\n")
	if err := errors.Join(os.Chown(path, 11, 22), os.Chmod(path, 0o604)); err != nil {
		t.Fatal(err)
	}
	if changed, restore, err = Write(path, []byte("two\n"), Private); err != nil || !changed {
		t.Fatal(changed, err)
	}
	owned("two\n", 0o604, 11, 22)
	if err := restore(); err != nil {
		t.Fatal(err)
	}
	owned("one\n", 0o604, 11, 22)

	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if changed, restore, err = Write(path, []byte("one\n"), Private); err != nil || changed {
		t.Fatal(changed, err)
	}
	if err := restore(); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(path)
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("an unchanged file was written again (%v)", err)
	}
	onlyFile(t, dir)
}

// A keepcast that is not root can't keep the group of what root wrote, which
// matters only where the group is what lets the daemon read it.
func TestPlaceByAnotherUser(t *testing.T) {
	drivertest.NeedsRoot(t, "to become another user")
	dir := t.TempDir()
	if err := errors.Join(os.Chown(dir, 1234, 2345), os.Chmod(filepath.Dir(dir), 0o711)); err != nil {
		t.Fatal(err)
	}
	open, closed := filepath.Join(dir, "open.conf"), filepath.Join(dir, "closed.conf")
	for path, mode := range map[string]fs.FileMode{open: 0o644, closed: 0o664 &^ 0o004} {
		drivertest.WriteFile(t, path, "by root\n")
		if err := errors.Join(os.Chmod(path, mode), os.Chown(path, 1234, 0)); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan [2]error)
	go func() {
		runtime.LockOSThread() // and never unlocked: this thread ends as another user
		var errs [2]error
		for _, call := range [][4]uintptr{{syscall.SYS_SETGROUPS}, {syscall.SYS_SETRESGID, 2345, 2345, 2345}, {syscall.SYS_SETRESUID, 1234, 1234, 1234}} {
			if _, _, e := syscall.RawSyscall(call[0], call[1], call[2], call[3]); e != 0 {
				errs[0] = e
			}
		}
		for i, path := range []string{open, closed} {
			_, _, err := Write(path, []byte("by keepcast\n"), Public)
			errs[i] = errors.Join(errs[i], err)
		}
		done <- errs
	}()
	errs := <-done
	if errs[0] != nil {
		t.Errorf("a file that anybody may read: %v", errs[0])
	}
	if errs[1] == nil || !errors.Is(errs[1], fs.ErrPermission) || !strings.Contains(errs[1].Error(), closed+": keeping its group 0: ") {
		t.Errorf("a file for the group root: %v", errs[1])
	}
}

func TestPlaceDiskFull(t *testing.T) {
	drivertest.NeedsRoot(t, "to mount a small disk")
	dir := t.TempDir()
	if err := unix.Mount("keepcast-test", dir, "tmpfs", 0, "size=16k"); err != nil {
		drivertest.Missing(t, err.Error())
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	path := filepath.Join(dir, "keepcast.conf")
	drivertest.WriteFile(t, path, "old\n")
	_, _, err := Write(path, bytes.Repeat([]byte("x"), 1<<20), Private)
	if !errors.Is(err, unix.ENOSPC) {
		t.Errorf("got %v", err)
	}
	if got := drivertest.ReadFile(t, path); got != "old\n" {
		t.Errorf("the old file is lost: %q", got[:min(len(got), 20)])
	}
	onlyFile(t, dir)
}

func TestPlaceNoDirectory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none", "keepcast.conf")
	_, _, err := Write(path, nil, Private)
	if !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), "directory of the snippet: ") {
		t.Errorf("got %v", err)
	}
}

// onlyFile checks that no temporary file is left.
func onlyFile(t *testing.T, dir string) {
	t.Helper()
	names, err := os.ReadDir(dir)
	if err != nil || len(names) != 1 {
		t.Errorf("left in the directory: %v (%v)", names, err)
	}
}

// A named pipe in place of the snippet is an error. Whoever read it waited for a writer,
// and the driver hung for ever.
func TestWriteOverNamedPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "snippet")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err := Write(path, []byte("x"), Public)
	if want := "reading the old snippet: " + path + " is no regular file"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// A keepcast without descriptors was said to need write permission, on a directory where it
// had that.
func TestHint(t *testing.T) {
	for err, want := range map[error]string{
		syscall.EACCES: " (keepcast needs write permission on /d)",
		syscall.EPERM:  " (keepcast needs write permission on /d)",
		syscall.EROFS:  " (if the sandbox of its unit makes it so, that needs ReadWritePaths=/d)",
		syscall.EMFILE: "",
		syscall.ENOSPC: "",
		syscall.ENOENT: "",
	} {
		if got := hint(&fs.PathError{Op: "open", Path: "/d/.x", Err: err}, "/d"); got != want {
			t.Errorf("%v: got %q, want %q", err, got, want)
		}
	}
}
