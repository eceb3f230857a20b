package checks

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// watching runs Watch and returns the changes that it tells, and how it ended.
func watching(ctx context.Context, w health.Watcher) (changes chan struct{}, ended chan error) {
	changes, ended = make(chan struct{}, 1), make(chan error, 1)
	go func() {
		ended <- w.Watch(ctx, func() {
			select {
			case changes <- struct{}{}:
			default:
			}
		})
	}()
	return changes, ended
}

// told waits for changes until the check says what is wanted.
func told(t *testing.T, changes chan struct{}, check func() error, want string) {
	t.Helper()
	late := time.After(20 * time.Second)
	got := ""
	for {
		select {
		case <-changes:
		case <-late:
			t.Fatalf("no change told after which the check\n says: %s\n last: %s", want, got)
		}
		if got = drivertest.ErrText(check()); got == want {
			return
		}
	}
}

func TestFileWatch(t *testing.T) {
	noLeaks(t)
	dir := filepath.Join(t.TempDir(), "run")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	flag := filepath.Join(dir, "flag")
	absent := &File{Path: dir + "/./flag", State: "absent"}
	ctx, cancel := context.WithCancel(within(t))
	changes, ended := watching(ctx, absent)
	check := func() error { return absent.Check(within(t)) }
	told(t, changes, check, "")
	drivertest.WriteFile(t, flag, "")
	told(t, changes, check, dir+"/./flag exists, expected none")
	if err := os.Remove(flag); err != nil {
		t.Fatal(err)
	}
	told(t, changes, check, "")
	drivertest.WriteFile(t, flag+".new", "")
	if err := os.Rename(flag+".new", flag); err != nil {
		t.Fatal(err)
	}
	told(t, changes, check, dir+"/./flag exists, expected none")
	cancel()
	sameError(t, <-ended, "", "")

	for name, end := range map[string]func() error{
		"removed":  func() error { return os.RemoveAll(dir) },
		"replaced": func() error { return os.Rename(dir, dir+".old") },
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			drivertest.WriteFile(t, flag, "")
			changes, ended := watching(within(t), absent)
			told(t, changes, check, dir+"/./flag exists, expected none")
			if err := end(); err != nil {
				t.Fatal(err)
			}
			told(t, changes, check, "")
			sameError(t, <-ended, "watching "+dir+": the directory is gone", "")
		})
	}
	t.Run("no directory", func(t *testing.T) {
		sameError(t, (&File{Path: "/nonexistent/a"}).Watch(within(t), t.FailNow), "watching /nonexistent: stat /nonexistent: no such file or directory", "")
	})
}

// TestFileWatchAge touches a file that was too old, and changes what is in one.
func TestFileWatchAge(t *testing.T) {
	noLeaks(t)
	zone := filepath.Join(t.TempDir(), "zone")
	drivertest.WriteFile(t, zone, "serial 6")
	then := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if err := os.Chtimes(zone, then, then); err != nil {
		t.Fatal(err)
	}
	f := &File{Path: zone, YoungerThan: time.Hour, Content: regexp.MustCompile("serial 7")}
	ctx, cancel := context.WithCancel(within(t))
	changes, ended := watching(ctx, f)
	check := func() error { return f.Check(within(t)) }
	told(t, changes, check, zone+" was last changed on 2026-01-02T03:04:05Z, more than 1h0m0s ago")
	now := time.Now()
	if err := os.Chtimes(zone, now, now); err != nil {
		t.Fatal(err)
	}
	told(t, changes, check, zone+` has no match of "serial 7"`)
	drivertest.WriteFile(t, zone, "serial 7")
	told(t, changes, check, "")
	cancel()
	sameError(t, <-ended, "", "")
}

// Only the file itself wakes the check, and one that is written all the time no more than
// every fileDelay.
func TestFileWatchOthers(t *testing.T) {
	noLeaks(t)
	dir := t.TempDir()
	f := &File{Path: filepath.Join(dir, "a")}
	ctx, cancel := context.WithCancel(within(t))
	calls := make(chan struct{}, 10_000)
	ended := make(chan error, 1)
	go func() { ended <- f.Watch(ctx, func() { calls <- struct{}{} }) }()
	<-calls
	for range 100 {
		drivertest.WriteFile(t, filepath.Join(dir, "b"), "x")
	}
	drivertest.WriteFile(t, f.Path, "x")
	<-calls
	began := time.Now()
	for range 500 {
		drivertest.WriteFile(t, f.Path, "x")
	}
	<-calls // the last of them is told, too
	cancel()
	sameError(t, <-ended, "", "")
	if most := int(time.Since(began)/fileDelay) + 2; len(calls) > most {
		t.Errorf("%d calls, no more than %d expected", len(calls), most)
	}
}

// A link that leads to another directory ends the watch of the one before: nothing was
// noticed any more after a deployment by such a link.
func TestFileWatchLink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"one", "two"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(dir, "current")
	if err := os.Symlink("one", link); err != nil {
		t.Fatal(err)
	}
	f := &File{Path: filepath.Join(link, "flag"), State: "absent"}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	changes, ended := watching(ctx, f)
	told(t, changes, func() error { return f.Check(within(t)) }, "")
	if err := os.Symlink("two", link+".new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(link+".new", link); err != nil {
		t.Fatal(err)
	}
	drivertest.WriteFile(t, f.Path, "")
	told(t, changes, func() error { return f.Check(within(t)) }, f.Path+" exists, expected none")
	sameError(t, <-ended, "watching "+link+": the directory is another one now", "")
}
