package control

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// countingEngine counts how often it is asked, by requests and by scrapes.
type countingEngine struct {
	fakeEngine
	asked, scraped atomic.Int64
}

func (e *countingEngine) Status() (api.Status, error) {
	e.asked.Add(1)
	return e.fakeEngine.Status()
}

// Describe describes nothing: what comes is not checked.
func (e *countingEngine) Describe(chan<- *prometheus.Desc) {}

// Collect counts a scrape.
func (e *countingEngine) Collect(chan<- prometheus.Metric) { e.scraped.Add(1) }

// 500 clients of a host that asked for the status in a loop held up a withdrawal by 5 s, and
// by 13 s where they asked for the metrics: each request asked what decides. However many
// ask, it is asked a few times a second.
func TestAskedByMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &countingEngine{}
		registry := prometheus.NewRegistry()
		registry.MustRegister(e)
		socket, web := newPipes(), newPipes()
		stop, ended := serving(&Server{Engine: e, Socket: socket, OpenWeb: opens(web), Metrics: registry})
		begun := time.Now()
		var clients sync.WaitGroup
		for i := range 500 {
			clients.Go(func() {
				for range 10 {
					for _, path := range []string{"/v1/status", "/readyz", "/metrics"} {
						if code, _, err := web.ask(path); code != 200 || err != nil {
							t.Errorf("%s: %d, %v", path, code, err)
						}
					}
					time.Sleep(50*time.Millisecond + time.Duration(i)*time.Microsecond)
				}
			})
		}
		clients.Wait()
		most := int64(time.Since(begun)/sharedFor) + 1
		if got := e.asked.Load(); got > most || got < 2 {
			t.Errorf("asked for the status %d times, want 2 to %d", got, most)
		}
		if got := e.scraped.Load(); got > most || got < 2 {
			t.Errorf("scraped %d times, want 2 to %d", got, most)
		}
		stop()
		<-ended
	})
}

// countingListener knows how many connections were held at once, at most.
type countingListener struct {
	net.Listener
	mu         sync.Mutex
	held, most int
}

func (l *countingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.add(1)
	return &countedConn{conn.(*net.TCPConn), sync.OnceFunc(func() { l.add(-1) })}, nil
}

func (l *countingListener) add(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held += n
	l.most = max(l.most, l.held)
}

func (l *countingListener) count() (held, most int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held, l.most
}

// countedConn has all methods of a TCP connection: keepcast bounds its buffer.
type countedConn struct {
	*net.TCPConn
	closed func()
}

func (c *countedConn) Close() error {
	defer c.closed()
	return c.TCPConn.Close()
}

// 1,000 connections of one local user, each with 20 requests whose answers he never read,
// took 1 GB and all descriptors of keepcast. They get 64 connections and share one answer,
// and commands get in.
func TestNeverRead(t *testing.T) {
	const clients, requests = 1000, 20
	e := &countingEngine{}
	e.status = api.Status{Version: strings.Repeat("x", 1<<20)} // more than the kernel takes off us, with so small a window:
	narrow := net.Dialer{Control: func(_, _ string, conn syscall.RawConn) (err error) {
		return errors.Join(conn.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 4096) }), err)
	}}
	socket, err := Listen(t.Context(), drivertest.SocketDir(t)+"/keepcast.sock")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	web := &countingListener{Listener: l}
	runs(t, &Server{Engine: e, Socket: socket, OpenWeb: opens(web)})
	for range clients {
		conn, err := narrow.DialContext(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := fmt.Fprint(conn, strings.Repeat("GET /v1/status HTTP/1.1\r\nHost: keepcast\r\n\r\n", requests)); err != nil {
			t.Fatal(err)
		}
	}
	drivertest.Eventually(t, "all slots are taken", func() bool { held, _ := web.count(); return held == webConnections })
	if _, err := (Client{Socket: socket.Addr().String()}).Drain(t.Context(), api.DrainRequest{All: true}); err != nil {
		t.Errorf("a drain meanwhile: %v", err)
	}
	if _, most := web.count(); most != webConnections {
		t.Errorf("%d connections at once, want %d", most, webConnections)
	}
	// Nobody makes an answer of his own: neither the connections nor their 20,000 requests.
	if got := e.asked.Load(); got > clients/2 {
		t.Errorf("asked for the status %d times", got)
	}
}

// All who ask get one and the same page, not a copy each.
func TestOnePage(t *testing.T) {
	s := statusSnapshots((&fakeEngine{}).Status)
	first, err := s.get()
	if err != nil {
		t.Fatal(err)
	}
	second, err := s.get()
	if err != nil {
		t.Fatal(err)
	}
	if &first.page.body[0] != &second.page.body[0] {
		t.Error("two pages are in memory")
	}
}

// Connections over the limit wait, and get in one after the other.
func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		l := limit(p, make(chan struct{}, 1))
		in := make(chan net.Conn)
		go func() {
			defer close(in)
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				in <- conn
			}
		}()
		for range 2 {
			go func() {
				server, client := net.Pipe()
				defer client.Close()
				select {
				case p.dialed <- server:
				case <-p.closed:
				}
			}()
		}
		first := <-in
		synctest.Wait()
		select {
		case <-in:
			t.Error("two are in")
		default:
		}
		first.Close()
		first.Close() // gives one slot back, not two
		second := <-in
		if got := len(l.slots); got != 1 {
			t.Errorf("%d slots are taken", got)
		}
		l.Close()
		l.Close()
		if _, ok := <-in; ok {
			t.Error("one got in after the end")
		}
		second.Close()
		if got := len(l.slots); got != 0 {
			t.Errorf("%d slots are taken at the end", got)
		}
	})
}
