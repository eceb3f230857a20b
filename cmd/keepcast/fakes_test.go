package main

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/control"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// fakeEngine answers the commands with one status, or one error.
type fakeEngine struct {
	reports []api.ReportRequest
	status  api.Status
	err     error
	orders  []api.DrainRequest // those to drain, and to resume and to check, which have no reason

	checked []api.CheckedNow
}

func (e *fakeEngine) Status() (api.Status, error) { return e.status, e.err }

func (e *fakeEngine) Alive() error { return e.err }

func (e *fakeEngine) Drain(services []string, until time.Time, reason, _ string) error {
	e.orders = append(e.orders, api.DrainRequest{Services: services, Until: until, Reason: reason})
	return e.err
}

func (e *fakeEngine) Resume(services []string) error {
	e.orders = append(e.orders, api.DrainRequest{Services: services})
	return e.err
}

func (e *fakeEngine) CheckNow(_ context.Context, names []string) ([]api.CheckedNow, error) {
	e.orders = append(e.orders, api.DrainRequest{Services: names})
	return e.checked, e.err
}

func (e *fakeEngine) Report(r api.ReportRequest, _ string) error {
	e.reports = append(e.reports, r)
	return e.err
}

// answers has an engine answer at a control socket, and returns its path.
func answers(t *testing.T, e *fakeEngine) string {
	t.Helper()
	path := filepath.Join(drivertest.SocketDir(t), "keepcast.sock")
	answersAt(t, e, path)
	return path
}

func answersAt(t *testing.T, e *fakeEngine, path string) {
	t.Helper()
	l, err := control.Listen(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	server := control.Server{
		Engine: e, Reload: func(context.Context) error { return e.err }, Socket: l,
		Metrics: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler),
	}
	go func() {
		defer close(ended)
		server.Serve(ctx)
	}()
	t.Cleanup(func() { stop(); <-ended })
}

// keepcastSays runs a command line in this process.
func keepcastSays(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code = keepcast(t.Context(), args, &o, &e)
	return code, o.String(), e.String()
}

// full is an output that nothing fits into any more.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, syscall.ENOSPC }
