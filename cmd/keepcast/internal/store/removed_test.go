package store

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// The directory of what is saved was removed, and nothing was saved until a restart; a
// removed copy was missing until the next change, so that one bad block lost the drains. All
// of it is there again at the next look, and the directory as it was.
func TestSaverRestores(t *testing.T) {
	drivertest.NeedsRoot(t, "to give a directory away")
	dir := filepath.Join(t.TempDir(), "state")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o751), os.Chown(dir, 1234, 2345)); err != nil {
		t.Fatal(err)
	}
	d := again(filepath.Join(dir, "x.json"))
	synctest.Test(t, func(t *testing.T) {
		var told []error
		s := NewSaver(d.Save, func(err error) { told = append(told, err) })
		s.Path = d.Path
		stop := saving(t, s)
		s.Put(names{[]string{"dns"}})
		synctest.Wait()
		for _, remove := range []string{CopyOf(d.Path), d.Path, dir} {
			if err := os.RemoveAll(remove); err != nil {
				t.Fatal(err)
			}
			time.Sleep(lookEvery)
			synctest.Wait()
			drivertest.Same(t, "files after "+remove+" was removed", []string{"x.json", "x.json.copy"}, files(t, d.Path))
		}
		stop()
		if len(told) > 0 {
			t.Errorf("told is %v", told)
		}
	})
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if st := info.Sys().(*syscall.Stat_t); info.Mode() != fs.ModeDir|0o751 || st.Uid != 1234 || st.Gid != 2345 {
		t.Errorf("the directory is %s %d:%d", info.Mode(), st.Uid, st.Gid)
	}
}

// A file that has no copy is not written again and again for want of one.
func TestSaverWithoutCopy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.yaml")
	runningAt(t, path, func(t *testing.T, d *disk, s *Saver[int], _ func()) {
		drivertest.WriteFile(t, path, "")
		s.Put(1)
		time.Sleep(10 * lookEvery)
		d.want(t, 1)
	})
}

// Each try to write on a disk that was full or read-only was logged as a new error, for ever.
func TestSaverTellsOnce(t *testing.T) {
	drivertest.NeedsRoot(t, "to mount a file system")
	dir := t.TempDir()
	if err := unix.Mount("keepcast-test", dir, "tmpfs", 0, ""); err != nil {
		drivertest.Missing(t, err.Error())
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	d := again(filepath.Join(dir, "x.json"))
	synctest.Test(t, func(t *testing.T) {
		var told []string
		s := NewSaver(d.Save, func(err error) { told = append(told, drivertest.ErrText(err)) })
		s.Path = d.Path
		stop := saving(t, s)
		s.Put(names{[]string{"dns"}})
		synctest.Wait()
		if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			t.Fatal(err)
		}
		s.Put(names{[]string{"web"}})
		time.Sleep(time.Hour)
		stop()
		drivertest.Same(t, "told", []string{
			d.Path + ": a temporary file beside it: open: read-only file system (if the sandbox of its unit makes it so, that needs ReadWritePaths=" + dir + ")",
		}, told)
	})
}

// saving runs a Saver in a bubble until stop is called.
func saving[T any](t *testing.T, s *Saver[T]) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.Run(ctx)
	}()
	return func() {
		cancel()
		<-ended
	}
}
