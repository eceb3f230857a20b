// Package trust tells who could have written a file, before keepcast does what it says:
// with root's rights or those to change addresses, keepcast acts for whoever wrote it. It
// also tells who is at the other end of a socket.
//
// A file is trusted if root, the user that runs keepcast, or the user keepcast of the
// packages owns it, and nobody else may write it. The same holds for each directory above
// it, up to the root: whoever may write one may replace what is in it. In a directory with
// the sticky bit, such as /tmp, nobody may, but for the owner of the entry. That a file
// system is mounted read-only counts for nothing: in the sandbox of a unit it is, and
// outside it others write.
package trust

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/keepcast/keepcast/driver/pace"
)

// Violation is one reason not to do what a file says.
type Violation struct {
	Path string // the file, or the directory above it
	Text string // why, and what to do about it
}

// Error returns both.
func (v Violation) Error() string { return v.Path + ": " + v.Text }

// Violations are all the reasons.
type Violations []Violation

// Error returns one line for each.
func (v Violations) Error() string {
	var errs []error
	for _, each := range v {
		errs = append(errs, each)
	}
	return errors.Join(errs...).Error()
}

// ReadFile reads a file that is trusted. It looks at what it has opened, so nobody can
// exchange the file meanwhile. The error is Violations where it is not trusted; the text
// is then for finding what else is wrong with it, not for doing what it says.
func ReadFile(path string) ([]byte, error) {
	return pace.Answer(pace.Patience, func() ([]byte, error) { return readFile(path) })
}

func readFile(path string) ([]byte, error) {
	f, info, err := open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	found := judge(path, info, false)
	dir, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if err != nil {
		return nil, fmt.Errorf("%s: directory of what was opened: %w", path, err)
	}
	text, err := io.ReadAll(f)
	if found = append(found, above(dir)...); len(found) > 0 && err == nil {
		err = found
	}
	return text, err
}

// ReadAnyFile reads a file whoever wrote it. It waits for nothing, as the reader of a named
// pipe does.
func ReadAnyFile(path string) ([]byte, error) {
	return pace.Answer(pace.Patience, func() ([]byte, error) {
		f, _, err := open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return io.ReadAll(f)
	})
}

// open opens a regular file.
func open(path string) (*os.File, fs.FileInfo, error) {
	// Without O_NONBLOCK a named pipe would be waited for.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() && !info.IsDir() { // a directory can't be read, which the error says
		err = fmt.Errorf("%s is no regular file", path)
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, info, nil
}

// Directory says why a directory is not trusted; nil where there is none.
func Directory(path string) error {
	return pace.Done(pace.Patience, func() error { return directory(path) })
}

func directory(path string) error {
	path, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return err
	}
	if found := above(filepath.Join(path, "entry")); len(found) > 0 {
		return found
	}
	return nil
}

// Program says why a program is not trusted. It does not look at the directories above
// it: those of PATH belong to the system, and some give a group of administrators the
// right to write there.
func Program(path string) error {
	return pace.Done(pace.Patience, func() error { return program(path) })
}

func program(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if found := judge(path, info, false); len(found) > 0 {
		return found
	}
	return nil
}

// above judges every directory above a path that is absolute and has no links.
func above(path string) (found Violations) {
	for path != "/" {
		path = filepath.Dir(path)
		info, err := os.Stat(path)
		if err != nil {
			return append(found, Violation{path, fmt.Sprintf("can't be looked at: %v", errors.Unwrap(err))})
		}
		found = append(found, judge(path, info, true)...)
	}
	return found
}

// judge judges one file or directory.
func judge(path string, info fs.FileInfo, dir bool) (found Violations) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return Violations{{path, "no owner to be read"}}
	}
	if !trustedOwner(int(st.Uid)) {
		found = append(found, Violation{path, fmt.Sprintf("user %s owns it, and keepcast would do what that user says: chown root %s", nameOf(st.Uid), path)})
	}
	mode := info.Mode()
	who, fix := "", ""
	switch {
	case dir && mode&fs.ModeSticky != 0:
	case mode&0o002 != 0:
		who, fix = "anybody", "go-w"
	case mode&0o020 != 0 && !trustedGroup(int(st.Gid)):
		who, fix = fmt.Sprintf("its group %d", st.Gid), "g-w"
	}
	if who != "" {
		found = append(found, Violation{path, fmt.Sprintf("%s may write it (mode %04o), and keepcast would do what they say: chmod %s %s", who, mode.Perm(), fix, path)})
	}
	return found
}

// packaged is the user that the unit of the packages runs keepcast as.
const packaged = "keepcast"

// trustedOwner reports whether a user may say what keepcast does. The packages' user is
// looked up only for a file that is neither root's nor our own: that asks other files.
func trustedOwner(uid int) bool {
	if uid == 0 || uid == os.Geteuid() {
		return true
	}
	u, err := user.Lookup(packaged)
	return err == nil && u.Uid == strconv.Itoa(uid)
}

// firstPerson is the first user id that is a person's, not a service's (login.defs(5)).
const firstPerson = 1000

// trustedGroup reports whether what a group may write is written by who may anyway: root's,
// and the group that many systems make for one person alone.
func trustedGroup(gid int) bool {
	uid := os.Geteuid()
	return gid == 0 || uid >= firstPerson && gid == uid && gid == os.Getegid()
}

func nameOf(uid uint32) string {
	id := strconv.Itoa(int(uid))
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return id
}
