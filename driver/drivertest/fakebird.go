package drivertest

import (
	"bufio"
	"net"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// FakeBIRD answers each command on its socket by what answer returns; an answer
// without a line end is followed by hanging up. It stops with the test.
type FakeBIRD struct {
	net.Listener
	Bytes  atomic.Bool // what it says comes byte by byte
	Socket string
	answer func(n int, command string) string // n counts the connections
	done   chan struct{}
}

// NewFakeBIRD starts one. The banner is what it answers to the empty command.
func NewFakeBIRD(t testing.TB, answer func(n int, command string) string) *FakeBIRD {
	t.Helper()
	socket := filepath.Join(SocketDir(t), "bird.ctl")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	f := &FakeBIRD{Listener: l, Socket: socket, answer: answer, done: make(chan struct{})}
	go f.serve()
	t.Cleanup(f.Stop)
	return f
}

// Stop closes the socket, and waits until those who are connected have left.
func (f *FakeBIRD) Stop() {
	f.Close()
	<-f.done
}

func (f *FakeBIRD) serve() {
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

func (f *FakeBIRD) talk(n int, conn net.Conn) {
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
func (f *FakeBIRD) say(conn net.Conn, out string) bool {
	step := max(len(out), 1)
	if f.Bytes.Load() {
		step = 1
	}
	for part := range slices.Chunk([]byte(out), step) {
		if _, err := conn.Write(part); err != nil {
			return false
		}
		runtime.Gosched() // so that the other side reads it by itself
	}
	return strings.HasSuffix(out, "\n")
}

// BIRDHello is the banner of a BIRD.
const BIRDHello = "0001 BIRD 2.0.12 ready.\n"
