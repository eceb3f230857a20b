// Package control is how people and machines talk to the running keepcast: the
// unix socket of the commands, and the read-only HTTP server for metrics,
// health and status. However many clients there are, and whatever they do, they cost
// no more than a fixed number of connections and one copy of each answer.
package control

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/driver"
)

// Engine is what the servers ask. *engine.Engine is one.
type Engine interface {
	Status() (api.Status, error)
	// Alive returns nil while what decides does so, else since when it does not.
	Alive() error
	Drain(services []string, until time.Time, reason, by string) error
	Resume(services []string) error
	// CheckNow runs checks, each SERVICE or SERVICE/CHECK; none: all.
	CheckNow(ctx context.Context, names []string) ([]api.CheckedNow, error)
	// Report hands a check what somebody says of its service.
	Report(r api.ReportRequest, by string) error
}

// Server lets people and machines talk to the engine.
type Server struct {
	Engine  Engine
	Reload  func(context.Context) error // loads the configuration anew; who goes is not waited for
	Metrics prometheus.Gatherer
	Log     *slog.Logger
	Lock    *Lock        // kept while serving; nil: none
	Socket  net.Listener // of the commands, as Listen opened it
	// OpenSocket opens the control socket anew when its file is gone.
	OpenSocket func(context.Context) (net.Listener, error)
	// OpenWeb opens the read-only HTTP server at Address; nil: there is none.
	OpenWeb func(context.Context) (net.Listener, error)
	Address string // as configured
	// Found are what else the status is to tell of; each returns nil while there is nothing.
	Found []func() *driver.Finding
}

// The most connections at once. The control socket has its own, so that commands work
// while the HTTP server is flooded.
const (
	webConnections    = 64
	socketConnections = 32
)

// Connections returns how many clients may be in at once, with that setting of listen.
func Connections(listen string) int {
	if listen == "" {
		return socketConnections
	}
	return socketConnections + webConnections
}

// Serve serves until ctx is done. What it can't serve is a finding in the status; it
// tries again, and keepcast goes on without.
func (s *Server) Serve(ctx context.Context) {
	log := slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug)
	socket := &door{
		subject: "control socket", lost: socketLost, open: s.OpenSocket, slots: make(chan struct{}, socketConnections), log: s.Log,
		server: &http.Server{
			ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
			MaxHeaderBytes: maxHeader, ConnContext: withPeer, ErrorLog: log,
		},
	}
	web := &door{
		subject: "listen " + s.Address, lost: notListening(s.Address), open: s.OpenWeb, slots: make(chan struct{}, webConnections), log: s.Log,
		server: &http.Server{
			ReadHeaderTimeout: 2 * time.Second, ReadTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second,
			MaxHeaderBytes: maxHeader, ErrorLog: log,
		},
	}
	lock := &keeper{lock: s.Lock, log: s.Log}
	h := newHandlers(s.Engine, s.Metrics, append(found{socket.found, web.found, lock.found}, s.Found...)...)
	socket.server.Handler, web.server.Handler = h.commands(s.Reload, s.Log), h.readOnly()
	// One request a connection: who sends many and reads no answer has one slot for one.
	socket.server.SetKeepAlivesEnabled(false)
	web.server.SetKeepAlivesEnabled(false)
	var running sync.WaitGroup
	running.Go(func() { socket.serve(ctx, s.Socket) })
	if s.OpenWeb != nil {
		running.Go(func() { web.serve(ctx, nil) })
	}
	if s.Lock != nil {
		running.Go(func() { lock.keep(ctx) })
	}
	running.Wait()
}

// maxHeader bounds the header of a request. net/http adds 4 KiB to it.
const maxHeader = 4 << 10

// handlers answer the requests. What they show is shared by all who ask.
type handlers struct {
	engine    Engine
	snapshots *shared[snapshot]
	metrics   map[metricsForm]*shared[page]
	users     users
}

// newHandlers returns handlers that add what is found to status and metrics.
func newHandlers(e Engine, metrics prometheus.Gatherer, looks ...func() *driver.Finding) *handlers {
	found := found(looks)
	status := func() (api.Status, error) {
		s, err := e.Status()
		s.Findings = append(s.Findings, found.now()...)
		return s, err
	}
	return &handlers{engine: e, snapshots: statusSnapshots(status), metrics: metricsPages(found.with(metrics)), users: newUsers()}
}

// readOnly serves what anybody may read: /metrics, /healthz, /readyz, /v1/status.
func (h *handlers) readOnly() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		p, err := h.metrics[formOf(r)].get()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		p.send(w)
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if err := h.engine.Alive(); err != nil {
			problem(w, http.StatusServiceUnavailable, err)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { h.ready(w) })
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) { show(w, h.snapshots.get) })
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "keepcast: /metrics /healthz /readyz /v1/status")
	})
	return mux
}

// show sends the status.
func show(w http.ResponseWriter, take func() (snapshot, error)) {
	s, err := take()
	if err != nil {
		problem(w, http.StatusServiceUnavailable, err)
		return
	}
	s.page.send(w)
}

// ready tells whether the kernel and every daemon are in sync. A pending change counts
// as in sync.
func (h *handlers) ready(w http.ResponseWriter) {
	s, err := h.snapshots.get()
	if err != nil {
		problem(w, http.StatusServiceUnavailable, err)
		return
	}
	for _, d := range s.status.Drivers {
		if !d.InSync && !d.Pending() {
			problem(w, http.StatusServiceUnavailable, fmt.Errorf("%s is not in sync: %s", d.Name, cmp.Or(d.Error, "nothing is applied yet")))
			return
		}
	}
	fmt.Fprintln(w, "ok")
}
