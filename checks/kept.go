package checks

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"

	"github.com/keepcast/keepcast/checks/health"
)

// kept is what a check keeps for its next run: the connections that it made, and over HTTP the
// transport that they are of. The zero kept has none yet, and a nil one keeps none.
type kept struct {
	mu        sync.Mutex
	transport *http.Transport
	conns     []net.Conn
	since     time.Time // when the first of them was to be made
	device    string    // the network device that they are bound to
	ended     int       // how many sockets that waited for clients had ended by then
}

const (
	// keptFor bounds for how long what only a new connection shows is not seen: an address
	// that a name has now, a certificate that has run out.
	keptFor = time.Minute
	// mostKept bounds how many connections are known: a server may have ended most of them.
	mostKept = 16
	// finishIn is how long a run may take longer so that its connection serves the next one.
	finishIn = 50 * time.Millisecond
)

// renew ends connections that are of another time, under the lock. The guard is asked as if
// the others were new. A service that is in another VRF by now is asked there, and one of
// which a socket was closed since is asked whether it accepts anybody.
func (k *kept) renew(ctx context.Context) error {
	name, err := device(ctx)
	if err != nil {
		return health.Void(err)
	}
	ended := 0
	if f := follower(ctx); f != nil {
		ended = f.Ended()
	}
	if k.device != name || k.ended != ended || time.Since(k.since) > keptFor || len(k.conns) > mostKept {
		k.close()
	}
	for _, conn := range k.conns {
		if to, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
			if err := guarded(ctx, to.AddrPort().Addr().Unmap()); err != nil {
				return health.Void(err)
			}
		}
	}
	if len(k.conns) == 0 {
		k.since, k.device, k.ended = time.Now(), name, ended
	}
	return nil
}

// take returns the transport of the run before, or a new one.
func (k *kept) take(ctx context.Context, w wire) (*http.Transport, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.renew(ctx); err != nil {
		return nil, err
	}
	if k.transport == nil {
		w.keep = k.keep
		k.transport = w.transport()
	}
	return k.transport, nil
}

// conn returns the connection of the run before; nil if there is none.
func (k *kept) conn(ctx context.Context) (net.Conn, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.renew(ctx); err != nil || len(k.conns) == 0 {
		return nil, err
	}
	return k.conns[0], nil
}

// keep notes a connection that was made.
func (k *kept) keep(conn net.Conn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.conns = append(k.conns, conn)
}

// after takes the error of a run and returns it. A run that failed keeps nothing.
func (k *kept) after(err error) error {
	if err != nil {
		k.drop()
	}
	return err
}

// drop ends the connections, so that the next run makes a new one.
func (k *kept) drop() {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.close()
}

// close is drop under the lock. The library alone would leave those that it takes for busy.
func (k *kept) close() {
	if k.transport != nil {
		k.transport.CloseIdleConnections()
	}
	for _, conn := range k.conns {
		_ = conn.Close()
	}
	k.transport, k.conns = nil, nil
}

// over returns how a run asks over HTTP: by what is kept, or else by connections of its own.
func (k *kept) over(w wire, reuse bool) http.RoundTripper {
	if !reuse {
		return w.transport()
	}
	return renewing{k, w}
}

// renewing asks over a kept connection. The server may end that at any time. If it does so
// before an answer begins, it is asked again over a new one, once, which has the last word.
// net/http by itself does so for some methods only, and over HTTP/2 only where the server says
// goodbye.
type renewing struct {
	kept *kept
	wire wire
}

// RoundTrip implements http.RoundTripper, for requests that may be sent twice.
func (r renewing) RoundTrip(req *http.Request) (*http.Response, error) {
	var old atomic.Bool // the connection served a request before
	watched := httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		GotConn: func(i httptrace.GotConnInfo) { old.Store(i.Reused) },
	})
	resp, err := r.once(req.WithContext(watched))
	if err == nil || !old.Load() || req.Context().Err() != nil {
		return resp, err
	}
	r.kept.drop()
	again := *req
	if req.GetBody != nil {
		if again.Body, err = req.GetBody(); err != nil {
			return nil, err
		}
	}
	return r.once(&again)
}

// once asks over what is kept now.
func (r renewing) once(req *http.Request) (*http.Response, error) {
	transport, err := r.kept.take(req.Context(), r.wire)
	if err != nil {
		return nil, err
	}
	return transport.RoundTrip(req)
}

// finish has the connection serve the next run: for that the body has to be read to its end.
// A body that is long, or that does not end soon, ends the connection.
func finish(resp *http.Response) {
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return // it has no end
	}
	late := time.AfterFunc(finishIn, func() { resp.Body.Close() })
	defer late.Stop()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxBody))
}

type runKey struct{}

// withRun returns the context of a run until its end, by which a dial finds that of the run it
// is for. net/http has the dial outlive the request else, to serve the next one.
func withRun(ctx context.Context) (run context.Context, end context.CancelFunc) {
	ctx, end = context.WithCancel(ctx)
	return context.WithValue(ctx, runKey{}, ctx), end
}

// runOf returns the context of the run that a dial is for, see withRun.
func runOf(dialing context.Context) context.Context {
	run, _ := dialing.Value(runKey{}).(context.Context)
	return run
}
