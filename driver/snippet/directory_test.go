package snippet

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// Somebody removed the directory of what keepcast saves, and nothing was saved any more
// until a restart. It is made again as it was, by whatever way it is named.
func TestRestoreDirectory(t *testing.T) {
	drivertest.NeedsRoot(t, "to give a directory away")
	top := t.TempDir()
	dir, link := filepath.Join(top, "a", "state"), filepath.Join(top, "link")
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.Chown(dir, 1234, 2345), os.Chmod(dir, 0o770|fs.ModeSetgid), os.Symlink(dir, link)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{dir, link} {
		var d Directory
		d.Note(name)
		if err := os.RemoveAll(filepath.Join(top, "a")); err != nil {
			t.Fatal(err)
		}
		d.Note(name) // there is nothing to be noted
		for range 2 {
			if err := d.Restore(); err != nil {
				t.Fatal(err)
			}
		}
		info, err := os.Stat(dir)
		if err != nil {
			t.Fatal(err)
		}
		st := info.Sys().(*syscall.Stat_t)
		if want := fs.ModeDir | fs.ModeSetgid | 0o770; info.Mode() != want || st.Uid != 1234 || st.Gid != 2345 {
			t.Errorf("%s: %s %d:%d, want %s 1234:2345", name, info.Mode(), st.Uid, st.Gid, want)
		}
		onlyFile(t, filepath.Dir(dir))
	}
}

// What is there, or never was, is left alone.
func TestRestoreNothing(t *testing.T) {
	top := t.TempDir()
	var d Directory
	d.Note(filepath.Join(top, "none"))
	if err := d.Restore(); err != nil {
		t.Error(err)
	}
	dir := filepath.Join(top, "dir")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	d.Note(dir)
	if err := errors.Join(os.Chmod(dir, 0o750), d.Restore()); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o750 {
		t.Errorf("another mode than the operator gave it: %v, %v", info.Mode(), err)
	}
	onlyFile(t, top)
}

// A disk that was full was in the log as a new error at each try, since the error had the
// random name of the temporary file in it.
func TestErrorsAreTheSameAgain(t *testing.T) {
	drivertest.NeedsRoot(t, "to mount file systems")
	mounted := func(t *testing.T, options string) string {
		t.Helper()
		dir := t.TempDir()
		if err := unix.Mount("keepcast-test", dir, "tmpfs", 0, options); err != nil {
			drivertest.Missing(t, err.Error())
		}
		t.Cleanup(func() {
			if err := unix.Unmount(dir, 0); err != nil {
				t.Error(err)
			}
		})
		return dir
	}
	small, few, fixed := mounted(t, "size=16k"), mounted(t, "nr_inodes=1"), mounted(t, "")
	var removed Directory
	removed.path = filepath.Join(fixed, "state")
	if err := unix.Mount("", fixed, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	content := make([]byte, 1<<20)
	for want, try := range map[string]func() error{
		small + "/f: write: no space left on device":                          func() error { return Replace(small+"/f", content) },
		few + "/f: a temporary file beside it: open: no space left on device": func() error { return Replace(few+"/f", content) },
		removed.path + " was removed, and can't be made again: mkdir: read-only file system (systemctl restart keepcast makes it, and moves no route)": removed.Restore,
	} {
		if got := drivertest.ErrText(try()); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	moved := errors.Unwrap(nameless(&os.LinkError{Op: "rename", Old: "/d/.f1", New: "/d/f", Err: syscall.EBUSY}))
	if !errors.Is(moved, syscall.EBUSY) {
		t.Errorf("of a rename: %v", moved)
	}
}
