package control

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
)

// answer is what of an answer scripts and monitoring rely on.
type answer struct {
	Code  int
	Type  string // of the content
	Allow string // the methods that there are, if this one is not
	Body  string
}

const (
	plainText = "text/plain; charset=utf-8"
	asJSON    = "application/json"
)

// ask sends one request to a handler.
func ask(h http.Handler, method, path, body string) answer {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	return answer{w.Code, w.Header().Get("Content-Type"), w.Header().Get("Allow"), w.Body.String()}
}

// statusText is that of a small engine, as a machine is sent it.
const statusText = `{
  "version": "1.2.3",
  "started": "0001-01-01T00:00:00Z",
  "stopping": false,
  "config": {
    "files": null,
    "loaded": "0001-01-01T00:00:00Z"
  },
  "services": null,
  "drivers": null
}
`

// Each question has its answer, whoever asks; commands are for the control socket.
func TestAnswers(t *testing.T) {
	e := &fakeEngine{status: api.Status{Version: "1.2.3"}, checked: []api.CheckedNow{{Service: "dns", CheckStatus: api.CheckStatus{
		Name: "answers", Kind: "dns", OnFailure: "withdraw", Verdict: health.Up, LastRun: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Seconds: 0.5,
	}, InARow: 3, Takes: 3}}}
	none := prometheus.NewRegistry()
	web, socket := newHandlers(e, none).readOnly(), commandsOf(e)
	notFound := answer{404, plainText, "", "404 page not found\n"}
	readOnly := answer{405, plainText, "GET, HEAD", "Method Not Allowed\n"}
	for name, tt := range map[string]struct {
		to           http.Handler
		method, path string
		want         answer
	}{
		"healthz":            {web, "GET", "/healthz", answer{200, plainText, "", "ok\n"}},
		"readyz":             {web, "GET", "/readyz", answer{200, plainText, "", "ok\n"}},
		"status":             {web, "GET", "/v1/status", answer{200, asJSON, "", statusText}},
		"what there is":      {web, "GET", "/", answer{200, plainText, "", "keepcast: /metrics /healthz /readyz /v1/status\n"}},
		"unknown":            {web, "GET", "/v1/statuss", notFound},
		"status is read":     {web, "POST", "/v1/status", readOnly},
		"no command":         {web, "POST", "/v1/reload", notFound},
		"socket: readyz":     {socket, "GET", "/readyz", answer{200, plainText, "", "ok\n"}},
		"socket: status":     {socket, "GET", "/v1/status", answer{200, asJSON, "", statusText}},
		"socket: unknown":    {socket, "POST", "/v1/drian", readOnly},
		"socket: not posted": {socket, "PUT", "/v1/drain", answer{405, plainText, "GET, HEAD, POST", "Method Not Allowed\n"}},
		"socket: drain":      {socket, "POST", "/v1/drain", answer{200, asJSON, "", statusText}},
		"socket: resume":     {socket, "POST", "/v1/resume", answer{200, asJSON, "", statusText}},
		"socket: check":      {socket, "POST", "/v1/check-now", answer{200, asJSON, "", `{"checks":[{"service":"dns","name":"answers","kind":"dns","on_failure":"withdraw","verdict":"up","last_run":"2026-01-01T00:00:00Z","seconds":0.5,"in_a_row":3,"takes":3}]}` + "\n"}},
		"socket: report":     {socket, "POST", "/v1/report", answer{200, asJSON, "", "{}\n"}},
		"web: report":        {web, "POST", "/v1/report", notFound},
		"socket: reload":     {socket, "POST", "/v1/reload", answer{200, asJSON, "", statusText}},
	} {
		t.Run(name, func(t *testing.T) {
			body := "{}"
			if tt.path == "/v1/drain" || tt.path == "/v1/resume" || tt.path == "/v1/check-now" {
				body = `{"all": true}`
			}
			if d := cmp.Diff(tt.want, ask(tt.to, tt.method, tt.path, body)); d != "" {
				t.Error(d)
			}
		})
	}
}

// An engine that has ended is told from one that is not fit: probes of a cluster and
// load balancers go by the code.
func TestAnswersOfStopped(t *testing.T) {
	e := &fakeEngine{err: api.ErrStopped}
	h := commandsOf(e)
	for path, code := range map[string]int{
		"GET /healthz": 503, "GET /readyz": 503, "GET /v1/status": 503,
		"POST /v1/drain": 409, "POST /v1/resume": 409, "POST /v1/reload": 409, "POST /v1/check-now": 409, "POST /v1/report": 409,
	} {
		t.Run(path, func(t *testing.T) {
			method, path, _ := strings.Cut(path, " ")
			want := answer{code, asJSON, "", `{"error":"keepcast is stopping"}` + "\n"}
			body := `{"all": true}`
			if path == "/v1/reload" || path == "/v1/report" {
				body = "null"
			}
			if d := cmp.Diff(want, ask(h, method, path, body)); d != "" {
				t.Error(d)
			}
		})
	}
}

// A change that is on its way does not make keepcast less ready, an error does.
func TestReady(t *testing.T) {
	for name, tt := range map[string]struct {
		driver api.DriverStatus
		code   int
		body   string
	}{
		"in sync": {api.DriverStatus{InSync: true}, 200, "ok\n"},
		"pending": {api.DriverStatus{Since: time.Unix(1, 0)}, 200, "ok\n"},
		"error":   {api.DriverStatus{Since: time.Unix(1, 0), Error: "refused"}, 503, `{"error":"frr is not in sync: refused"}` + "\n"},
		"not yet": {api.DriverStatus{}, 503, `{"error":"frr is not in sync: nothing is applied yet"}` + "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			tt.driver.Name = "frr"
			e := &fakeEngine{status: api.Status{Drivers: []api.DriverStatus{{Name: "kernel", InSync: true}, tt.driver}}}
			got := ask(newHandlers(e, prometheus.NewRegistry()).readOnly(), "GET", "/readyz", "")
			if got.Code != tt.code || got.Body != tt.body {
				t.Errorf("got %d %s, want %d %s", got.Code, got.Body, tt.code, tt.body)
			}
		})
	}
}

// Nobody fills the memory of keepcast by way of its socket.
func TestBodyLimit(t *testing.T) {
	e := &fakeEngine{}
	h := commandsOf(e)
	const around = `{"all":true,"reason":""}`
	body := func(size int) string {
		return strings.Replace(around, `""`, `"`+strings.Repeat("x", size-len(around))+`"`, 1)
	}
	if got := ask(h, "POST", "/v1/drain", body(1<<20)); got.Code != 200 {
		t.Errorf("1 MiB: got %+v", got)
	}
	want := answer{400, asJSON, "", `{"error":"request: http: request body too large"}` + "\n"}
	if d := cmp.Diff(want, ask(h, "POST", "/v1/drain", body(1<<20+1))); d != "" {
		t.Error(d)
	}
	if len(e.orders) != 1 {
		t.Errorf("%d orders were carried out", len(e.orders))
	}
}
