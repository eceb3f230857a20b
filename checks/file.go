package checks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/driver/pace"
)

func init() {
	register(Kind{
		Name: "file",
		Doc: "Looks at a file of this host: whether it is there or not, how old it is, what is in it. A change is noticed at once, " +
			"whatever the interval, as long as its directory is there; that another directory has taken its place, as by a symbolic link, within some 10 s. A file that grows too old, and the end of a symbolic link that leads into another directory, " +
			"are noticed when the check runs next. In the unit's sandbox `/tmp`, `/home` and `/root` are not those of the host.",
		Example: "path: /run/maintenance\nstate: absent\n",
		New:     func() Checker { return new(File) },
		AtOnce:  "the file appears, goes or is written",
		Counted: true,
	})
}

// File is fit when a file is as it should be.
type File struct {
	Path        string         `config:"path" required:"true" doc:"Absolute path of the file. A symbolic link stands for what it leads to. A directory, a FIFO or a socket will do, too, but without 'content'."`
	State       string         `config:"state" default:"exists" enum:"exists|absent" doc:"Whether the file has to exist, or must not."`
	YoungerThan time.Duration  `config:"younger_than" default:"0s" min:"0s" doc:"The file has to have been changed within that time, as by its modification time. 0: it may be of any age."`
	Content     *regexp.Regexp `config:"content" doc:"What has to be found in the first 64 KiB of the file."`

	looks, watches fileCalls
}

// fileLimit is how much of a file is read.
const fileLimit = 64 << 10

// Validate implements Validator.
func (f *File) Validate() error {
	switch absent := f.State == "absent"; {
	case !filepath.IsAbs(f.Path):
		return fmt.Errorf("path: %q is not absolute", f.Path)
	case strings.Contains(f.Path, "\x00"):
		return fmt.Errorf("path: %q has a NUL, which no path can have", f.Path)
	case absent && f.YoungerThan != 0:
		return errors.New("younger_than: a file that is to be absent has no age")
	case absent && f.Content != nil:
		return errors.New("content: a file that is to be absent has no content")
	}
	return nil
}

// Check implements Checker.
func (f *File) Check(ctx context.Context) error {
	sight(ctx).waits("the file system of %s", f.Path)
	var found foundFile
	var err error
	if hangs := f.looks.do(ctx, func() { found, err = f.look() }); hangs != nil {
		return fmt.Errorf("%s: %w", f.Path, hangs)
	}
	if found.info != nil {
		sight(ctx).saw("file", "%s, %d bytes, changed on %s", sortOf(found.info.Mode()), found.info.Size(), onDate(found.info))
	}
	if err != nil {
		return err
	}
	return f.judge(found, time.Now())
}

// foundFile is what a look at a file brings.
type foundFile struct {
	info    fs.FileInfo // nil: there is none
	content []byte
}

// look looks at the file, for as long as the file system takes.
func (f *File) look() (foundFile, error) {
	info, err := os.Stat(f.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return foundFile{}, nil
	case err != nil:
		return foundFile{}, err
	case f.Content == nil || !info.Mode().IsRegular():
		return foundFile{info: info}, nil
	}
	content, err := readRegular(f.Path)
	return foundFile{info: info, content: content}, err
}

// readRegular reads the start of a file, unless it has become another sort of file meanwhile.
func readRegular(path string) ([]byte, error) {
	file, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, fileLimit))
}

func noContent(path string, info fs.FileInfo) error {
	return fmt.Errorf("%s is a %s, which has no content to look at", path, sortOf(info.Mode()))
}

// judge says why what was found is not as it should be.
func (f *File) judge(found foundFile, now time.Time) error {
	info := found.info
	switch {
	case f.State == "absent" && info == nil:
		return nil
	case f.State == "absent":
		return fmt.Errorf("%s exists, expected none", f.Path)
	case info == nil:
		return fmt.Errorf("%s does not exist", f.Path)
	}
	if age := now.Sub(info.ModTime()); f.YoungerThan != 0 {
		switch {
		case age > f.YoungerThan:
			return fmt.Errorf("%s was last changed on %s, more than %s ago", f.Path, onDate(info), f.YoungerThan)
		case age < -f.YoungerThan: // else it would be young for ever
			return fmt.Errorf("%s was changed in the future, on %s: is the clock right?", f.Path, onDate(info))
		}
	}
	switch {
	case f.Content == nil || f.Content.Match(found.content) && info.Mode().IsRegular():
		return nil
	case !info.Mode().IsRegular():
		return noContent(f.Path, info)
	case len(found.content) == fileLimit:
		return fmt.Errorf("%s has no match of %q in its first %d KiB", f.Path, f.Content, fileLimit>>10)
	}
	return fmt.Errorf("%s has no match of %q", f.Path, f.Content)
}

func onDate(info fs.FileInfo) string { return info.ModTime().UTC().Format(time.RFC3339) }

// sortOf says what sort of file it is.
func sortOf(mode fs.FileMode) string {
	switch mode.Type() {
	case 0:
		return "file"
	case fs.ModeDir:
		return "directory"
	case fs.ModeNamedPipe:
		return "FIFO"
	case fs.ModeSocket:
		return "socket"
	}
	return "device"
}

// Watch implements Watcher. It watches the directory, for the file may be made anew, and ends
// when that is gone.
func (f *File) Watch(ctx context.Context, changed func()) error {
	path := filepath.Clean(f.Path)
	dir := filepath.Dir(path)
	notices, watched, err := f.watchDir(ctx, dir)
	if ctx.Err() != nil && err != nil {
		return nil
	}
	if err != nil {
		return fmt.Errorf("watching %s: %w", dir, err)
	}
	defer notices.Close()
	still := func() bool { return f.isStill(ctx, dir, watched) }
	if err := followFile(ctx, notices, path, still, changed); err != nil {
		return fmt.Errorf("watching %s: %w", dir, err)
	}
	return nil
}

// watchDir starts to watch a directory, and returns which one that is. While an earlier attempt
// hangs, there is no other.
func (f *File) watchDir(ctx context.Context, dir string) (*fsnotify.Watcher, fs.FileInfo, error) {
	soon, cancel := context.WithTimeout(ctx, pace.Patience)
	defer cancel()
	var notices *fsnotify.Watcher
	var watched fs.FileInfo
	var err error
	var handed atomic.Bool // by the first of both: the one who watches, or the one who has left
	hangs := f.watches.do(soon, func() {
		if notices, err = fsnotify.NewWatcher(); err != nil {
			return
		}
		if watched, err = os.Stat(dir); err == nil {
			err = notices.Add(dir)
		}
		if err != nil || handed.Swap(true) {
			_ = notices.Close() // nothing to be done about it
		}
	})
	if hangs != nil && !handed.Swap(true) {
		return nil, nil, hangs
	}
	return notices, watched, err
}

// isStill reports whether a path leads to the directory that is watched. A deployment has
// a symbolic link lead to another one, of which the watch would tell nothing.
func (f *File) isStill(ctx context.Context, dir string, watched fs.FileInfo) bool {
	soon, cancel := context.WithTimeout(ctx, pace.Patience)
	defer cancel()
	var now fs.FileInfo
	var err error
	if hangs := f.watches.do(soon, func() { now, err = os.Stat(dir) }); hangs != nil {
		return true // the run says so
	}
	return err == nil && os.SameFile(watched, now)
}

const (
	fileDelay = 100 * time.Millisecond // how long changes are gathered after the first was told
	dirLook   = 10 * time.Second       // how often a watch is looked after: an unmount ends it without a word
)

// followFile calls changed for notices of the file, until ctx is done or the watch has ended.
// A file that is written all the time does not keep the check busy.
func followFile(ctx context.Context, notices *fsnotify.Watcher, path string, still func() bool, changed func()) error {
	changed() // before the watch something may have been missed
	look := time.NewTicker(dirLook)
	defer look.Stop()
	var quiet <-chan time.Time // until then changes are gathered
	more := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
			if !still() {
				changed()
				return errors.New("the directory is another one now")
			}
		case <-quiet:
			quiet = nil
		case notice := <-notices.Events:
			more = more || notice.Name == path
		case err := <-notices.Errors:
			changed()
			return err
		}
		if len(notices.WatchList()) == 0 {
			changed()
			return errors.New("the directory is gone")
		}
		if more && quiet == nil {
			changed()
			more, quiet = false, time.After(fileDelay)
		}
	}
}

// fileCalls makes calls that a file system may hold for ever: one at a time, so that no more
// than one is held.
type fileCalls struct {
	mu    sync.Mutex
	held  chan struct{} // is closed when the call that was left has ended; nil: there is none
	began time.Time     // when that call did
}

// do makes a call and waits for it until ctx is done. Then it returns an error, and the call is
// left alone: nothing ends it. What it writes may be read only if there is no error.
func (c *fileCalls) do(ctx context.Context, call func()) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held != nil {
		select {
		case <-c.held:
		default:
			return health.Aftermath(errors.New("the file system hangs: an earlier look at it has not ended"), c.began)
		}
	}
	began, done := time.Now(), make(chan struct{})
	go func() {
		defer close(done)
		call()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		c.held, c.began = done, began
		return fmt.Errorf("the file system does not answer: %w", explain(ctx, ctx.Err()))
	}
}
