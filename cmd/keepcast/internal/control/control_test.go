package control

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
)

// fakeEngine remembers what it was told.
type fakeEngine struct {
	status api.Status
	err    error
	orders []string
}

func (e *fakeEngine) Status() (api.Status, error) { return e.status, e.err }

func (e *fakeEngine) Drain(services []string, until time.Time, reason string) error {
	e.orders = append(e.orders, "drain "+strings.Join(services, ",")+" "+reason)
	return e.err
}

func (e *fakeEngine) Resume(services []string) error {
	e.orders = append(e.orders, "resume "+strings.Join(services, ","))
	return e.err
}

func (e *fakeEngine) reload() error {
	e.orders = append(e.orders, "reload")
	return e.err
}

// served starts both servers and returns the client and the address of the web.
func served(t *testing.T, e *fakeEngine) (client Client, web string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run", "keepcast.sock")
	socket, err := Listen(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- Serve(ctx, e, e.reload, prometheus.NewRegistry(), slog.New(slog.DiscardHandler), socket, l)
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return Client{path}, "http://" + l.Addr().String()
}

func TestCommands(t *testing.T) {
	e := &fakeEngine{status: api.Status{Version: "1.2.3"}}
	c, _ := served(t, e)
	if s, err := c.Status(t.Context()); err != nil || s.Version != "1.2.3" {
		t.Errorf("got %+v, %v", s, err)
	}
	if _, err := c.Drain(t.Context(), api.DrainRequest{Services: []string{"dns", "ldap"}, Reason: "CHG-1"}); err != nil {
		t.Error(err)
	}
	if _, err := c.Resume(t.Context(), nil); err != nil {
		t.Error(err)
	}
	if _, err := c.Reload(t.Context()); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"drain dns,ldap CHG-1", "resume ", "reload"}, e.orders); diff != "" {
		t.Error(diff)
	}
	e.err = errors.New(`no service "dsn" (running: dns)`)
	if _, err := c.Drain(t.Context(), api.DrainRequest{}); err == nil || err.Error() != e.err.Error() {
		t.Errorf("got %v, want the engine's own words", err)
	}
}

func TestSocketErrors(t *testing.T) {
	c, _ := served(t, &fakeEngine{})
	if _, err := Listen(t.Context(), c.Socket); err == nil || err.Error() != "control socket: "+c.Socket+" answers: another keepcast is running" {
		t.Errorf("got %v", err)
	}
	info, err := os.Stat(c.Socket)
	if err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("the socket has mode %v, %v", info.Mode(), err)
	}
	stale := filepath.Join(t.TempDir(), "stale.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false) // as after a SIGKILL
	l.Close()
	if _, err := (Client{stale}).Status(t.Context()); !errors.Is(err, ErrNotRunning) {
		t.Errorf("got %v", err)
	}
	again, err := Listen(t.Context(), stale)
	if err != nil {
		t.Fatalf("a stale socket is in the way: %v", err)
	}
	again.Close()
}

// TestReadOnly holds the web to answers: no command may come in there.
func TestReadOnly(t *testing.T) {
	e := &fakeEngine{status: api.Status{Drivers: []api.DriverStatus{{Name: "bird", InSync: true}}}}
	_, web := served(t, e)
	get := func(method, path string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, web+path, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/metrics": 200, "/v1/status": 200, "/": 200, "/nothing": 404} {
		if code, body := get(http.MethodGet, path); code != want {
			t.Errorf("%s: %d %s, want %d", path, code, body, want)
		}
	}
	for _, path := range []string{"/v1/drain", "/v1/resume"} {
		if code, _ := get(http.MethodPost, path); code != http.StatusNotFound {
			t.Errorf("POST %s: %d, want 404", path, code)
		}
	}
	if len(e.orders) != 0 {
		t.Errorf("orders came in by the web: %v", e.orders)
	}
	e.status.Drivers[0] = api.DriverStatus{Name: "bird", Error: "bird is not running"}
	if code, body := get(http.MethodGet, "/readyz"); code != 503 || body != `{"error":"bird is not in sync: bird is not running"}`+"\n" {
		t.Errorf("readyz: %d %s", code, body)
	}
	e.err = api.ErrStopped
	if code, _ := get(http.MethodGet, "/healthz"); code != 503 {
		t.Errorf("healthz: %d", code)
	}
}

func TestBadRequests(t *testing.T) {
	h := controlHandler(&fakeEngine{}, nil, prometheus.NewRegistry())
	for body, want := range map[string]string{
		"{":            `{"error":"request: unexpected EOF"}`,
		`{"all":true}`: `{"error":"request: json: unknown field \"all\""}`,
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/drain", strings.NewReader(body)))
		if got := strings.TrimSpace(w.Body.String()); w.Code != 400 || got != want {
			t.Errorf("%s: %d %s, want %s", body, w.Code, got, want)
		}
	}
}
