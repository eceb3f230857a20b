// Package drivertest is what the tests of the drivers share: the suite that every
// driver passes, real and fake daemons, golden files. Only tests import it.
package drivertest

import (
	"bytes"
	"flag"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/community"
)

// Addresses for tests, of the blocks that are for documentation (RFC 5737, RFC 3849).
const (
	V4 = "192.0.2.53/32"
	V6 = "2001:db8:53::53/128"
)

// Route returns a route of the service dns.
func Route(prefix string, p driver.Presence) driver.Route {
	return driver.Route{Prefix: netip.MustParsePrefix(prefix), Service: "dns", Presence: p}
}

// Worse are the attributes that the configuration gives a degraded service.
func Worse() driver.Attributes {
	med, localPref, metric := uint32(1000), uint32(50), uint32(20000)
	return driver.Attributes{MED: &med, LocalPref: &localPref, Metric: &metric, Prepend: 2}
}

// Many returns announced routes, every second one of IPv6, that have so many different
// attributes.
func Many(routes, attributes int) []driver.Route {
	var out []driver.Route
	v4, v6 := netip.MustParseAddr("198.18.0.1"), netip.MustParseAddr("2001:db8::1")
	for i := range routes {
		r := driver.Route{Prefix: netip.PrefixFrom(v4, 32), Service: "service" + strconv.Itoa(i), Presence: driver.Announced, Attributes: Worse()}
		if i%2 == 1 {
			r.Prefix = netip.PrefixFrom(v6, 128)
			v4, v6 = v4.Next(), v6.Next()
		}
		r.Attributes.MED = new(uint32(i % attributes))
		r.Attributes.Communities = []community.Standard{{High: 65001, Low: 100}, {High: 65535, Low: 0}}
		out = append(out, r)
	}
	return out
}

// Missing skips a test for want of something; with KEEPCAST_REAL=1, as in CI, that
// is a failure.
func Missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("KEEPCAST_REAL") == "1" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// NeedsRoot skips a test, as Missing does, unless it runs as root. What for is the rest
// of a sentence, such as "for a network namespace".
func NeedsRoot(t testing.TB, whatFor string) {
	t.Helper()
	if os.Geteuid() != 0 {
		Missing(t, "needs root "+whatFor)
	}
}

// Same compares two lists whatever their order.
func Same(t testing.TB, what string, want, got []string) {
	t.Helper()
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.SortSlices(strings.Compare)); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// WaitFor waits for a condition, and returns false if it gave up.
func WaitFor(cond func() bool) bool {
	late := time.NewTimer(20 * time.Second)
	defer late.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-late.C:
			return false
		case <-tick.C:
		}
	}
	return true
}

// Eventually waits for a condition, and fails the test if it gave up.
func Eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	if !WaitFor(cond) {
		t.Fatalf("gave up waiting: %s", what)
	}
}

// ErrText returns the text of an error, "" of none.
func ErrText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// SocketDir returns a directory whose name is short enough for a socket in it.
func SocketDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "kc-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// Root makes a root directory of a host with these files. A name that ends in "=" is a
// socket that somebody listens at, in "~" one that was left behind.
func Root(t testing.TB, files map[string]string) string {
	t.Helper()
	root := SocketDir(t)
	for name, text := range files {
		path := filepath.Join(root, strings.TrimRight(name, "=~"))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if path == filepath.Join(root, name) {
			WriteFile(t, path, text)
			continue
		}
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		l.(*net.UnixListener).SetUnlinkOnClose(false)
		if strings.HasSuffix(name, "~") {
			l.Close()
		} else {
			t.Cleanup(func() { l.Close() })
		}
	}
	return root
}

// Program returns the path of a program that has to be installed.
func Program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		Missing(t, err.Error())
	}
	return path
}

// Buffer is an output that a test can read while it is written.
type Buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// String returns what was written until now.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// WriteFile writes a file that anybody may read.
func WriteFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// CopyFile copies a file, which may be a program, and gives the copy a mode.
func CopyFile(t testing.TB, from, to string, mode os.FileMode) {
	t.Helper()
	WriteFile(t, to, ReadFile(t, from))
	if err := os.Chmod(to, mode); err != nil {
		t.Fatal(err)
	}
}

// ReadFile returns the text of a file.
func ReadFile(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Update is whether the tests write what they would compare with.
var Update = flag.Bool("update", false, "write the golden files, or the generated pages, anew")

// Golden compares got with the file of that name in testdata; with -update it
// writes the file.
func Golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *Update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff(ReadFile(t, path), string(got)); d != "" {
		t.Errorf("%s (-want +got), go test -update if it is meant:\n%s", path, d)
	}
}
