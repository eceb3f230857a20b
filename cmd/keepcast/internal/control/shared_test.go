package control

import (
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
)

// What is shared is made anew when it is too old, when asked, and after an error.
func TestShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		made := 0
		var fails error
		s := &shared[int]{make: func() (int, error) { made++; return made, fails }}
		wants := func(what string, take func() (int, error), want int) {
			t.Helper()
			if got, err := take(); got != want || !errors.Is(err, fails) {
				t.Errorf("%s: got %d, %v, want %d, %v", what, got, err, want, fails)
			}
		}
		wants("first", s.get, 1)
		time.Sleep(sharedFor - 1)
		wants("soon", s.get, 1)
		time.Sleep(time.Nanosecond)
		wants("later", s.get, 2)
		wants("after a command", s.fresh, 3)
		wants("then", s.get, 3)
		s.forget()
		wants("forgotten", s.get, 4)
		time.Sleep(sharedFor)
		fails = errors.New("stopped")
		wants("fails", s.get, 5)
		wants("fails still", s.get, 6)
		fails = nil
		wants("works again", s.get, 7)
		fails = errors.New("stopped")
		wants("a command fails", s.fresh, 8)
		fails = nil
		wants("after it", s.get, 9)
	})
}

// Who has given a command sees what it did, and not a status that was made for others just
// before: a script that drains and then looks would go on too early, or never.
func TestFreshAfterCommand(t *testing.T) {
	e := &fakeEngine{status: api.Status{Version: "before"}}
	h := commandsOf(e)
	shows := func(method, path, body, want string) {
		t.Helper()
		if got := ask(h, method, path, body); !strings.Contains(got.Body, want) {
			t.Errorf("%s %s: got %+v, want %s", method, path, got, want)
		}
	}
	shows("GET", "/v1/status", "", `"version": "before"`)
	e.status.Version = "drained"
	shows("POST", "/v1/drain", `{"all": true}`, `"version": "drained"`)
	shows("GET", "/v1/status", "", `"version": "drained"`)
	e.status.Version, e.err = "drained, not saved", errors.New("done, but not saved")
	shows("POST", "/v1/drain", `{"all": true}`, `{"error":"done, but not saved"}`)
	e.err = nil
	shows("GET", "/v1/status", "", `"version": "drained, not saved"`)
	e.status.Version = "checked"
	shows("POST", "/v1/check-now", `{"all": true}`, `{"checks":`)
	shows("GET", "/v1/status", "", `"version": "checked"`)
}

// Each form of the metrics can be had, and is in what it says.
func TestMetricsForms(t *testing.T) {
	registry := prometheus.NewRegistry()
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: "keepcast_test", Help: "Test."})
	registry.MustRegister(gauge)
	h := newHandlers(&fakeEngine{}, registry).readOnly()
	const text, open = "text/plain; version=0.0.4", "application/openmetrics-text; version=1.0.0"
	for name, tt := range map[string]struct{ accept, encoding, content, ends string }{
		"anything":      {"", "", text, "keepcast_test 0\n"},
		"Prometheus 2":  {"application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5", "gzip", open, "keepcast_test 0.0\n# EOF\n"},
		"openmetrics":   {"application/openmetrics-text;version=1.0.0", "", open, "keepcast_test 0.0\n# EOF\n"},
		"zipped":        {"text/plain", "deflate, gzip", text, "keepcast_test 0\n"},
		"not had":       {"application/vnd.google.protobuf", "br", text, "keepcast_test 0\n"},
		"old prototype": {"application/openmetrics-text;version=0.0.1", "", text, "keepcast_test 0\n"},
	} {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
			r.Header.Set("Accept", tt.accept)
			r.Header.Set("Accept-Encoding", tt.encoding)
			h.ServeHTTP(w, r)
			var body io.Reader = w.Body
			if zipped := w.Header().Get("Content-Encoding") == "gzip"; zipped != strings.Contains(tt.encoding, "gzip") {
				t.Errorf("zipped: %v", zipped)
			} else if zipped {
				z, err := gzip.NewReader(w.Body)
				if err != nil {
					t.Fatal(err)
				}
				body = z
			}
			got, err := io.ReadAll(body)
			if err != nil || !strings.HasSuffix(string(got), tt.ends) || !strings.HasPrefix(w.Header().Get("Content-Type"), tt.content) {
				t.Errorf("got %s, %v: %s", w.Header().Get("Content-Type"), err, got)
			}
		})
	}
}

// Metrics that can't be had are an error, not an empty page that looks like a calm host.
func TestMetricsFail(t *testing.T) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(broken{})
	got := ask(newHandlers(&fakeEngine{}, registry).readOnly(), "GET", "/metrics", "")
	if got.Code != 500 || !strings.Contains(got.Body, "boom") {
		t.Errorf("got %+v", got)
	}
}

// broken is a collector whose metric can't be had.
type broken struct{}

// Describe describes nothing.
func (broken) Describe(chan<- *prometheus.Desc) {}

// Collect fails.
func (broken) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.NewInvalidMetric(prometheus.NewDesc("broken", "Broken.", nil, nil), errors.New("boom"))
}

// A supervisor that asks /healthz ended a keepcast that did its work, since somebody kept
// the status from being made: it is asked whether what decides turns, and nothing else.
func TestHealthzAsksNoStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &slowEngine{may: make(chan struct{})} // the status never comes
		h := newHandlers(e, prometheus.NewRegistry()).readOnly()
		if got := ask(h, "GET", "/healthz", ""); got.Code != 200 {
			t.Errorf("got %+v", got)
		}
		e.err = errors.New("has not decided anything for 12s")
		if got := ask(h, "GET", "/healthz", ""); got.Code != 503 || got.Body != `{"error":"has not decided anything for 12s"}`+"\n" {
			t.Errorf("got %+v", got)
		}
	})
}

// A page tells how long it is, so that one that is cut off is not taken for whole. A status
// that can't be had is an error.
func TestPages(t *testing.T) {
	w := httptest.NewRecorder()
	page{http.Header{"Content-Type": {"text/plain"}}, []byte("0123456789")}.send(w)
	if got := w.Result().Header; got.Get("Content-Length") != "10" || got.Get("Content-Type") != "text/plain" {
		t.Errorf("got %v", got)
	}
	if _, err := statusSnapshots(func() (api.Status, error) { return api.Status{}, api.ErrStopped }).get(); !errors.Is(err, api.ErrStopped) {
		t.Errorf("got %v", err)
	}
	// JSON has no words for it, see TestClientUnsaid.
	late := api.Status{Started: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}
	s, err := statusSnapshots(func() (api.Status, error) { return late, nil }).get()
	if err == nil || s.page.body != nil {
		t.Errorf("got %v, %q", err, s.page.body)
	}
}
