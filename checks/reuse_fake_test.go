package checks

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// mood is how a server treats a request.
type mood int

const (
	treatsWell  mood = iota
	treatsIll        // it answers, but not well
	keepsSilent      // it does not answer
	hangsUp          // it ends the connection instead
	answersOnce      // well, and ends where it has answered before
)

// fickle is the listener of a server that counts its connections, and the mood of that server.
// One on which nothing is asked does not count. Over HTTP/2 without TLS net/http makes such
// ones: it does not find the one that it has just used if it is asked again right away.
type fickle struct {
	net.Listener
	mu     sync.Mutex
	mood   mood
	made   int
	open   map[string]net.Conn // by the address of the client
	asked  map[string]bool     // by the same
	served map[string]bool     // has had an answer, by the same
}

func newFickle(t *testing.T) *fickle {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return &fickle{Listener: l, open: map[string]net.Conn{}, asked: map[string]bool{}, served: map[string]bool{}}
}

// fickleConn is a connection that tells its listener of its end.
type fickleConn struct {
	net.Conn
	of *fickle
}

func (f *fickle) Accept() (net.Conn, error) {
	conn, err := f.Listener.Accept()
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open[conn.RemoteAddr().String()] = conn
	return fickleConn{conn, f}, nil
}

func (c fickleConn) Close() error {
	c.of.mu.Lock()
	client := c.RemoteAddr().String()
	delete(c.of.open, client)
	delete(c.of.asked, client)
	delete(c.of.served, client)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// is changes the mood.
func (f *fickle) is(now mood) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mood = now
}

// hangUp ends all connections.
func (f *fickle) hangUp() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, conn := range f.open {
		conn.Close()
	}
}

// treats returns how to treat a request of a client: well, ill or by silence. It has
// ended the connection if that is the mood.
func (f *fickle) treats(client string) mood {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.asked[client] {
		f.made++
	}
	f.asked[client] = true
	if f.mood == hangsUp || f.mood == answersOnce && f.served[client] {
		f.open[client].Close()
		return keepsSilent
	}
	f.served[client] = true
	if f.mood == answersOnce {
		return treatsWell
	}
	return f.mood
}

// wants compares on how many new connections something was asked since it was asked last.
func (f *fickle) wants(t *testing.T, made int) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.made != made {
		t.Errorf("%d connections were made, want %d", f.made, made)
	}
	f.made = 0
}

// wantsNone waits until no connection is left.
func (f *fickle) wantsNone(t *testing.T) {
	t.Helper()
	drivertest.Eventually(t, "all connections ended", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.open) == 0
	})
}

// serveHTTP has a handler answer on the listener; protocol is tls, h2 (over TLS), h2c or "".
func (f *fickle) serveHTTP(t *testing.T, protocol string, h http.HandlerFunc) {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch f.treats(r.RemoteAddr) {
		case treatsWell:
			h(w, r)
		case treatsIll:
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			_, _ = io.Copy(io.Discard, r.Body) // else the end of the connection is not seen
			<-r.Context().Done()
		}
	}))
	s.Listener.Close()
	s.Listener = f
	s.EnableHTTP2 = protocol == "h2"
	switch protocol {
	case "h2", "tls":
		s.StartTLS()
	case "h2c":
		s.Config.Protocols = new(http.Protocols)
		s.Config.Protocols.SetUnencryptedHTTP2(true)
		fallthrough
	default:
		s.Start()
	}
	t.Cleanup(s.Close)
}

// serveDNS has zone answer on the listener, over TLS or not.
func (f *fickle) serveDNS(t *testing.T, secure bool) {
	t.Helper()
	var l net.Listener = f
	if secure {
		donor, _ := secureServer(t, http.NotFoundHandler(), nil)
		l = tls.NewListener(f, &tls.Config{Certificates: donor.TLS.Certificates})
	}
	serveDNSBy(t, l, func(w dns.ResponseWriter, q *dns.Msg) {
		switch f.treats(w.RemoteAddr().String()) {
		case treatsWell:
			zone(w, q)
		case treatsIll:
			_ = w.WriteMsg(new(dns.Msg).SetRcode(q, dns.RcodeServerFailure)) // the client may be gone
		}
	})
}

// serveDNSBy has a handler answer on a listener.
func serveDNSBy(t *testing.T, l net.Listener, h dns.HandlerFunc) {
	t.Helper()
	ready, ended := make(chan struct{}), make(chan error, 1)
	s := &dns.Server{Listener: l, Handler: h, IdleTimeout: func() time.Duration { return time.Minute }, NotifyStartedFunc: func() { close(ready) }}
	go func() { ended <- s.ActivateAndServe() }()
	<-ready
	t.Cleanup(func() { s.Shutdown(); <-ended })
}
