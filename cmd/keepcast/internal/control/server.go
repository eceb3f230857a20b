// Package control is how people and machines talk to the running keepcast: the
// unix socket of the commands, and the read-only HTTP server for metrics,
// health and status.
package control

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
)

// Engine is what the servers ask. *engine.Engine is one.
type Engine interface {
	Status() (api.Status, error)
	Drain(services []string, until time.Time, reason string) error
	Resume(services []string) error
}

// Handler serves what anybody may read: /metrics, /healthz, /readyz, /v1/status.
func Handler(e Engine, metrics prometheus.Gatherer) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if _, err := e.Status(); err != nil {
			problem(w, http.StatusServiceUnavailable, err)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { ready(w, e) })
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) { status(w, e) })
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "keepcast: /metrics /healthz /readyz /v1/status")
	})
	return mux
}

// controlHandler serves the commands too.
func controlHandler(e Engine, reload func() error, metrics prometheus.Gatherer) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /", Handler(e, metrics))
	command := func(do func(api.DrainRequest) error) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			var req api.DrainRequest
			body := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
			body.DisallowUnknownFields()
			if err := body.Decode(&req); err != nil {
				problem(w, http.StatusBadRequest, fmt.Errorf("request: %w", err))
				return
			}
			if err := do(req); err != nil {
				problem(w, http.StatusConflict, err)
				return
			}
			status(w, e)
		}
	}
	mux.HandleFunc("POST /v1/drain", command(func(r api.DrainRequest) error { return e.Drain(r.Services, r.Until, r.Reason) }))
	mux.HandleFunc("POST /v1/resume", command(func(r api.DrainRequest) error { return e.Resume(r.Services) }))
	mux.HandleFunc("POST /v1/reload", command(func(api.DrainRequest) error { return reload() }))
	return mux
}

func status(w http.ResponseWriter, e Engine) {
	s, err := e.Status()
	if err != nil {
		problem(w, http.StatusServiceUnavailable, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(s) // the one who asked has gone: nobody to be told
}

// ready tells whether the kernel and every daemon are in sync. A pending change counts
// as in sync.
func ready(w http.ResponseWriter, e Engine) {
	s, err := e.Status()
	if err != nil {
		problem(w, http.StatusServiceUnavailable, err)
		return
	}
	for _, d := range s.Drivers {
		if !d.InSync && !d.Pending() {
			problem(w, http.StatusServiceUnavailable, fmt.Errorf("%s is not in sync: %s", d.Name, cmp.Or(d.Error, "nothing is applied yet")))
			return
		}
	}
	fmt.Fprintln(w, "ok")
}

func problem(w http.ResponseWriter, code int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(api.Problem{Error: err.Error()}) // as in status
}

// Listen opens the control socket, for root and the group keepcast. A socket
// that a killed keepcast left behind is replaced; one that answers is an error.
func Listen(ctx context.Context, path string) (net.Listener, error) {
	if conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unix", path); err == nil {
		_ = conn.Close() // it only had to be there
		return nil, fmt.Errorf("control socket: %s answers: another keepcast is running", path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if err := restrict(path); err != nil {
		_ = l.Close() // the error that matters is the one returned
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return l, nil
}

// restrict gives the socket to the group keepcast, where there is one.
func restrict(path string) error {
	if group, err := user.LookupGroup("keepcast"); err == nil {
		gid, err := strconv.Atoi(group.Gid)
		if err != nil {
			return err
		}
		// Not where it has that group already, as in the unit: its sandbox lets
		// nobody give files away.
		if os.Getegid() != gid {
			if err := os.Chown(path, -1, gid); err != nil {
				return err
			}
		}
	}
	return os.Chmod(path, 0o660)
}

// Serve serves the commands on the control socket and, where web is not nil,
// the read-only part on it, until ctx is done. Reload loads the configuration anew.
func Serve(ctx context.Context, e Engine, reload func() error, metrics prometheus.Gatherer, log *slog.Logger, socket, web net.Listener) error {
	servers := map[net.Listener]*http.Server{socket: server(controlHandler(e, reload, metrics), log)}
	if web != nil {
		servers[web] = server(Handler(e, metrics), log)
	}
	failed := make(chan error, len(servers))
	for l, s := range servers {
		go func() { failed <- s.Serve(l) }()
	}
	var first error
	ended := 0
	select {
	case <-ctx.Done():
	case first = <-failed:
		ended++
	}
	for _, s := range servers {
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		_ = s.Shutdown(late) // who still asks now is cut off
		_ = s.Close()
		cancel()
	}
	for ; ended < len(servers); ended++ {
		<-failed //nolint:errcheck // http.ErrServerClosed, by the Shutdown above
	}
	if first != nil {
		return fmt.Errorf("control server: %w", first)
	}
	return nil
}

func server(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}
