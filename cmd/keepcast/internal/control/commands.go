package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
)

// commands serves the commands, too. Each is logged with who gave it.
func (h *handlers) commands(reload func(context.Context) error, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /", h.readOnly())
	mux.HandleFunc("POST /v1/drain", command(h, func(_ context.Context, o api.DrainRequest, by string) error {
		services, err := named(o.Services, o.All)
		if err != nil {
			return err
		}
		if !o.Until.IsZero() && !o.Until.After(time.Now()) {
			return badRequest{fmt.Errorf("until: %s is over", o.Until.Format(time.RFC3339))}
		}
		return h.engine.Drain(services, o.Until, o.Reason, by)
	}))
	mux.HandleFunc("POST /v1/resume", command(h, func(_ context.Context, o api.ResumeRequest, by string) error {
		services, err := named(o.Services, o.All)
		if err != nil {
			return err
		}
		log.Info("resume ordered", "services", o.Services, "all", o.All, "by", by)
		return h.engine.Resume(services)
	}))
	mux.HandleFunc("POST /v1/check-now", func(w http.ResponseWriter, r *http.Request) {
		var answer api.CheckNowAnswer
		if carryOut(h, w, r, func(ctx context.Context, o api.CheckNowRequest, by string) error {
			names, err := named(o.Services, o.All)
			if err != nil {
				return err
			}
			log.Info("check ordered", "checks", o.Services, "all", o.All, "by", by)
			answer.Checks, err = h.engine.CheckNow(ctx, names)
			return err
		}) {
			h.snapshots.forget()
			reply(w, answer)
		}
	})
	mux.HandleFunc("POST /v1/report", func(w http.ResponseWriter, r *http.Request) {
		if carryOut(h, w, r, func(_ context.Context, o api.ReportRequest, by string) error { return h.engine.Report(o, by) }) {
			reply(w, struct{}{})
		}
	})
	mux.HandleFunc("POST /v1/reload", command(h, func(ctx context.Context, _ struct{}, by string) error {
		log.Info("reload ordered", "by", by)
		return reload(ctx)
	}))
	return mux
}

// reply answers with something else than the status.
func reply(w http.ResponseWriter, answer any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // the one who asked has gone: nobody to be told
}

// named returns the services that a command names, none for all of them. A command that
// names nothing must not mean everything.
func named(services []string, all bool) ([]string, error) {
	switch {
	case all && len(services) > 0:
		return nil, badRequest{errors.New(`either "services" or "all", not both`)}
	case !all && len(services) == 0:
		return nil, badRequest{errors.New(`no service is named: give "services", or "all": true (a keepcast command older than this keepcast does not say so: use the newer one)`)}
	}
	return services, nil
}

// badRequest is the error in what was asked for, not in carrying it out.
type badRequest struct{ error }

// command is a request that is answered with the status after it.
func command[T any](h *handlers, do func(ctx context.Context, order T, by string) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if carryOut(h, w, r, do) {
			show(w, h.snapshots.fresh)
		}
	}
}

// carryOut decodes what is asked for, and does it. It reports whether that worked; if not,
// it has answered. What may take long is given a context that is done when the client has
// gone, so that it keeps none of the few connections.
func carryOut[T any](h *handlers, w http.ResponseWriter, r *http.Request, do func(ctx context.Context, order T, by string) error) bool {
	var order T
	if err := decode(http.MaxBytesReader(w, r.Body, 1<<20), &order); err != nil {
		problem(w, http.StatusBadRequest, fmt.Errorf("request: %w", err))
		return false
	}
	err := do(r.Context(), order, h.users.of(r.Context()))
	if bad, ok := errors.AsType[badRequest](err); ok {
		problem(w, http.StatusBadRequest, fmt.Errorf("request: %w", bad.error))
		return false
	}
	if err != nil {
		h.snapshots.forget() // it may have done some of it
		problem(w, http.StatusConflict, err)
		return false
	}
	return true
}

// decode reads one JSON value that has no field unknown to v, and nothing after it.
func decode(body io.Reader, v any) error {
	d := json.NewDecoder(body)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one value")
	}
	return nil
}

// problem answers with an error.
func problem(w http.ResponseWriter, code int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(api.Problem{Error: err.Error()}) // the one who asked has gone: nobody to be told
}
