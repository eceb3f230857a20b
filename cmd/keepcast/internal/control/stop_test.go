package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
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

// ask sends a request for a page and returns the code and the body of the answer, or why
// there is none.
func (p *pipes) ask(path string) (int, string, error) {
	server, client := net.Pipe()
	defer client.Close()
	p.dialed <- server
	if _, err := io.WriteString(client, "GET "+path+" HTTP/1.1\r\nHost: keepcast\r\n\r\n"); err != nil {
		return 0, "", err
	}
	resp, err := http.ReadResponse(bufio.NewReader(client), nil)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

// askStatus asks for the status and returns the code of the answer, or why there is none.
func (p *pipes) askStatus() (int, error) {
	code, _, err := p.ask("/v1/status")
	return code, err
}

// status returns the status.
func (p *pipes) status(t *testing.T) (s api.Status) {
	t.Helper()
	_, body, err := p.ask("/v1/status")
	if err == nil {
		err = json.Unmarshal([]byte(body), &s)
	}
	if err != nil {
		t.Error(err)
	}
	return s
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

// serving runs Serve and returns how to stop it, and what is closed when it has ended.
func serving(s *Server) (stop func(), ended <-chan struct{}) {
	ctx, stop := context.WithCancel(context.Background())
	out := make(chan struct{})
	if s.Metrics == nil {
		s.Metrics = prometheus.NewRegistry()
	}
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	go func() {
		defer close(out)
		s.Serve(ctx)
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
				stop, ended := serving(&Server{Engine: e, Socket: socket})
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
				<-ended
			})
		})
	}
}

// A server that failed took all of keepcast along, and with it the announcements of a host
// whose services were fit: now it is served anew, and the other one goes on.
func TestServeFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		socket, web, again, third := newPipes(), newPipes(), newPipes(), newPipes()
		web.fails, again.fails = errors.New("accept: too many open files"), errors.New("accept: no buffer space")
		e := &fakeEngine{}
		var log drivertest.Buffer
		stop, ended := serving(&Server{
			Engine: e, Socket: socket, OpenWeb: opens(web, again, third), Address: ":9911",
			Log: slog.New(slog.NewTextHandler(&log, nil)),
		})
		web.close()
		synctest.Wait()
		want := []driver.Finding{{
			Name: "not-listening", Level: driver.LevelWarning, Subject: "listen :9911",
			Text: "no /metrics, /healthz, /readyz and /v1/status there: accept: too many open files",
			Fix:  "it is tried again; correct listen and systemctl restart keepcast if the address is wrong",
		}}
		if d := cmp.Diff(want, socket.status(t).Findings); d != "" {
			t.Error(d)
		}
		time.Sleep(firstRetry)
		if got := again.status(t).Findings; got != nil {
			t.Errorf("still found: %v", got)
		}
		again.close()
		time.Sleep(firstRetry)
		if got := third.status(t).Findings; got != nil {
			t.Errorf("still found: %v", got)
		}
		if got := strings.Count(log.String(), "\n"); got != 4 {
			t.Errorf("%d lines are logged, want one for each failure and one for its end:\n%s", got, log.String())
		}
		stop()
		<-ended
	})
}
