package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
)

// sharedFor is how long an answer is given to all who ask. So however many ask, the
// engine is asked no more often, and only one copy of the answer is in memory.
const sharedFor = 200 * time.Millisecond

// shared makes a value once for all who ask within sharedFor. Who asks while it is
// being made waits for it.
type shared[T any] struct {
	make func() (T, error)

	mu    sync.Mutex // held while the value is made: only one does
	made  time.Time  // zero: there is none
	value T
}

// get returns the value, made anew if it is too old. An error is not kept.
func (s *shared[T]) get() (T, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.made.IsZero() || time.Since(s.made) >= sharedFor {
		return s.renew()
	}
	return s.value, nil
}

// fresh returns a value that is newer than whatever happened before the call.
func (s *shared[T]) fresh() (T, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.renew()
}

// forget has the next who asks get a value that is newer than whatever happened before
// the call.
func (s *shared[T]) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made = time.Time{}
}

func (s *shared[T]) renew() (T, error) {
	value, err := s.make()
	if err != nil {
		s.made = time.Time{}
		return value, err
	}
	s.value, s.made = value, time.Now()
	return value, nil
}

// page is an answer as it is sent.
type page struct {
	header http.Header
	body   []byte
}

func (p page) send(w http.ResponseWriter) {
	maps.Copy(w.Header(), p.header)
	w.Header().Set("Content-Length", strconv.Itoa(len(p.body)))
	_, _ = w.Write(p.body) // the one who asked has gone: nobody to be told
}

// snapshot is the status, and the page that shows it.
type snapshot struct {
	status api.Status
	page   page
}

// statusSnapshots makes snapshots of what the function returns.
func statusSnapshots(status func() (api.Status, error)) *shared[snapshot] {
	return &shared[snapshot]{make: func() (snapshot, error) {
		s, err := status()
		if err != nil {
			return snapshot{}, err
		}
		body, err := json.MarshalIndent(s, "", "  ")
		if err != nil {
			return snapshot{}, err
		}
		header := http.Header{"Content-Type": {"application/json"}}
		return snapshot{s, page{header, append(body, '\n')}}, nil
	}}
}

// metricsForm is a form in which the metrics can be had.
type metricsForm struct{ openMetrics, gzip bool }

// formOf returns the form that a request asks for. There are four, whatever requests
// ask for, so there are no more than four pages in memory.
func formOf(r *http.Request) metricsForm {
	accept := r.Header.Get("Accept")
	return metricsForm{
		openMetrics: strings.Contains(accept, "application/openmetrics-text") && strings.Contains(accept, "version=1.0.0"),
		gzip:        strings.Contains(r.Header.Get("Accept-Encoding"), "gzip"),
	}
}

// request asks for the form in the words of HTTP.
func (f metricsForm) request() *http.Request {
	r := &http.Request{Method: http.MethodGet, Header: http.Header{}}
	if f.openMetrics {
		r.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	}
	if f.gzip {
		r.Header.Set("Accept-Encoding", "gzip")
	}
	return r
}

// metricsPages makes a page of the metrics for each form.
func metricsPages(metrics prometheus.Gatherer) map[metricsForm]*shared[page] {
	handler := promhttp.HandlerFor(metrics, promhttp.HandlerOpts{EnableOpenMetrics: true})
	pages := map[metricsForm]*shared[page]{}
	for _, f := range []metricsForm{{}, {openMetrics: true}, {gzip: true}, {openMetrics: true, gzip: true}} {
		pages[f] = &shared[page]{make: func() (page, error) {
			w := &recorder{header: http.Header{}}
			handler.ServeHTTP(w, f.request())
			return page{w.header, w.Bytes()}, w.err()
		}}
	}
	return pages
}

// recorder keeps an answer instead of sending it.
type recorder struct {
	bytes.Buffer // the body
	header       http.Header
	code         int
}

// Header returns the header, to be set.
func (r *recorder) Header() http.Header { return r.header }

// WriteHeader keeps the code.
func (r *recorder) WriteHeader(code int) { r.code = code }

// err returns the text of an answer that is none.
func (r *recorder) err() error {
	if r.code == 0 || r.code == http.StatusOK {
		return nil
	}
	return errors.New(strings.TrimSpace(r.String()))
}
