package driver

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/sys/unix"
)

func TestReadAnswer(t *testing.T) {
	for name, tc := range map[string]struct {
		in, text string
		status   byte
		err      string
	}{
		"text":           {"frr version 8.4.4\n\x00\x00\x00\x00", "frr version 8.4.4\n", 0, ""},
		"nothing to say": {"\x00\x00\x00\x00", "", 0, ""},
		"refused":        {"% Unknown command: x\n\x00\x00\x00\x02", "% Unknown command: x\n", 2, ""},
		"next behind it": {"a\x00\x00\x00\x01b\x00\x00\x00\x00", "a", 1, ""},
		"cut in text":    {"frr ver", "", 0, "EOF"},
		"cut in frame":   {"a\x00\x00", "", 0, "unexpected EOF"},
		"nothing":        {"", "", 0, "EOF"},
		"not framed":     {"a\x00b\x00\x00\x00\x00", "", 0, "the answer is not framed as FRR does it (three zero bytes and a status)"},
	} {
		t.Run(name, func(t *testing.T) {
			// One byte a read: split at every byte.
			text, status, err := readAnswer(bufio.NewReader(iotest.OneByteReader(strings.NewReader(tc.in))))
			if text != tc.text || status != tc.status || errText(err) != tc.err {
				t.Errorf("got %q, %d, %v", text, status, err)
			}
		})
	}
}

func TestReadAnswerLong(t *testing.T) {
	long := strings.Repeat("x", 300_000)
	r := bufio.NewReader(strings.NewReader(long + "\x00\x00\x00\x00" + long + "\x00\x00\x00\x01"))
	for want := range byte(2) {
		if text, status, err := readAnswer(r); text != long || status != want || err != nil {
			t.Errorf("got %d bytes, %d, %v", len(text), status, err)
		}
	}
	_, _, err := readAnswer(bufio.NewReader(io.LimitReader(endless{}, vtyAnswerMax+1<<20)))
	if errText(err) != "the answer is longer than 67108864 bytes" {
		t.Errorf("endless answer: %v", err)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func FuzzReadAnswer(f *testing.F) {
	f.Add([]byte("a\x00\x00\x00\x01b\x00\x00\x00\x00"))
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, in []byte) {
		whole, split := bufio.NewReader(strings.NewReader(string(in))), bufio.NewReaderSize(iotest.OneByteReader(strings.NewReader(string(in))), 16)
		var back strings.Builder
		for {
			text, status, err := readAnswer(whole)
			text2, status2, err2 := readAnswer(split)
			if text != text2 || status != status2 || errText(err) != errText(err2) {
				t.Fatalf("split at every byte: %q %d %v, whole: %q %d %v", text2, status2, err2, text, status, err)
			}
			if err != nil {
				break
			}
			back.WriteString(text + "\x00\x00\x00")
			back.WriteByte(status)
		}
		if !strings.HasPrefix(string(in), back.String()) {
			t.Errorf("read %q out of %q", back.String(), in)
		}
	})
}

// fakeDaemon listens on a vty socket and answers with what say returns; an empty
// frame ends the connection.
type fakeDaemon struct {
	t      *testing.T
	listen net.Listener
	say    func(command string) string
	wg     sync.WaitGroup

	mu       sync.Mutex
	commands []string
	conns    []net.Conn
}

func newFakeDaemon(t *testing.T, path string, say func(command string) string) *fakeDaemon {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeDaemon{t: t, listen: l, say: say}
	f.wg.Go(f.serve)
	t.Cleanup(f.stop)
	return f
}

func (f *fakeDaemon) serve() {
	for {
		conn, err := f.listen.Accept()
		if err != nil {
			return
		}
		f.mu.Lock()
		f.conns = append(f.conns, conn)
		f.mu.Unlock()
		f.wg.Go(func() {
			defer conn.Close()
			for r := bufio.NewReader(conn); ; {
				c, err := r.ReadString(0)
				if err != nil {
					return
				}
				f.mu.Lock()
				f.commands = append(f.commands, strings.TrimSuffix(c, "\x00"))
				f.mu.Unlock()
				answer := f.say(strings.TrimSuffix(c, "\x00"))
				if answer == "" {
					return
				}
				if _, err := io.WriteString(conn, answer); err != nil {
					return
				}
			}
		})
	}
}

func (f *fakeDaemon) stop() {
	f.listen.Close()
	f.mu.Lock()
	for _, c := range f.conns {
		c.Close()
	}
	f.mu.Unlock()
	f.wg.Wait()
}

func (f *fakeDaemon) seen() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.commands, ",")
}

const frrDone = "\x00\x00\x00\x00"

func TestVtyReconnects(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bgpd.vty")
	ok := func(c string) string { return c + " done" + frrDone }
	first := newFakeDaemon(t, path, ok)
	v := vty{daemon: "bgpd", path: path, timeout: 10 * time.Second}
	defer v.close()
	if _, err := v.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	first.stop()
	second := newFakeDaemon(t, path, ok)
	if fresh, err := v.open(t.Context()); err != nil || !fresh {
		t.Fatalf("after a restart: %v, fresh %v", err, fresh)
	}
	answers, err := v.run(t.Context(), "one", "two")
	if err != nil || answers[0].text != "one done" || answers[1].text != "two done" {
		t.Errorf("got %v, %v", answers, err)
	}
	if fresh, err := v.open(t.Context()); err != nil || fresh {
		t.Fatalf("in use: %v, fresh %v", err, fresh)
	}
	if got := second.seen(); got != "enable,one,two,end,enable" {
		t.Errorf("the second daemon saw %s", got)
	}
}

func TestVtyErrors(t *testing.T) {
	for name, tc := range map[string]struct {
		say     func(string) string
		timeout time.Duration
		want    string
		is      error
	}{
		"hung":     {func(string) string { return "no end of it" }, 30 * time.Millisecond, `bgpd: no answer to "enable" within 30ms (socket PATH), is it hung: `, os.ErrDeadlineExceeded},
		"restart":  {func(string) string { return "" }, 10 * time.Second, `bgpd closed the connection at "enable" (socket PATH), did it restart: EOF`, io.EOF},
		"refused":  {func(string) string { return "% Access\ndenied\n\x00\x00\x00\x0d" }, 10 * time.Second, `bgpd refused "enable": % Access denied (status 13)`, nil},
		"no frame": {func(string) string { return "a\x00bcd" }, 10 * time.Second, `bgpd: "enable": the answer is not framed as FRR does it (three zero bytes and a status)`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "bgpd.vty")
			newFakeDaemon(t, path, tc.say)
			v := vty{daemon: "bgpd", path: path, timeout: tc.timeout}
			defer v.close()
			_, err := v.open(t.Context())
			if got := strings.ReplaceAll(errText(err), path, "PATH"); !strings.HasPrefix(got, tc.want) {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
			if tc.is != nil && !errors.Is(err, tc.is) {
				t.Errorf("%v is not %v", err, tc.is)
			}
		})
	}
}

func TestVtyCancelled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bgpd.vty")
	ctx, cancel := context.WithCancelCause(t.Context())
	newFakeDaemon(t, path, func(string) string { cancel(errors.New("stopping")); return "no end of it" })
	v := vty{daemon: "bgpd", path: path, timeout: time.Minute}
	defer v.close()
	if _, err := v.open(ctx); errText(err) != `bgpd: "enable": stopping` {
		t.Errorf("got %v", err)
	}
	if v.conn != nil {
		t.Error("a connection whose answer was not awaited is still in use")
	}
}

func TestVtyDown(t *testing.T) {
	dir := t.TempDir()
	none := filepath.Join(dir, "ospfd.vty")
	v := vty{daemon: "ospfd", path: none, timeout: time.Second}
	_, err := v.open(t.Context())
	if want := "ospfd is not running (socket " + none + "): dial unix " + none + ": connect: no such file or directory"; errText(err) != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}

	// A daemon that was killed leaves its socket behind.
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: none, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	if _, err := v.open(t.Context()); !errors.Is(err, syscall.ECONNREFUSED) || !strings.HasPrefix(errText(err), "ospfd is not running (socket ") {
		t.Errorf("got %v", err)
	}
}

func TestVtyForbidden(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to become somebody else")
	}
	dir, err := os.MkdirTemp("", "kc-frr-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "ospfd.vty")
	newFakeDaemon(t, path, func(string) string { return frrDone })
	if err := os.Chmod(path, 0o770); err != nil {
		t.Fatal(err)
	}
	got := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with its rights
		if err := errors.Join(unix.Setfsgid(65534), unix.Setfsuid(65534)); err != nil {
			got <- err
			return
		}
		v := vty{daemon: "ospfd", path: path, timeout: time.Second}
		_, err := v.open(t.Context())
		got <- err
	}()
	want := "ospfd: no permission on " + path + " (the user keepcast runs as must be in group frrvty): dial unix " + path + ": connect: permission denied"
	if err := <-got; errText(err) != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// errText returns the text of an error, "" of none.
func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
