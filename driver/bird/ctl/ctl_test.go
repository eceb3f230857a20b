package ctl

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

func TestReadReply(t *testing.T) {
	for name, tc := range map[string]struct {
		in   string
		want Reply
		err  string
	}{
		"one line":   {"0023 abcdef\n", Reply{23, []Line{{23, "abcdef"}}}, ""},
		"empty last": {"0000 \n", Reply{0, []Line{{0, ""}}}, ""},
		"carriage return": {
			"0013 Daemon is up and running\r\n",
			Reply{13, []Line{{13, "Daemon is up and running"}}},
			"",
		},
		"many lines": {
			"1007-Table master4:\n 192.0.2.53/32  unicast\n \tdev any0\n1008-\tType: device\n0000 \n",
			Reply{0, []Line{{1007, "Table master4:"}, {1007, "192.0.2.53/32  unicast"}, {1007, "\tdev any0"}, {1008, "\tType: device"}, {0, ""}}},
			"",
		},
		"spontaneous": {
			"+Reconfiguring\n0002-Reading configuration from bird.conf\n+Config timeout expired, starting undo\n0003 Reconfigured\n",
			Reply{3, []Line{{2, "Reading configuration from bird.conf"}, {3, "Reconfigured"}}},
			"",
		},
		"only the first reply": {"0003 Reconfigured\n0000 \n", Reply{3, []Line{{3, "Reconfigured"}}}, ""},
		"nothing":              {"", Reply{}, "EOF"},
		"cut in a line":        {"0003 Reconf", Reply{}, "unexpected EOF"},
		"cut after a line":     {"0002-Reading\n", Reply{}, "EOF"},
		"continues nothing":    {" x\n", Reply{}, `no line of a reply of bird: " x"`},
		"no code":              {"HTTP/1.1 400 Bad Request\r\n", Reply{}, `no line of a reply of bird: "HTTP/1.1 400 Bad Request"`},
		"short code":           {"003 x\n", Reply{}, `no line of a reply of bird: "003 x"`},
		"no separator":         {"0003\n", Reply{}, `no line of a reply of bird: "0003"`},
		"long line":            {strings.Repeat("x", lineLimit+1) + "\n", Reply{}, "a line longer than 64 KiB"},
		"no end":               {strings.Repeat("1007-x\n", replyLimit/7+2), Reply{}, "longer than 8 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ReadReply(bufio.NewReaderSize(strings.NewReader(tc.in), lineLimit))
			if text := drivertest.ErrText(err); text != tc.err {
				t.Errorf("got %q, want %q", text, tc.err)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// A reply is the same wherever the kernel cuts it.
func TestReadReplySplit(t *testing.T) {
	const in = "+x\n1007-Table master4:\n 192.0.2.53/32 unicast\n+y\n1008-\tType: device univ\r\n0000 \n"
	want, err := ReadReply(bufio.NewReader(strings.NewReader(in)))
	if err != nil {
		t.Fatal(err)
	}
	for i := range len(in) {
		parts := io.MultiReader(strings.NewReader(in[:i]), strings.NewReader(in[i:]))
		got, err := ReadReply(bufio.NewReaderSize(parts, lineLimit))
		if d := cmp.Diff(want, got); err != nil || d != "" {
			t.Errorf("split at %d: %v %s", i, err, d)
		}
	}
	got, err := ReadReply(bufio.NewReader(iotest.OneByteReader(strings.NewReader(in))))
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("bytes: %v %s", err, d)
	}
}

func FuzzReadReply(f *testing.F) {
	f.Add([]byte("0001 BIRD 2.0.12 ready.\n"))
	f.Add([]byte("0002-Reading\n8002 bird.conf:1:2 syntax error\n"))
	f.Add([]byte("+x\n1007-Table master4:\n 192.0.2.53/32\n0000 \n"))
	f.Add([]byte("9001 \n\n \n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := ReadReply(bufio.NewReaderSize(strings.NewReader(string(in)), lineLimit))
		if err != nil {
			return
		}
		// What was understood, written as BIRD writes it, is understood alike.
		var again strings.Builder
		for i, l := range r.Lines {
			sep := "-"
			if i == len(r.Lines)-1 {
				sep = " "
			}
			fmt.Fprintf(&again, "%04d%s%s\n", l.Code, sep, l.Text)
		}
		got, err := ReadReply(bufio.NewReaderSize(strings.NewReader(again.String()), lineLimit))
		if err != nil || !cmp.Equal(r, got) {
			t.Errorf("%q: %v: %s", in, err, cmp.Diff(r, got))
		}
	})
}

func TestControl(t *testing.T) {
	for name, tc := range map[string]struct {
		answer func(n int, command string) string
		want   int
		err    string // SOCKET stands for the path
	}{
		"answer": {func(_ int, c string) string { return "0013 " + c + "\n" }, 13, ""},
		"hangs up once": {func(n int, c string) string {
			if n == 1 && c == "second" {
				return ""
			}
			return "0013 x\n"
		}, 13, ""},
		"hangs up in the reply once": {func(n int, c string) string {
			if n == 1 && c == "second" {
				return "1007-Table\n 192.0"
			}
			return "0013 x\n"
		}, 13, ""},
		"hangs up each time": {func(_ int, c string) string {
			if c == "second" {
				return ""
			}
			return "0013 x\n"
		}, 0, `reading bird's answer to "second": EOF`},
		"restricted": {func(_ int, c string) string {
			if c == "second" {
				return "8007 Access denied\n"
			}
			return "0016 Access restricted\n"
		}, 8007, `bird refuses "second": Access denied: this control socket is a restricted one, keepcast needs one that may configure`},
		"refused": {func(_ int, c string) string {
			if c == "second" {
				return "0002-Reading configuration from bird.conf\n8002 bird.conf:3:10 syntax error, unexpected '}'\n"
			}
			return "0000 \n"
		}, 8002, `bird refuses "second": bird.conf:3:10 syntax error, unexpected '}' (code 8002)`},
		"garbage": {func(_ int, c string) string {
			if c == "second" {
				return "what?\n"
			}
			return "0000 \n"
		}, 0, `reading bird's answer to "second": no line of a reply of bird: "what?"`},
	} {
		t.Run(name, func(t *testing.T) {
			defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
			f, c := newFakeBIRD(t, func(n int, command string) string {
				if command == "" {
					return hello
				}
				return tc.answer(n, command)
			})
			defer func() { c.Close(); f.Stop() }()
			if _, err := c.Ask(t.Context(), "first"); err != nil {
				t.Fatal(err)
			}
			r, err := c.Ask(t.Context(), "second")
			if drivertest.ErrText(err) != tc.err || r.Code != tc.want {
				t.Errorf("got  %d %v\nwant %d %s", r.Code, err, tc.want, tc.err)
			}
			if tc.want >= 8000 && RefusalCode(err) != tc.want {
				t.Errorf("the error has code %d", RefusalCode(err))
			}
		})
	}
}

func TestControlBanner(t *testing.T) {
	for name, tc := range map[string]struct{ banner, err string }{
		"other code": {"0013 Daemon is up\n", "bird's banner on SOCKET: expected the banner 0001, got 0013"},
		"other":      {"220 mail ESMTP\n", `bird's banner on SOCKET: no line of a reply of bird: "220 mail ESMTP"`},
		"none":       {"", "bird's banner on SOCKET: EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			_, c := newFakeBIRD(t, func(int, string) string { return tc.banner })
			_, err := c.Ask(t.Context(), "x")
			if want := strings.ReplaceAll(tc.err, "SOCKET", c.Socket); drivertest.ErrText(err) != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
		})
	}
}

// A daemon that hangs is given up after the timeout, and its late answer is not
// taken for that to the next command.
func TestControlSlow(t *testing.T) {
	release := make(chan struct{})
	_, c := newFakeBIRD(t, func(n int, command string) string {
		switch {
		case command == "":
			return hello
		case n == 1:
			<-release
			return "0023 late\n"
		}
		return "0023 in time\n"
	})
	c.Timeout = 50 * time.Millisecond
	_, err := c.Ask(t.Context(), "eval x")
	want := fmt.Sprintf(`asking bird "eval x" on %s: no answer within 50ms: context deadline exceeded`, c.Socket)
	if drivertest.ErrText(err) != want || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	close(release)
	c.Timeout = 20 * time.Second
	if r, err := c.Ask(t.Context(), "eval x"); err != nil || r.Text(CodeValue) != "in time" {
		t.Errorf("%v %v", r, err)
	}
}

func TestControlCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	_, c := newFakeBIRD(t, func(_ int, command string) string {
		if command != "" {
			cancel()
			return "1007-and no end\n"
		}
		return hello
	})
	if _, err := c.Ask(ctx, "x"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// A stop that had given up a driver had BIRD load once more: a busy host sends a command before
// it notices that nobody wants it.
func TestControlCanceledBefore(t *testing.T) {
	var mu sync.Mutex
	var told []string
	_, c := newFakeBIRD(t, func(_ int, command string) string {
		if command == "" {
			return hello
		}
		mu.Lock()
		defer mu.Unlock()
		told = append(told, command)
		return "0000 \n"
	})
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for _, ctx := range []context.Context{t.Context(), over, t.Context()} {
		if _, err := c.Ask(ctx, fmt.Sprint(ctx.Err())); !errors.Is(err, ctx.Err()) {
			t.Errorf("%v: %v", ctx.Err(), err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	drivertest.Same(t, "commands", []string{"<nil>", "<nil>"}, told)
}

func TestControlNobody(t *testing.T) {
	dir := drivertest.SocketDir(t)
	c := &Client{Socket: filepath.Join(dir, "bird.ctl"), Timeout: time.Second}
	_, err := c.Ask(t.Context(), "x")
	want := "bird is not running: dial unix " + c.Socket + ": connect: no such file or directory"
	if drivertest.ErrText(err) != want || !errors.Is(err, driver.ErrNotRunning) {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	// What a killed BIRD leaves behind.
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: c.Socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	_, err = c.Ask(t.Context(), "x")
	if !errors.Is(err, driver.ErrNotRunning) || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Error(err)
	}
}
