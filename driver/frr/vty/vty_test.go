package vty

import (
	"bufio"
	"context"
	"errors"
	"fmt"
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

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
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
			if text != tc.text || status != tc.status || drivertest.ErrText(err) != tc.err {
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
	_, _, err := readAnswer(bufio.NewReader(io.LimitReader(endless{}, answerMax+1<<20)))
	if drivertest.ErrText(err) != "the answer is longer than 67108864 bytes" {
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
			if text != text2 || status != status2 || drivertest.ErrText(err) != drivertest.ErrText(err2) {
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

func TestVtyReconnects(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bgpd.vty")
	ok := func(c string) string { return c + " done" + drivertest.VtyDone }
	first := drivertest.NewVtyServer(t, path, ok)
	v := Client{Daemon: "bgpd", Path: path, Timeout: 10 * time.Second}
	defer v.Close()
	if _, err := v.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	first.Stop()
	second := drivertest.NewVtyServer(t, path, ok)
	if fresh, err := v.Open(t.Context()); err != nil || !fresh {
		t.Fatalf("after a restart: %v, fresh %v", err, fresh)
	}
	answers, err := v.Run(t.Context(), "one", "two")
	if err != nil || answers[0].Text != "one done" || answers[1].Text != "two done" {
		t.Errorf("got %v, %v", answers, err)
	}
	if fresh, err := v.Open(t.Context()); err != nil || fresh {
		t.Fatalf("in use: %v, fresh %v", err, fresh)
	}
	if got := second.Received(); got != "enable,one,two,end,enable" {
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
			drivertest.NewVtyServer(t, path, tc.say)
			v := Client{Daemon: "bgpd", Path: path, Timeout: tc.timeout}
			defer v.Close()
			_, err := v.Open(t.Context())
			if got := strings.ReplaceAll(drivertest.ErrText(err), path, "PATH"); !strings.HasPrefix(got, tc.want) {
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
	drivertest.NewVtyServer(t, path, func(string) string { cancel(errors.New("stopping")); return "no end of it" })
	v := Client{Daemon: "bgpd", Path: path, Timeout: time.Minute}
	defer v.Close()
	if _, err := v.Open(ctx); drivertest.ErrText(err) != `bgpd: "enable": stopping` {
		t.Errorf("got %v", err)
	}
	if v.conn != nil {
		t.Error("a connection whose answer was not awaited is still in use")
	}
}

// What nobody wants any more was sent by a busy host, before it noticed.
func TestVtyCancelledBefore(t *testing.T) {
	var mu sync.Mutex
	var told []string
	path := filepath.Join(t.TempDir(), "bgpd.vty")
	drivertest.NewVtyServer(t, path, func(c string) string {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, c)
		return drivertest.VtyDone
	})
	v := Client{Daemon: "bgpd", Path: path, Timeout: time.Minute}
	defer v.Close()
	over, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("stopping"))
	for range 2 {
		if _, err := v.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := v.Run(over, "show x"); drivertest.ErrText(err) != `bgpd: "show x": stopping` {
			t.Errorf("got %v", err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	drivertest.Same(t, "commands", []string{"enable", "enable"}, told)
}

func TestVtyDown(t *testing.T) {
	dir := t.TempDir()
	none := filepath.Join(dir, "ospfd.vty")
	v := Client{Daemon: "ospfd", Path: none, Timeout: time.Second}
	_, err := v.Open(t.Context())
	if want := "ospfd is not running (socket " + none + "): dial unix " + none + ": connect: no such file or directory"; drivertest.ErrText(err) != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}

	// A daemon that was killed leaves its socket behind.
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: none, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	if _, err := v.Open(t.Context()); !errors.Is(err, syscall.ECONNREFUSED) || !strings.HasPrefix(drivertest.ErrText(err), "ospfd is not running (socket ") {
		t.Errorf("got %v", err)
	}
}

func TestVtyForbidden(t *testing.T) {
	drivertest.NeedsRoot(t, "to become somebody else")
	dir, err := os.MkdirTemp("", "kc-frr-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "ospfd.vty")
	drivertest.NewVtyServer(t, path, func(string) string { return drivertest.VtyDone })
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
		v := Client{Daemon: "ospfd", Path: path, Timeout: time.Second}
		_, err := v.Open(t.Context())
		got <- err
	}()
	want := "ospfd: no permission on " + path + " (the user keepcast runs as must be in group frrvty): dial unix " + path + ": connect: permission denied"
	if err := <-got; drivertest.ErrText(err) != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// Where mgmtd is away, the daemon that it configures may well announce.
func TestVtyAway(t *testing.T) {
	v := Client{Daemon: "ripd", Path: filepath.Join(t.TempDir(), "ripd.vty"), Timeout: time.Second}
	_, err := v.Open(t.Context())
	if got := v.Away(err); !errors.Is(got, driver.ErrNotRunning) || got.Error() != err.Error() {
		t.Errorf("away: %v", got)
	}
	v.conn, _ = net.Pipe()
	defer v.conn.Close()
	if got := v.Away(fmt.Errorf("mgmtd: %w", err)); errors.Is(got, driver.ErrNotRunning) {
		t.Errorf("there: %v", got)
	}
}

func TestVtyProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ripd.vty")
	drivertest.NewVtyServer(t, path, func(string) string { return drivertest.VtyDone })
	v := Client{Daemon: "ripd", Path: path, Timeout: 10 * time.Second}
	defer v.Close()
	if id := v.Process(); id != 0 {
		t.Errorf("without a connection: %d", id)
	}
	if _, err := v.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	if id := v.Process(); id != os.Getpid() {
		t.Errorf("the server is in process %d, got %d", os.Getpid(), id)
	}
}
