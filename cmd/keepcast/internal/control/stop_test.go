package control

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
)

// pipes is a listener without a network, so that time can be that of a test.
type pipes struct {
	dialed chan net.Conn
	closed chan struct{}
	close  func()
	fails  error // what Accept returns at last
}

func newPipes() *pipes {
	closed := make(chan struct{})
	return &pipes{make(chan net.Conn), closed, sync.OnceFunc(func() { close(closed) }), net.ErrClosed}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.dialed:
		return conn, nil
	case <-p.closed:
		return nil, p.fails
	}
}

func (p *pipes) Close() error   { p.close(); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// askStatus asks for the status and returns the code of the answer, or why there is none.
func (p *pipes) askStatus() (int, error) {
	server, client := net.Pipe()
	defer client.Close()
	p.dialed <- server
	if _, err := io.WriteString(client, "GET /v1/status HTTP/1.1\r\nHost: keepcast\r\n\r\n"); err != nil {
		return 0, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(client), nil)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// slowEngine answers once it may.
type slowEngine struct {
	fakeEngine
	may chan struct{}
}

func (e *slowEngine) Status() (api.Status, error) {
	<-e.may
	return e.fakeEngine.Status()
}

// serving runs Serve and returns how to stop it, and what it returned.
func serving(e Engine, socket, web net.Listener) (stop func(), ended <-chan error) {
	ctx, stop := context.WithCancel(context.Background())
	out := make(chan error, 1)
	go func() {
		out <- Serve(ctx, e, nil, prometheus.NewRegistry(), slog.New(slog.DiscardHandler), socket, web)
	}()
	return stop, out
}

// Who has asked before a stop is still told, unless that takes longer than a second.
func TestStopUnderWay(t *testing.T) {
	for name, tt := range map[string]struct {
		answers time.Duration // after the stop
		code    int
		err     error
	}{
		"in time":  {900 * time.Millisecond, 200, nil},
		"too late": {2 * time.Second, 0, io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := &slowEngine{may: make(chan struct{})}
				socket := newPipes()
				stop, ended := serving(e, socket, nil)
				asked := make(chan struct{})
				go func() {
					defer close(asked)
					if code, err := socket.askStatus(); code != tt.code || !errors.Is(err, tt.err) {
						t.Errorf("got %d, %v, want %d, %v", code, err, tt.code, tt.err)
					}
				}()
				synctest.Wait()
				stop()
				time.Sleep(tt.answers)
				close(e.may)
				<-asked
				if err := <-ended; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A server that fails takes the other one along: keepcast ends, and systemd starts it
// again with both.
func TestServeFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		socket, web := newPipes(), newPipes()
		web.fails = errors.New("accept: too many open files")
		_, ended := serving(&fakeEngine{}, socket, web)
		web.close()
		if err := <-ended; err == nil || err.Error() != "control server: accept: too many open files" {
			t.Errorf("got %v", err)
		}
		<-socket.closed
	})
}
