// Package snippet writes the files of drivers in place, and tells who may read them.
package snippet

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/google/renameio/v2"

	"github.com/keepcast/keepcast/driver/trust"
)

// The modes of files that are new. A snippet holds nothing secret, and is for a
// daemon that runs as some other user; what else is written may be secret.
const (
	Public  fs.FileMode = 0o644
	Private fs.FileMode = 0o640
)

// Write puts content into the file path so that a reader, or a crash, sees
// either the old file or the new one: same directory, fsync, rename. Mode and
// owner of an existing file are kept; a new one has the mode fresh and gets the
// group of its directory. It returns whether the file changed, and a function
// that puts the old content back.
func Write(path string, content []byte, fresh fs.FileMode) (changed bool, restore func() error, err error) {
	old, err := trust.ReadAnyFile(path)
	isNew := errors.Is(err, fs.ErrNotExist)
	if err != nil && !isNew {
		return false, nil, fmt.Errorf("reading the old snippet: %w", err)
	}
	if !isNew && bytes.Equal(old, content) {
		return false, func() error { return nil }, nil
	}
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return false, nil, fmt.Errorf("directory of the snippet: %w", err)
	}
	if err := replace(path, content, fresh); err != nil {
		return false, nil, err
	}
	restore = func() error { return replace(path, old, fresh) }
	if isNew {
		restore = func() error { return os.Remove(path) }
	}
	return true, restore, nil
}

// Replace writes the file path by way of a temporary file beside it, as Write does, and
// returns once that lasts through a power cut. A new one is 0640.
func Replace(path string, content []byte) error { return replace(path, content, Private) }

func replace(path string, content []byte, fresh fs.FileMode) error {
	dir := filepath.Dir(path)
	mode, uid, gid, err := ownership(path, dir, fresh)
	if err != nil {
		return err
	}
	f, err := renameio.NewPendingFile(path, renameio.WithTempDir(dir), renameio.WithStaticPermissions(mode))
	if err != nil {
		return fmt.Errorf("%s: a temporary file beside it: %w%s", path, nameless(err), hint(err, dir))
	}
	defer f.Cleanup() //nolint:errcheck // the error that matters is the one returned below
	if _, err := f.Write(content); err != nil {
		return fmt.Errorf("%s: %w", path, nameless(err))
	}
	// A file that anybody may read needs no group.
	if err := give(f.File, uid, gid); err != nil && mode&0o004 == 0 {
		return fmt.Errorf("%s: keeping its group %d: %w", path, gid, nameless(err))
	}
	if err := f.CloseAtomicallyReplace(); err != nil {
		return fmt.Errorf("%s: %w", path, nameless(err))
	}
	return syncDir(dir)
}

// hint is what to do about an error of making a file in a directory; empty where the error
// says it all, such as that of a full disk.
func hint(err error, dir string) string {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf(" (keepcast needs write permission on %s)", dir)
	case errors.Is(err, syscall.EROFS):
		return fmt.Sprintf(" (if the sandbox of its unit makes it so, that needs ReadWritePaths=%s)", dir)
	}
	return ""
}

// give gives a file away, if it is not there already: a sandbox may forbid even
// a change that changes nothing. Without the right to it the group alone is
// tried: it is what lets the daemon read the file.
func give(f *os.File, uid, gid int) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if ok && int(st.Gid) == gid && (int(st.Uid) == uid || os.Geteuid() != 0) {
		return nil
	}
	if err := f.Chown(uid, gid); err != nil {
		return f.Chown(-1, gid)
	}
	return nil
}

// ownership returns what the file path has, or what a new one in dir gets.
func ownership(path, dir string, fresh fs.FileMode) (mode fs.FileMode, uid, gid int, err error) {
	mode = fresh
	info, err := os.Stat(path)
	switch {
	case err == nil:
		mode = info.Mode().Perm()
	case errors.Is(err, fs.ErrNotExist):
		if info, err = os.Stat(dir); err != nil {
			return 0, 0, 0, err // it names the directory
		}
	default:
		return 0, 0, 0, fmt.Errorf("%s: %w", path, err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, 0, fmt.Errorf("%s: no owner to be read", path)
	}
	return mode, int(st.Uid), int(st.Gid), nil
}

// syncDir makes a rename in dir last through a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("syncing directory: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("syncing directory %s: %w", dir, err)
	}
	return nil
}
