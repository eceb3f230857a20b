package driver

import (
	"bufio"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fakeBIRD answers each command on its socket by what answer returns; an answer
// without a line end is followed by hanging up.
type fakeBIRD struct {
	net.Listener
	answer func(n int, command string) string // n counts the connections
	done   chan struct{}
}

func newFakeBIRD(t *testing.T, answer func(n int, command string) string) (*fakeBIRD, *birdControl) {
	t.Helper()
	socket := filepath.Join(birdDir(t), "bird.ctl")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeBIRD{l, answer, make(chan struct{})}
	go f.serve()
	c := &birdControl{socket: socket, timeout: 20 * time.Second}
	t.Cleanup(func() {
		c.close()
		l.Close()
		<-f.done
	})
	return f, c
}

// birdDir returns a directory whose name is short enough for a socket in it.
func birdDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "kc-bird-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (f *fakeBIRD) serve() {
	defer close(f.done)
	for n := 1; ; n++ {
		conn, err := f.Accept()
		if err != nil {
			return
		}
		f.talk(n, conn)
		conn.Close()
	}
}

func (f *fakeBIRD) talk(n int, conn net.Conn) {
	out := f.answer(n, "")
	if _, err := io.WriteString(conn, out); err != nil || !strings.HasSuffix(out, "\n") {
		return
	}
	in := bufio.NewScanner(conn)
	for in.Scan() {
		out := f.answer(n, in.Text())
		if _, err := io.WriteString(conn, out); err != nil || !strings.HasSuffix(out, "\n") {
			return
		}
	}
}

const birdHello = "0001 BIRD 2.0.12 ready.\n"
