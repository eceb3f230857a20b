package driver

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestPlaceKeepsModeAndOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to give files away")
	}
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
		if got := read(t, path); got != want || info.Mode() != mode || st.Uid != uid || st.Gid != gid {
			t.Errorf("%q %s %d:%d, want %q %s %d:%d", got, info.Mode(), st.Uid, st.Gid, want, mode, uid, gid)
		}
	}
	changed, restore, err := place(path, []byte("one\n"), closedMode)
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

	write(t, path, "one\n")
	if err := errors.Join(os.Chown(path, 11, 22), os.Chmod(path, 0o604)); err != nil {
		t.Fatal(err)
	}
	if changed, restore, err = place(path, []byte("two\n"), closedMode); err != nil || !changed {
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
	if changed, restore, err = place(path, []byte("one\n"), closedMode); err != nil || changed {
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

func TestPlaceDiskFull(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount a small disk")
	}
	dir := t.TempDir()
	if err := unix.Mount("keepcast-test", dir, "tmpfs", 0, "size=16k"); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	path := filepath.Join(dir, "keepcast.conf")
	write(t, path, "old\n")
	_, _, err := place(path, bytes.Repeat([]byte("x"), 1<<20), closedMode)
	if !errors.Is(err, unix.ENOSPC) {
		t.Errorf("got %v", err)
	}
	if got := read(t, path); got != "old\n" {
		t.Errorf("the old file is lost: %q", got[:min(len(got), 20)])
	}
	onlyFile(t, dir)
}

func TestPlaceNoDirectory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none", "keepcast.conf")
	_, _, err := place(path, nil, closedMode)
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
