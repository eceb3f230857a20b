package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keepcast/keepcast/driver/drivertest"
)

func contextOf(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithCancel(context.WithoutCancel(t.Context()))
}

// A port in use, or an address that DHCP had not given yet, kept keepcast from running at
// all: it runs, says so, and serves as soon as it can.
func TestListenLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		socket, web := newPipes(), newPipes()
		tries := 0
		var log drivertest.Buffer
		stop, ended := serving(&Server{
			Engine: &fakeEngine{}, Socket: socket, Address: "192.0.2.1:9911", Log: textLog(&log),
			OpenWeb: func(context.Context) (net.Listener, error) {
				if tries++; tries < 8 {
					return nil, syscall.EADDRNOTAVAIL
				}
				return web, nil
			},
		})
		for range 3 {
			time.Sleep(20 * time.Second)
			if got := socket.status(t).Findings; len(got) != 1 || got[0].Subject != "listen 192.0.2.1:9911" {
				t.Errorf("found %v", got)
			}
		}
		time.Sleep(time.Minute)
		if got := web.status(t).Findings; got != nil {
			t.Errorf("still found: %v", got)
		}
		stop()
		<-ended
		const want = `level=ERROR msg="listen 192.0.2.1:9911: nobody can come in, trying again" err="cannot assign requested address" fix="it works as soon as the host has the address; correct listen if that is never"
level=INFO msg="listen 192.0.2.1:9911: clients can come in now"
`
		if got := lines(log.String()); got != want {
			t.Errorf("got %s", got)
		}
	})
}

// Each reason has its own remedy.
func TestNotListening(t *testing.T) {
	for err, want := range map[error]string{
		syscall.EADDRINUSE:    "it is tried again; see who has the port (ss -tlnp)",
		syscall.EADDRNOTAVAIL: "it works as soon as the host has the address",
		syscall.EACCES:        "a port below 1024 takes CAP_NET_BIND_SERVICE",
		errors.New("odd"):     "it is tried again; correct listen",
	} {
		got := notListening(":99")(fmt.Errorf("listen: %w", &net.OpError{Op: "listen", Err: err}))
		if got.Subject != "listen :99" || !strings.HasPrefix(got.Fix, want) {
			t.Errorf("%v: got %v", err, got)
		}
	}
}

// After "rm -rf /run/keepcast" no command got in any more, and nobody could drain the host
// without stopping keepcast: the socket is made anew.
func TestSocketRemoved(t *testing.T) {
	path := filepath.Join(drivertest.SocketDir(t), "run", "keepcast.sock")
	socket, err := Listen(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	var log drivertest.Buffer
	runs(t, &Server{
		Engine: &fakeEngine{}, Socket: socket, Log: textLog(&log),
		OpenSocket: func(ctx context.Context) (net.Listener, error) { return Listen(ctx, path) },
	})
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	drivertest.Eventually(t, "commands get in again", func() bool {
		s, err := (Client{Socket: path}).Status(t.Context())
		return err == nil && s.Findings == nil
	})
	want := `level=ERROR msg="control socket: nobody can come in, trying again" err="PATH was removed" fix="it is made anew as soon as that is possible; if it stays so, systemctl restart keepcast: a restart moves no route"
level=INFO msg="control socket: clients can come in now"
`
	if got := lines(log.String()); got != replaced(want, "PATH", path) {
		t.Errorf("got %s", got)
	}
}

// A keepcast that stopped removed the control socket of the one that had been started since,
// which then could not be told anything.
func TestStopLeavesAnother(t *testing.T) {
	path := filepath.Join(drivertest.SocketDir(t), "keepcast.sock")
	old, err := Listen(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	another, err := Listen(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer another.Close()
	old.Close()
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the socket of the other keepcast: %v", err)
	}
	another.Close()
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("its own is left behind: %v", err)
	}
}

// A keepcast that hangs was taken for none: its socket was replaced, and two of them ran.
func TestListenHangs(t *testing.T) {
	path := filepath.Join(drivertest.SocketDir(t), "keepcast.sock")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	// The kernel takes one connection; it accepts none.
	waiting, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.Close()
	_, err = Listen(t.Context(), path)
	want := "control socket: " + path + " is open, and nobody answers: another keepcast hangs (ss -xlp shows which)"
	if got := drivertest.ErrText(err); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("its socket: %v", err)
	}
}

// A control_socket that named a file by mistake had the file removed.
func TestListenFile(t *testing.T) {
	path := filepath.Join(drivertest.SocketDir(t), "keepcast.yaml")
	drivertest.WriteFile(t, path, "services: []\n")
	_, err := Listen(t.Context(), path)
	if got, want := drivertest.ErrText(err), "control socket: "+path+" is a file, and no socket: it stays as it is"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := drivertest.ReadFile(t, path); got != "services: []\n" {
		t.Errorf("the file is %q", got)
	}
}

// A stop while nobody can come in ends at once, and opens nothing any more.
func TestStopWhileNobodyComesIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		var log drivertest.Buffer
		stop, ended := serving(&Server{
			Engine: &fakeEngine{}, Socket: newPipes(), Log: textLog(&log),
			OpenWeb: func(context.Context) (net.Listener, error) { tries++; return nil, syscall.EADDRINUSE },
		})
		time.Sleep(time.Minute)
		synctest.Wait()
		before, began := tries, time.Now()
		stop()
		<-ended
		if tries != before || time.Since(began) > 0 {
			t.Errorf("opened %d times more, over %s", tries-before, time.Since(began))
		}
	})
}

// brokenListener accepts nobody, and notes how it is closed.
type brokenListener struct {
	net.Listener
	closed int
}

var errBroken = errors.New("broken")

func (l *brokenListener) Accept() (net.Conn, error) { return nil, errBroken }

func (l *brokenListener) Close() error { l.closed++; return errBroken }

func (l *brokenListener) Addr() net.Addr { return &net.TCPAddr{} }

// A listener that is lost is closed: else the next could not have its address.
func TestLostListenerIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lost := &brokenListener{}
		var log drivertest.Buffer
		d := &door{slots: make(chan struct{}, 1), server: &http.Server{}, log: textLog(&log)}
		if err := d.serveAt(t.Context(), lost); !errors.Is(err, errBroken) || lost.closed == 0 {
			t.Errorf("%v, closed %d times", err, lost.closed)
		}
	})
}

// lateListener accepts nobody, and is a second late to notice that it is closed.
type lateListener struct {
	*pipes
	ended atomic.Bool // as Accept has
}

func (l *lateListener) Accept() (net.Conn, error) {
	conn, err := l.pipes.Accept()
	time.Sleep(time.Second)
	l.ended.Store(true)
	return conn, err
}

func (l *lateListener) there() error { return errBroken }

// What is opened anew while the one before is still served could take its place, and lose it.
func TestLostListenerIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lost := &lateListener{pipes: newPipes()}
		d := &door{slots: make(chan struct{}, 1), server: &http.Server{}}
		if err := d.serveAt(t.Context(), lost); !errors.Is(err, errBroken) || !lost.ended.Load() {
			t.Errorf("%v, ended: %v", err, lost.ended.Load())
		}
	})
}

// A stop in the moment of a start, before anything is served, leaves no socket behind.
func TestStopAtStart(t *testing.T) {
	ctx, stop := contextOf(t)
	stop()
	for range 100 { // the server is quicker now and then
		l := newPipes()
		d := &door{slots: make(chan struct{}, 1), server: &http.Server{}}
		if err := d.serveAt(ctx, l); err != nil {
			t.Fatal(err)
		}
		select {
		case <-l.closed:
		default:
			t.Fatal("the listener is not closed")
		}
	}
}

// A connection that was not accepted takes no slot, and what a Close says is passed on.
func TestLimitFails(t *testing.T) {
	lost := &brokenListener{}
	l := limit(lost, make(chan struct{}, 2))
	for range 3 {
		if _, err := l.Accept(); !errors.Is(err, errBroken) || len(l.slots) > 0 {
			t.Errorf("%v, %d slots are taken", err, len(l.slots))
		}
	}
	for range 2 {
		if err := l.Close(); !errors.Is(err, errBroken) || lost.closed != 1 {
			t.Errorf("%v, closed %d times", err, lost.closed)
		}
	}
	one, _ := net.Pipe()
	if err := (&counted{&brokenConn{one}, func() {}}).Close(); !errors.Is(err, errBroken) {
		t.Errorf("got %v", err)
	}
}

type brokenConn struct{ net.Conn }

func (c *brokenConn) Close() error { _ = c.Conn.Close(); return errBroken }
