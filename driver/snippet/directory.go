package snippet

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Directory is a directory that files are written in. If somebody removes it, it is made
// again with the mode and the owner that it had.
type Directory struct {
	path  string // where it is, without links; empty: it was never there
	mode  fs.FileMode
	owner syscall.Stat_t
}

// modeBits are those of a directory's mode that chmod sets.
const modeBits = fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky

// Note notes how the directory path is now. Where there is none, what was noted stays.
func (d *Directory) Note(path string) {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return
	}
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		*d = Directory{path: path, mode: info.Mode() & modeBits, owner: *st}
	}
}

// Restore makes the directory again, if it is missing. It is in its place only once it has
// its mode and owner: what is written there takes after it.
func (d *Directory) Restore() error {
	if d.path == "" {
		return nil
	}
	if _, err := os.Lstat(d.path); !errors.Is(err, fs.ErrNotExist) {
		return nil // whatever else is wrong, who writes there is told
	}
	if err := d.make(); err != nil {
		return fmt.Errorf("%s was removed, and can't be made again: %w (systemctl restart keepcast makes it, and moves no route)", d.path, nameless(err))
	}
	return nil
}

func (d *Directory) make() error {
	parent := filepath.Dir(d.path)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(parent, "."+filepath.Base(d.path))
	if err != nil {
		return err
	}
	defer os.Remove(temp) //nolint:errcheck // it is gone, or what matters is the error returned
	f, err := os.Open(temp)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := give(f, int(d.owner.Uid), int(d.owner.Gid)); err != nil {
		return err
	}
	if err := f.Chmod(d.mode); err != nil {
		return err
	}
	if err := os.Rename(temp, d.path); err != nil && !errors.Is(err, fs.ErrExist) { // somebody was faster
		return err
	}
	return syncDir(parent)
}

// nameless takes the name off an error: that of a temporary file is another one at each
// try, so that the same error would look new each time.
func nameless(err error) error {
	if of, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("%s: %w", of.Op, of.Err)
	}
	if of, ok := errors.AsType[*os.LinkError](err); ok {
		return fmt.Errorf("%s: %w", of.Op, of.Err)
	}
	return err
}
