package drivertest

import (
	"bufio"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// VtyDone is the end of an answer whose command worked.
const VtyDone = "\x00\x00\x00\x00"

// VtyServer listens on a vty socket and answers with what Say returns; an empty
// answer ends the connection.
type VtyServer struct {
	listen net.Listener
	say    func(command string) string
	wg     sync.WaitGroup

	mu       sync.Mutex // guards what is below
	commands []string
	conns    []net.Conn
}

// NewVtyServer starts a server, which stops with the test.
func NewVtyServer(t *testing.T, path string, say func(command string) string) *VtyServer {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	f := &VtyServer{listen: l, say: say}
	f.wg.Go(f.serve)
	t.Cleanup(f.Stop)
	return f
}

func (f *VtyServer) serve() {
	for {
		conn, err := f.listen.Accept()
		if err != nil {
			return
		}
		f.mu.Lock()
		f.conns = append(f.conns, conn)
		f.mu.Unlock()
		f.wg.Go(func() { f.talk(conn) })
	}
}

func (f *VtyServer) talk(conn net.Conn) {
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
}

// Stop closes the socket and all connections.
func (f *VtyServer) Stop() {
	f.listen.Close()
	f.mu.Lock()
	for _, c := range f.conns {
		c.Close()
	}
	f.mu.Unlock()
	f.wg.Wait()
}

// Received returns the commands so far, with commas between them.
func (f *VtyServer) Received() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.commands, ",")
}

// Connected reports whether anybody ever connected.
func (f *VtyServer) Connected() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.conns) > 0
}
