package checks

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/driver/drivertest"
)

func socketAt(t *testing.T, path string) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
}

func TestFile(t *testing.T) {
	noLeaks(t)
	dir := drivertest.SocketDir(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	drivertest.WriteFile(t, at("zone"), "serial 7\n")
	drivertest.WriteFile(t, at("old"), "")
	drivertest.WriteFile(t, at("future"), "")
	drivertest.WriteFile(t, at("long"), strings.Repeat("x", fileLimit)+"yes")
	drivertest.WriteFile(t, at("start"), "yes"+strings.Repeat("x", fileLimit))
	socketAt(t, at("socket"))
	for _, err := range []error{
		unix.Mkfifo(at("fifo"), 0o600), os.Symlink("zone", at("link")), os.Symlink("nothing", at("dangling")),
		os.Chtimes(at("old"), time.Time{}, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)),
		os.Chtimes(at("future"), time.Time{}, time.Date(2126, 1, 2, 3, 4, 5, 0, time.UTC)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	yes := regexp.MustCompile("yes|serial")
	for name, tt := range map[string]struct {
		file *File
		err  string
	}{
		"exists":              {&File{Path: "zone"}, ""},
		"not clean":           {&File{Path: "./x/../zone"}, "DIR/./x/../zone does not exist"},
		"missing":             {&File{Path: "none"}, "DIR/none does not exist"},
		"in no directory":     {&File{Path: "zone/none"}, "DIR/zone/none does not exist"},
		"link":                {&File{Path: "link", Content: yes}, ""},
		"dangling":            {&File{Path: "dangling"}, "DIR/dangling does not exist"},
		"absent":              {&File{Path: "none", State: "absent"}, ""},
		"absent, no dir":      {&File{Path: "none/none", State: "absent"}, ""},
		"absent, under file":  {&File{Path: "zone/none", State: "absent"}, ""},
		"present":             {&File{Path: "zone", State: "absent"}, "DIR/zone exists, expected none"},
		"present, fifo":       {&File{Path: "fifo", State: "absent"}, "DIR/fifo exists, expected none"},
		"young":               {&File{Path: "zone", YoungerThan: time.Hour}, ""},
		"old":                 {&File{Path: "old", YoungerThan: time.Minute}, "DIR/old was last changed on 2026-01-02T03:04:05Z, more than 1m0s ago"},
		"future":              {&File{Path: "future", YoungerThan: time.Minute}, "DIR/future was changed in the future, on 2126-01-02T03:04:05Z: is the clock right?"},
		"future, of any age":  {&File{Path: "future"}, ""},
		"content":             {&File{Path: "zone", Content: yes}, ""},
		"other content":       {&File{Path: "old", Content: yes}, `DIR/old has no match of "yes|serial"`},
		"content at the end":  {&File{Path: "long", Content: yes}, `DIR/long has no match of "yes|serial" in its first 64 KiB`},
		"content of long":     {&File{Path: "start", Content: yes}, ""},
		"content of missing":  {&File{Path: "none", Content: yes}, "DIR/none does not exist"},
		"fifo":                {&File{Path: "fifo"}, ""},
		"content of fifo":     {&File{Path: "fifo", Content: regexp.MustCompile("")}, "DIR/fifo is a FIFO, which has no content to look at"},
		"content of socket":   {&File{Path: "socket", Content: yes}, "DIR/socket is a socket, which has no content to look at"},
		"content of a dir":    {&File{Path: ".", Content: yes}, "DIR/. is a directory, which has no content to look at"},
		"name that is long":   {&File{Path: strings.Repeat("x", 300)}, "stat DIR/" + strings.Repeat("x", 300) + ": file name too long"},
		"absent but too long": {&File{Path: strings.Repeat("x", 300), State: "absent"}, "stat DIR/" + strings.Repeat("x", 300) + ": file name too long"},
	} {
		t.Run(name, func(t *testing.T) {
			tt.file.Path = dir + "/" + tt.file.Path
			err := tt.file.Check(within(t))
			if err != nil {
				err = errors.New(strings.ReplaceAll(err.Error(), dir, "DIR"))
			}
			sameError(t, err, tt.err, "")
			if health.IsCertain(err) {
				t.Error("certain")
			}
		})
	}
	t.Run("device", func(t *testing.T) {
		err := (&File{Path: os.DevNull, Content: yes}).Check(within(t))
		sameError(t, err, "/dev/null is a device, which has no content to look at", "")
	})
}

// What stat took for a file may be a FIFO when it is opened.
func TestReadRegularOfFIFO(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := readRegular(path)
	sameError(t, err, path+" is a FIFO, which has no content to look at", "")
}

func TestFileSeen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "zone")
	drivertest.WriteFile(t, path, "serial 7\n")
	if err := os.Chtimes(path, time.Time{}, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)); err != nil {
		t.Fatal(err)
	}
	sameSeen(t, &File{Path: path}, "file: file, 9 bytes, changed on 2026-01-02T03:04:05Z")
}

// sameSeen runs a check and compares what it saw.
func sameSeen(t *testing.T, c Checker, want ...string) {
	t.Helper()
	drivertest.Same(t, "what the check saw", want, seenBy(t, c))
}

// seenBy runs a check and returns what it saw.
func seenBy(t *testing.T, c Checker) (got []string) {
	t.Helper()
	s := new(Sight)
	if err := c.Check(WithSight(within(t), s)); err != nil {
		t.Logf("the check says: %v", err)
	}
	seen, _ := s.Seen()
	for _, one := range seen {
		got = append(got, one.What+": "+one.Text)
	}
	return got
}

// A file system that hangs holds one look and one watch, and neither the check nor the end.
func TestFileHangs(t *testing.T) {
	noLeaks(t)
	dir, release := drivertest.HangingDir(t)
	f := &File{Path: filepath.Join(dir, "a")}
	sameError(t, f.Check(shortly(t)), f.Path+": the file system does not answer: timed out", "")
	err := f.Check(within(t))
	sameError(t, err, f.Path+": the file system hangs: an earlier look at it has not ended", "")
	if _, ok := health.AftermathSince(err); !ok {
		t.Error("no aftermath")
	}
	ctx, cancel := context.WithCancel(within(t))
	changes, ended := watching(ctx, f)
	cancel()
	sameError(t, <-ended, "", "")
	sameError(t, f.Watch(within(t), t.FailNow), "watching "+dir+": the file system hangs: an earlier look at it has not ended", "")
	if len(changes) != 0 {
		t.Error("a change was told")
	}
	release()
	drivertest.Eventually(t, "the check looks again", func() bool {
		return !strings.Contains(drivertest.ErrText(f.Check(within(t))), "hangs")
	})
	drivertest.Eventually(t, "the watch is tried again", func() bool {
		return !strings.Contains(drivertest.ErrText(f.Watch(shortly(t), func() {})), "hangs")
	})
}

func TestFileValidate(t *testing.T) {
	for name, tt := range map[string]struct {
		file *File
		want string
	}{
		"absolute":       {&File{Path: "/run/a"}, ""},
		"relative":       {&File{Path: "a"}, `path: "a" is not absolute`},
		"empty":          {&File{}, `path: "" is not absolute`},
		"nul":            {&File{Path: "/a\x00b"}, `path: "/a\x00b" has a NUL, which no path can have`},
		"absent, young":  {&File{Path: "/a", State: "absent", YoungerThan: 1}, "younger_than: a file that is to be absent has no age"},
		"absent, filled": {&File{Path: "/a", State: "absent", Content: regexp.MustCompile("a")}, "content: a file that is to be absent has no content"},
	} {
		t.Run(name, func(t *testing.T) { sameError(t, tt.file.Validate(), tt.want, "") })
	}
}
