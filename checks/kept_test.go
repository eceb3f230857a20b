package checks

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/checks/sockets"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// counted is a website that counts the connections that are made to it.
type counted struct {
	*httptest.Server
	made atomic.Int64
	code atomic.Int64
}

func newCounted(t *testing.T, start func(*httptest.Server)) *counted {
	t.Helper()
	s := &counted{}
	s.code.Store(http.StatusOK)
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(int(s.code.Load()))
		_, _ = w.Write([]byte(strings.Repeat("x", 10_000)))
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.made.Add(1)
		}
	}
	start(s.Server)
	t.Cleanup(s.Close)
	return s
}

func (s *counted) check(t *testing.T) *HTTP {
	t.Helper()
	h := &HTTP{URL: s.URL, Reuse: true, kept: new(kept)}
	h.TLS.SkipVerify = true
	h.Codes = codes(t, "2xx")
	t.Cleanup(func() { _ = h.Close() })
	return h
}

func (s *counted) wants(t *testing.T, made int64) {
	t.Helper()
	if got := s.made.Load(); got != made {
		t.Errorf("%d connections were made, want %d", got, made)
	}
}

// A connection serves as many runs as succeed, over HTTP/1.1 and HTTP/2.
func TestReuse(t *testing.T) {
	for name, start := range map[string]func(*httptest.Server){
		"plain": (*httptest.Server).Start,
		"tls":   (*httptest.Server).StartTLS,
		"http2": func(s *httptest.Server) { s.EnableHTTP2 = true; s.StartTLS() },
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			s := newCounted(t, start)
			h := s.check(t)
			run := func() error { return h.Check(t.Context()) }
			for range 3 {
				if err := run(); err != nil {
					t.Fatal(err)
				}
			}
			s.wants(t, 1)
			s.code.Store(http.StatusServiceUnavailable)
			if err := run(); err == nil {
				t.Error("503 is fit")
			}
			s.wants(t, 1)
			s.code.Store(http.StatusOK)
			for range 2 {
				if err := run(); err != nil {
					t.Error(err)
				}
			}
			s.wants(t, 2) // a failure has the next run make a new one
			h.Reuse = false
			for range 2 {
				if err := run(); err != nil {
					t.Error(err)
				}
			}
			s.wants(t, 4)
		})
	}
}

// A server that ends the connections which it has is as fit as it was, and one that is gone
// is known to be.
func TestReuseServerEnds(t *testing.T) {
	s := newCounted(t, (*httptest.Server).Start)
	h := s.check(t)
	for want := range int64(3) {
		if err := h.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.wants(t, want+1)
		s.CloseClientConnections()
	}
	s.Close()
	if err := h.Check(t.Context()); err == nil || !strings.HasSuffix(err.Error(), "connection refused") {
		t.Errorf("got %v", err)
	}
}

// The guard is asked for each run, and another VRF has another connection.
func TestReuseGuarded(t *testing.T) {
	s := newCounted(t, (*httptest.Server).Start)
	h := s.check(t)
	elsewhere := error(nil)
	ctx := WithGuard(t.Context(), func(netip.Addr) error { return elsewhere })
	if err := h.Check(ctx); err != nil {
		t.Fatal(err)
	}
	elsewhere = errors.New("another host would answer")
	if err := h.Check(ctx); !health.IsVoid(err) || !errors.Is(err, elsewhere) {
		t.Errorf("got %v", err)
	}
	elsewhere = nil
	s.wants(t, 1)
	ctx = WithDevice(t.Context(), func() (string, error) { return "lo", nil })
	for range 2 {
		if err := h.Check(ctx); err != nil {
			t.Fatal(err)
		}
	}
	s.wants(t, 2)
	ctx = WithDevice(t.Context(), func() (string, error) { return "", errors.New("no buffer space") })
	if err := h.Check(ctx); !health.IsVoid(err) {
		t.Errorf("got %v", err)
	}
}

// A run that is over takes its connection attempt with it.
func TestReuseTimeout(t *testing.T) {
	noLeaks(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	h := &HTTP{URL: "https://" + l.Addr().String(), Reuse: true, kept: new(kept)}
	ctx, cancel := context.WithCancel(t.Context())
	closed := make(chan error, 1)
	go func() {
		conn, err := l.Accept() // and says nothing
		if err == nil {
			cancel()
			_, err = io.Copy(io.Discard, conn)
			conn.Close()
		}
		closed <- err
	}()
	if err := h.Check(ctx); err == nil {
		t.Error("it is fit")
	}
	if err := <-closed; err != nil { // and returns once the other side has closed
		t.Error(err)
	}
}

// A connection that the server has made something else of, or on which it does not end to
// answer, ends with the run.
func TestReuseUnended(t *testing.T) {
	noLeaks(t)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/switch" {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
				_, _ = io.Copy(io.Discard, conn)
				conn.Close()
			}
			return
		}
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	t.Cleanup(s.Close) // which waits for all connections to end
	for path, want := range map[string]string{"/switch": "101", "/stream": "200"} {
		h := &HTTP{URL: s.URL + path, Reuse: true, Codes: codes(t, want), kept: new(kept)}
		h.Headers = map[string]string{"Connection": "Upgrade", "Upgrade": "x"}
		for range 3 {
			if err := h.Check(t.Context()); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A server that hangs is not left with a connection of each run.
func TestReuseHangs(t *testing.T) {
	noLeaks(t)
	open := map[string]bool{}
	var mu sync.Mutex
	s := newCounted(t, func(s *httptest.Server) {
		s.EnableHTTP2 = true
		s.Config.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		s.Config.ConnState = func(c net.Conn, state http.ConnState) {
			mu.Lock()
			defer mu.Unlock()
			open[c.RemoteAddr().String()] = state != http.StateClosed
		}
		s.StartTLS()
	})
	h := s.check(t)
	for range 10 {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		if err := h.Check(ctx); err == nil {
			t.Error("it is fit")
		}
		cancel()
	}
	drivertest.Eventually(t, "all connections ended", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return !slices.Contains(slices.Collect(maps.Values(open)), true)
	})
}

// What only a new connection shows is seen after a while, and when a socket was closed on
// which the service accepted.
func TestReuseNotForEver(t *testing.T) {
	s := newCounted(t, (*httptest.Server).Start)
	h := s.check(t)
	watch := sockets.New(func(netip.Addr) error { return nil })
	f := watch.Follow(func() {})
	t.Cleanup(f.Close)
	ctx := WithFollower(t.Context(), f)
	run := func(made int64) {
		t.Helper()
		for range 2 {
			if err := h.Check(ctx); err != nil {
				t.Error(err)
			}
		}
		s.wants(t, made)
	}
	run(1)
	h.kept.since = time.Now().Add(-keptFor - time.Second)
	run(2)
	h.kept.ended--
	run(3)
	for range mostKept {
		h.kept.keep(h.kept.conns[0])
	}
	run(4)
}

// The guard is asked for the address of a connection, whatever name it was made by.
func TestReuseGuardsNames(t *testing.T) {
	s := newCounted(t, (*httptest.Server).Start)
	h := s.check(t)
	h.URL = strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
	elsewhere := error(nil)
	ctx := WithGuard(t.Context(), func(netip.Addr) error { return elsewhere })
	if err := h.Check(ctx); err != nil {
		t.Fatal(err)
	}
	elsewhere = errors.New("another host would answer")
	err := h.Check(ctx)
	if want := "GET " + h.URL + ": another host would answer"; !health.IsVoid(err) || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
