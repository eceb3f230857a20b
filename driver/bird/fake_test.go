package bird

import (
	"bufio"
	"net"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// fakeBIRD answers each command on its socket by what answer returns; an answer
// without a line end is followed by hanging up.
type fakeBIRD struct {
	net.Listener
	answer func(n int, command string) string // n counts the connections
	bytes  atomic.Bool                        // what it says comes byte by byte
	done   chan struct{}
}

func newFakeBIRD(t *testing.T, answer func(n int, command string) string) (*fakeBIRD, *control) {
	t.Helper()
	socket := filepath.Join(drivertest.SocketDir(t), "bird.ctl")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeBIRD{Listener: l, answer: answer, done: make(chan struct{})}
	go f.serve()
	c := &control{socket: socket, timeout: 20 * time.Second}
	t.Cleanup(func() {
		c.close()
		l.Close()
		<-f.done
	})
	return f, c
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
	if !f.say(conn, f.answer(n, "")) {
		return
	}
	in := bufio.NewScanner(conn)
	for in.Scan() {
		if !f.say(conn, f.answer(n, in.Text())) {
			return
		}
	}
}

// say reports whether the talk goes on.
func (f *fakeBIRD) say(conn net.Conn, out string) bool {
	step := max(len(out), 1)
	if f.bytes.Load() {
		step = 1
	}
	for part := range slices.Chunk([]byte(out), step) {
		if _, err := conn.Write(part); err != nil {
			return false
		}
		runtime.Gosched() // so that the driver reads it by itself
	}
	return strings.HasSuffix(out, "\n")
}

const hello = "0001 BIRD 2.0.12 ready.\n"
