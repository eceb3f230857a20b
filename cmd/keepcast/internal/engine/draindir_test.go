package engine

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/reconcile"
	"github.com/keepcast/keepcast/driver/drivertest"
)

func TestDrainDirectory(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "dns"), []byte("CHG-2\nmore"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := readDrainDir(dir)
	if err != nil || len(got.drains) != 1 || got.drains["dns"].Reason != "CHG-2" {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := readDrainDir(filepath.Join(dir, "missing")); err != nil || len(got.drains) != 0 {
		t.Errorf("a missing directory orders nothing: %v, %v", got, err)
	}
	if got, err := readDrainDir(""); err != nil || len(got.drains) != 0 {
		t.Errorf("no directory orders nothing: %v, %v", got, err)
	}
	if _, err := readDrainDir(filepath.Join(dir, "dns")); err == nil || !strings.HasPrefix(err.Error(), "drain directory: ") {
		t.Errorf("a file is no directory: %v", err)
	}
}

// A file drains whatever is in it, since its time; its first line is the reason.
func TestDrainDirectoryFiles(t *testing.T) {
	dir := t.TempDir()
	since := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	want := map[string]api.Drain{}
	for name, file := range map[string]struct{ text, reason string }{
		"empty":    {"", ""},
		"lines":    {" rack move \nmore\n", "rack move"},
		"long":     {strings.Repeat("x", 300), strings.Repeat("x", 200)},
		"cut":      {strings.Repeat("x", 199) + "é", strings.Repeat("x", 199) + "?"},
		"nonsense": {"a\xffb", "a?b"},
	} {
		path := filepath.Join(dir, name)
		drivertest.WriteFile(t, path, file.text)
		if err := os.Chtimes(path, since, since); err != nil {
			t.Fatal(err)
		}
		want[name] = api.Drain{Service: name, File: path, Reason: file.reason, Since: since}
	}
	dangling := filepath.Join(dir, "dangling")
	drivertest.WriteFile(t, filepath.Join(dir, ".hidden"), "")
	for _, err := range []error{os.Mkdir(filepath.Join(dir, "directory"), 0o700), os.Symlink("/nowhere", dangling)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Lstat(dangling)
	if err != nil {
		t.Fatal(err)
	}
	want["dangling"] = api.Drain{Service: "dangling", File: dangling, Since: info.ModTime()}
	got, err := readDrainDir(dir)
	if diff := cmp.Diff(want, got.drains); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	if open := openFiles(t, dir); open > 0 {
		t.Errorf("%d files are left open", open)
	}
}

// A named pipe in drain.d kept keepcast from starting, from hearing of other drains, and
// from ending. What is neither file nor link drains nothing, and that is said.
func TestDrainDirectoryWithoutFiles(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(t.TempDir(), "secret")
	drivertest.WriteFile(t, secret, "root:$6$")
	socket, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "socket")})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	if err := errors.Join(
		syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600), os.Mkdir(filepath.Join(dir, "dir"), 0o700),
		os.Symlink(secret, filepath.Join(dir, "link")), os.Symlink("/dev/zero", filepath.Join(dir, "zero")),
	); err != nil {
		t.Fatal(err)
	}
	got, err := readDrainDir(dir)
	reasons := map[string]string{}
	for name, d := range got.drains {
		reasons[name] = d.Reason
	}
	// A link drains, but what it leads to is not shown: others may not read it.
	if diff := cmp.Diff(map[string]string{"link": "", "zero": ""}, reasons); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	want := map[string]string{"pipe": "it is a named pipe, not a file", "dir": "it is a directory, not a file", "socket": "it is a socket, not a file"}
	if diff := cmp.Diff(want, got.odd); diff != "" {
		t.Error(diff)
	}
}

// A directory with no end of files takes no end of memory.
func TestDrainDirectoryIsFull(t *testing.T) {
	dir := t.TempDir()
	for i := range drainLimit {
		drivertest.WriteFile(t, filepath.Join(dir, strconv.Itoa(i)), "")
	}
	if _, err := readDrainDir(dir); drivertest.ErrText(err) != "drain directory: "+dir+": 10000 files or more" {
		t.Errorf("got %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "0")); err != nil {
		t.Fatal(err)
	}
	if got, err := readDrainDir(dir); err != nil || len(got.drains) != drainLimit-1 {
		t.Errorf("%d drains, %v", len(got.drains), err)
	}
}

// The time of a file that lies ahead is not shown as the time since when it drains.
func TestDrainFileOfTomorrow(t *testing.T) {
	dir := t.TempDir()
	drivertest.WriteFile(t, filepath.Join(dir, "dns"), "")
	tomorrow := time.Now().Add(24 * time.Hour)
	if err := os.Chtimes(filepath.Join(dir, "dns"), tomorrow, tomorrow); err != nil {
		t.Fatal(err)
	}
	if got, err := readDrainDir(dir); err != nil || got.drains["dns"].Since.After(time.Now()) {
		t.Errorf("got %v, %v", got.drains, err)
	}
}

// openFiles counts the open files of this process whose name begins so.
func openFiles(t *testing.T, name string) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range entries {
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err == nil && strings.HasPrefix(target, name) { // that of the directory is closed by now
			n++
		}
	}
	return n
}

// TestDrainDirectoryIsWatched adds and removes a file, and the directory itself.
func TestDrainDirectoryIsWatched(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "dns")
	ctx, stop := context.WithCancel(context.Background())
	told, ended := make(chan map[string]api.Drain), make(chan struct{})
	go func() {
		defer close(ended)
		watchDrainDir(ctx, dir, fsnotify.NewWatcher, func(found drainDir, err error) {
			if err != nil {
				t.Error(err)
			}
			select {
			case told <- found.drains:
			case <-ctx.Done():
			}
		})
	}()
	await := func(drained bool) {
		t.Helper()
		deadline := time.After(10 * time.Second)
		for {
			select {
			case files := <-told:
				if _, is := files["dns"]; is == drained {
					return
				}
			case <-deadline:
				t.Fatalf("not told that drained is %v", drained)
			}
		}
	}
	await(false)
	for _, step := range []func() error{
		func() error { return os.WriteFile(path, nil, 0o600) },
		func() error { return os.Remove(path) },
		func() error { return os.WriteFile(path, nil, 0o600) },
		func() error { return os.RemoveAll(dir) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
		_, err := os.Stat(path)
		await(err == nil)
	}
	stop()
	<-ended
	if n := openFiles(t, "anon_inode:inotify"); n > 0 {
		t.Errorf("%d watches are left", n)
	}
}

// What is followed is read again at each notice, fault and round. A watch that
// has lost its directory ends at the next round.
func TestDrainDirectoryIsFollowed(t *testing.T) {
	notices, err := fsnotify.NewWatcher()
	if err != nil {
		t.Fatal(err)
	}
	defer notices.Close()
	dir := t.TempDir()
	if err := notices.Add(dir); err != nil {
		t.Fatal(err)
	}
	round, told, ended := make(chan time.Time), make(chan bool), make(chan struct{})
	go func() {
		defer close(ended)
		followDrainDir(t.Context(), dir, notices, round, func(drainDir, error) {
			select {
			case told <- true:
			case <-t.Context().Done():
			}
		})
	}()
	reads := func(after string) {
		t.Helper()
		select {
		case <-told:
		case <-ended:
			t.Fatalf("it ends after %s", after)
		}
	}
	reads("the start")
	round <- time.Now()
	reads("a round")
	notices.Errors <- errDead
	reads("a fault")
	if err := notices.Remove(dir); err != nil {
		t.Fatal(err)
	}
	round <- time.Now()
	select {
	case <-told:
		t.Error("it goes on")
	case <-ended:
	}
}

// Where no watch is to be had, the rounds have to do.
func TestDrainDirectoryWithoutWatch(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(*testing.T) {
		ctx, stop := context.WithCancel(context.Background())
		told, ended := 0, make(chan struct{})
		none := func() (*fsnotify.Watcher, error) { return nil, errors.New("too many open files") }
		go func() {
			defer close(ended)
			watchDrainDir(ctx, dir, none, func(found drainDir, err error) {
				if _, drained := found.drains["dns"]; drained != (told > 0) || err != nil {
					t.Errorf("told %v, %v", found, err)
				}
				told++
			})
		}()
		later(0)
		drivertest.WriteFile(t, filepath.Join(dir, "dns"), "")
		later(3 * reconcile.Interval)
		if told != 4 {
			t.Errorf("told %d times, want at once and at each round", told)
		}
		stop()
		<-ended
	})
}

// Where a file is in place of the directory, or a link that leads to itself, its drains are
// not known.
func TestDrainDirectoryIsNone(t *testing.T) {
	file, link := filepath.Join(t.TempDir(), "drain.d"), filepath.Join(t.TempDir(), "drain.d")
	drivertest.WriteFile(t, file, "")
	if err := os.Symlink(link, link); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{file: syscall.ENOTDIR, link: syscall.ELOOP} {
		if _, err := readDrainDir(path); !strings.HasPrefix(drivertest.ErrText(err), "drain directory: ") || !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
}
