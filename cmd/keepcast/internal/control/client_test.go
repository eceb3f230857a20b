package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// deadline is late enough for anything that is under way on a busy machine.
func deadline() time.Time { return time.Now().Add(20 * time.Second) }

// answering starts somebody who answers every question at a socket with the same
// text, or who hangs up, and returns the client.
func answering(t *testing.T, text string) Client {
	t.Helper()
	path := filepath.Join(drivertest.SocketDir(t), "keepcast.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-ended })
	go func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.SetDeadline(deadline())
			if _, err := conn.Read(make([]byte, 1<<16)); err == nil {
				_, _ = io.WriteString(conn, text)
			}
			conn.Close()
		}
	}()
	return Client{Socket: path}
}

// What an operator reads when it is not a keepcast in good order that answers.
func TestClientErrors(t *testing.T) {
	head := "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
	for name, tt := range map[string]struct{ answer, want string }{
		"older": {
			"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n" + `{"error": "request: json: unknown field \"all\""}`,
			`the keepcast that runs is older than this command (request: json: unknown field "all"): restart it, or use the command of its version`,
		},
		"no command":  {"HTTP/1.1 405 Method Not Allowed\r\nConnection: close\r\n\r\nMethod Not Allowed\n", "the keepcast that runs is older than this command (405 Method Not Allowed): restart it, or use the command of its version"},
		"refused":     {"HTTP/1.1 409 Conflict\r\nConnection: close\r\n\r\n" + `{"error": "no service \"a\""}`, `no service "a"`},
		"no status":   {head + "ok", "control socket SOCKET: answer: invalid character 'o' looking for beginning of value"},
		"cut off":     {head + `{"version": "1.`, "control socket SOCKET: answer: unexpected EOF"},
		"another web": {"HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\n\r\n<html>", "control socket SOCKET: answer 502 Bad Gateway: invalid character '<' looking for beginning of value"},
		"no HTTP":     {"hello\r\n", `control socket SOCKET: Get "http://keepcast/v1/status": net/http: HTTP/1.x transport connection broken: malformed HTTP response "hello"`},
		"hangs up":    {"", `control socket SOCKET: Get "http://keepcast/v1/status": EOF`},
	} {
		t.Run(name, func(t *testing.T) {
			c := answering(t, tt.answer)
			_, err := c.Status(t.Context())
			if got := strings.ReplaceAll(drivertest.ErrText(err), c.Socket, "SOCKET"); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// Somebody who never answers keeps nobody waiting who has had enough.
func TestClientInterrupted(t *testing.T) {
	path := filepath.Join(drivertest.SocketDir(t), "keepcast.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	asked := make(chan error, 1)
	go func() {
		_, err := Client{Socket: path}.Status(ctx)
		asked <- err
	}()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	cancel()
	want := `control socket ` + path + `: Get "http://keepcast/v1/status": context canceled`
	if got := drivertest.ErrText(<-asked); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// A keepcast that was stopped, or hangs, was "context deadline exceeded" to the operator, who
// could not know what that means, nor which process to look at.
func TestClientSilent(t *testing.T) {
	path := filepath.Join(drivertest.SocketDir(t), "keepcast.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, after := Client{Socket: path}, regexp.MustCompile(` for [0-9.]+m?s:`)
	what := fmt.Sprintf("keepcast (pid %d) does not answer on %s for TIME: it hangs, or was stopped", os.Getpid(), path)
	for name, tt := range map[string]struct {
		ask  func(context.Context) (api.Status, error)
		want string
	}{
		"a question": {c.Status, what + "; systemctl restart keepcast, or end the process"},
		"an order":   {c.Reload, what + "; whether it does what it was told is not known; systemctl restart keepcast, or end the process"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		_, err := tt.ask(ctx)
		cancel()
		if got := after.ReplaceAllString(drivertest.ErrText(err), " for TIME:"); got != tt.want {
			t.Errorf("%s: got  %s\nwant %s", name, got, tt.want)
		}
	}
}

// Where so many wait that nobody else can, nothing tells whom they wait for.
func TestClientNoRoom(t *testing.T) {
	path := filepath.Join(drivertest.SocketDir(t), "keepcast.sock")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	first, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	_, err = Client{Socket: path}.Status(t.Context())
	want := "keepcast does not answer on " + path + ": it hangs, or was stopped, and too many wait for it already; systemctl restart keepcast, or end the process"
	if got := drivertest.ErrText(err); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Nobody there is told from not allowed: the one starts keepcast, the other sudo.
func TestClientNobody(t *testing.T) {
	missing := filepath.Join(drivertest.SocketDir(t), "none.sock")
	_, err := Client{Socket: missing}.Status(t.Context())
	want := "keepcast is not running here (nobody answers at " + missing + `): start it with "systemctl start keepcast" or "keepcast run"`
	if got := drivertest.ErrText(err); got != want || !errors.Is(err, ErrNotRunning) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	// Root, as which tests run, is never denied.
	err = Client{Socket: missing}.explain(&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EACCES)})
	want = "control socket " + missing + ": permission denied: run this as root or as a member of the group keepcast"
	if got := drivertest.ErrText(err); got != want || errors.Is(err, ErrNotRunning) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Each command has the words of the engine, and those of a reload.
func TestClientRefused(t *testing.T) {
	e := &fakeEngine{err: errors.New("log_level: changed from info to debug, which takes a restart of keepcast")}
	c, _ := served(t, e)
	for name, do := range map[string]func() (api.Status, error){
		"status": func() (api.Status, error) { return c.Status(t.Context()) },
		"drain":  func() (api.Status, error) { return c.Drain(t.Context(), api.DrainRequest{All: true}) },
		"resume": func() (api.Status, error) { return c.Resume(t.Context(), api.ResumeRequest{All: true}) },
		"reload": func() (api.Status, error) { return c.Reload(t.Context()) },
		"check": func() (s api.Status, err error) {
			_, err = c.CheckNow(t.Context(), api.CheckNowRequest{All: true})
			return s, err
		},
		"report": func() (api.Status, error) { return api.Status{}, c.Report(t.Context(), api.ReportRequest{}) },
	} {
		if _, err := do(); drivertest.ErrText(err) != e.err.Error() {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// What JSON has no words for is not asked at all.
func TestClientUnsaid(t *testing.T) {
	c, _ := served(t, &fakeEngine{})
	_, err := c.Drain(t.Context(), api.DrainRequest{Until: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)})
	want := "json: error calling MarshalJSON for type time.Time: Time.MarshalJSON: year outside of range [0,9999]"
	if got := drivertest.ErrText(err); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// An order may have to be saved, and a reload to read files: both get more time.
func TestPatience(t *testing.T) {
	for method, want := range map[string]time.Duration{http.MethodGet: 5 * time.Second, http.MethodPost: 10 * time.Second} {
		if limit, order := patienceWith(method); limit != want || order != (method == http.MethodPost) {
			t.Errorf("%s: %s, order %v", method, limit, order)
		}
	}
}

// With its socket gone, as after "rm -rf /run/keepcast", a keepcast was said not to run: its
// operator started another one, and automation took the host for withdrawn. The lock tells,
// also those who may not open it.
func TestClientSocketGone(t *testing.T) {
	dir := drivertest.SocketDir(t)
	c := Client{Socket: filepath.Join(dir, "keepcast.sock"), RuntimeDir: dir}
	lock := taken(t, dir)
	pid := os.Getpid()
	_, err := c.Drain(t.Context(), api.DrainRequest{All: true})
	want := fmt.Sprintf("keepcast (pid %d) runs, for it holds the lock in %s, but nobody answers on %s; ", pid, dir, c.Socket) +
		"it makes its socket anew within some seconds where it may; else systemctl restart keepcast: a restart moves no route"
	if got := drivertest.ErrText(err); got != want || errors.Is(err, ErrNotRunning) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got, held := lockedBy(lockFile(dir)); got != pid || !held {
		t.Errorf("who may not open the lock: %d, %t", got, held)
	}
	if _, err := (Client{Socket: c.Socket}).Status(t.Context()); !errors.Is(err, ErrNotRunning) {
		t.Errorf("where the lock is not known: %v", err)
	}
	lock.Release()
	if _, err := c.Status(t.Context()); !errors.Is(err, ErrNotRunning) {
		t.Errorf("once it has ended: %v", err)
	}
	for _, path := range []string{lockFile(dir), dir + "/none"} {
		if got, held := lockedBy(path); got != 0 || held {
			t.Errorf("%s: %d, %t", path, got, held)
		}
	}
}
