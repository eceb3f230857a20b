package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
)

// fakeEngine remembers what it was told.
type fakeEngine struct {
	status api.Status
	err    error
	orders []string
	by     string // who gave the last order to drain

	checked []api.CheckedNow
}

func (e *fakeEngine) Status() (api.Status, error) { return e.status, e.err }

func (e *fakeEngine) Alive() error { return e.err }

func (e *fakeEngine) Drain(services []string, until time.Time, reason, by string) error {
	e.orders = append(e.orders, "drain "+strings.Join(services, ",")+" "+reason)
	e.by = by
	return e.err
}

func (e *fakeEngine) Resume(services []string) error {
	e.orders = append(e.orders, "resume "+strings.Join(services, ","))
	return e.err
}

func (e *fakeEngine) CheckNow(_ context.Context, names []string) ([]api.CheckedNow, error) {
	e.orders = append(e.orders, "check "+strings.Join(names, ","))
	return e.checked, e.err
}

func (e *fakeEngine) Report(r api.ReportRequest, _ string) error {
	e.orders = append(e.orders, fmt.Sprintf("report %s %t %gs %s", r.Check, r.Up, r.Seconds, r.Reason))
	return e.err
}

func (e *fakeEngine) reload(context.Context) error {
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
	runs(t, &Server{Engine: e, Reload: e.reload, Socket: socket, OpenWeb: opens(l)})
	return Client{Socket: path}, "http://" + l.Addr().String()
}

// runs has a server serve until the test has ended.
func runs(t *testing.T, s *Server) {
	t.Helper()
	stop, ended := serving(s)
	t.Cleanup(func() { stop(); <-ended })
}

// opens returns a function that opens the listeners, one after the other.
func opens(listeners ...net.Listener) func(context.Context) (net.Listener, error) {
	return func(context.Context) (net.Listener, error) {
		l := listeners[0]
		listeners = listeners[1:]
		return l, nil
	}
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
	if _, err := c.Resume(t.Context(), api.ResumeRequest{All: true}); err != nil {
		t.Error(err)
	}
	if _, err := c.Reload(t.Context()); err != nil {
		t.Error(err)
	}
	e.checked = []api.CheckedNow{
		{Service: "dns", CheckStatus: api.CheckStatus{Name: "answers", Verdict: health.Up, Seconds: 0.5}},
		{Service: "ldap", CheckStatus: api.CheckStatus{Name: "tcp", Verdict: health.Down, Error: "refused"}, Pending: true},
	}
	for _, r := range []api.CheckNowRequest{{All: true}, {Services: []string{"dns/answers", "ldap"}}} {
		answer, err := c.CheckNow(t.Context(), r)
		if diff := cmp.Diff(api.CheckNowAnswer{Checks: e.checked}, answer); diff != "" || err != nil {
			t.Errorf("%v\n%s", err, diff)
		}
	}
	if err := c.Report(t.Context(), api.ReportRequest{Check: "dns/push", Up: true, Seconds: 1.5, Reason: "CHG-2"}); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"drain dns,ldap CHG-1", "resume ", "reload", "check ", "check dns/answers,ldap", "report dns/push true 1.5s CHG-2"}, e.orders); diff != "" {
		t.Error(diff)
	}
	e.err = errors.New(`no service "dsn" (did you mean "dns"?)`)
	if _, err := c.Drain(t.Context(), api.DrainRequest{All: true}); err == nil || err.Error() != e.err.Error() {
		t.Errorf("got %v, want the engine's own words", err)
	}
}

func TestSocketErrors(t *testing.T) {
	c, _ := served(t, &fakeEngine{})
	if _, err := Listen(t.Context(), c.Socket); err == nil || err.Error() != "control socket: "+c.Socket+" answers: another keepcast is running (pid "+strconv.Itoa(os.Getpid())+")" {
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
	if _, err := (Client{Socket: stale}).Status(t.Context()); !errors.Is(err, ErrNotRunning) {
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
	for _, path := range []string{"/v1/drain", "/v1/resume", "/v1/check-now"} {
		if code, _ := get(http.MethodPost, path); code != http.StatusNotFound {
			t.Errorf("POST %s: %d, want 404", path, code)
		}
	}
	if len(e.orders) != 0 {
		t.Errorf("orders came in by the web: %v", e.orders)
	}
	e = &fakeEngine{status: api.Status{Drivers: []api.DriverStatus{{Name: "bird", Error: "bird is not running"}}}}
	_, web = served(t, e)
	if code, body := get(http.MethodGet, "/readyz"); code != 503 || body != `{"error":"bird is not in sync: bird is not running"}`+"\n" {
		t.Errorf("readyz: %d %s", code, body)
	}
	_, web = served(t, &fakeEngine{err: api.ErrStopped})
	if code, _ := get(http.MethodGet, "/healthz"); code != 503 {
		t.Errorf("healthz: %d", code)
	}
}

// commandsOf returns the handler of the control socket.
func commandsOf(e *fakeEngine) http.Handler {
	return newHandlers(e, prometheus.NewRegistry()).commands(e.reload, slog.New(slog.DiscardHandler))
}

// An order that was meant for one service, and whose name got lost on the way, drained all
// services of a host: "{}" meant everything. What is not understood is not carried out.
func TestBadRequests(t *testing.T) {
	e := &fakeEngine{}
	h := commandsOf(e)
	const unnamed = `{"error":"request: no service is named: give \"services\", or \"all\": true (a keepcast command older than this keepcast does not say so: use the newer one)"}`
	for _, tt := range []struct{ path, body, want string }{
		{"drain", "{", `{"error":"request: unexpected EOF"}`},
		{"drain", `{"everything":true}`, `{"error":"request: json: unknown field \"everything\""}`},
		{"drain", `{"services":["dns"]} {"services":["ldap"]}`, `{"error":"request: more than one value"}`},
		{"drain", `{}`, unnamed},
		{"drain", `null`, unnamed},
		{"drain", `{"services":[],"reason":"CHG-1"}`, unnamed},
		{"drain", `{"all":false}`, unnamed},
		{"drain", `{"services":["dns"],"all":true}`, `{"error":"request: either \"services\" or \"all\", not both"}`},
		{"drain", `{"all":true,"until":"2001-01-01T00:00:00Z"}`, `{"error":"request: until: 2001-01-01T00:00:00Z is over"}`},
		{"resume", `{}`, unnamed},
		{"resume", `{"services":["dns"],"all":true}`, `{"error":"request: either \"services\" or \"all\", not both"}`},
		{"resume", `{"all":true,"reason":"CHG-1"}`, `{"error":"request: json: unknown field \"reason\""}`},
		{"check-now", `{}`, unnamed},
		{"check-now", `{"services":["dns"],"all":true}`, `{"error":"request: either \"services\" or \"all\", not both"}`},
		{"check-now", `{"checks":["dns"]}`, `{"error":"request: json: unknown field \"checks\""}`},
		{"reload", `{"services":["dns"]}`, `{"error":"request: json: unknown field \"services\""}`},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/"+tt.path, strings.NewReader(tt.body)))
		if got := strings.TrimSpace(w.Body.String()); w.Code != 400 || got != tt.want {
			t.Errorf("%s %s: %d %s, want %s", tt.path, tt.body, w.Code, got, tt.want)
		}
	}
	if len(e.orders) > 0 {
		t.Errorf("carried out: %v", e.orders)
	}
}
