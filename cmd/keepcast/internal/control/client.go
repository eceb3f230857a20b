package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/driver/trust"
)

// Client asks a running keepcast by its control socket.
type Client struct {
	Socket string
	// RuntimeDir is that of the keepcast, whose lock there tells that it runs though its
	// socket is gone. Empty: it is not known, and the socket tells alone.
	RuntimeDir string
}

// ErrNotRunning is the error when no keepcast answers at the socket, nor holds the lock.
var ErrNotRunning = errors.New("keepcast is not running here")

// SilentError is the error of a keepcast that is there, and does not answer.
type SilentError struct {
	Socket string
	PID    int           // whose socket that is; 0: unknown
	After  time.Duration // how long it was waited for
	Full   bool          // it was not: so many wait already
	Order  bool          // something was to be done, and may be yet
	Lock   string        // it could not be asked: all there is of it is its lock in this directory
}

// Error says what is known, and what to do.
func (e *SilentError) Error() string {
	fix := "systemctl restart keepcast, or end the process"
	switch {
	case e.Lock != "":
		fix = "it makes its socket anew within some seconds where it may; else systemctl restart keepcast: a restart moves no route"
	case e.Order:
		fix = "whether it does what it was told is not known; " + fix
	}
	return e.What() + "; " + fix
}

// What says what is known.
func (e *SilentError) What() string {
	switch {
	case e.Lock != "":
		return fmt.Sprintf("keepcast%s runs, for it holds the lock in %s, but nobody answers on %s", pidText(e.PID), e.Lock, e.Socket)
	case e.Full:
		return fmt.Sprintf("keepcast does not answer on %s: it hangs, or was stopped, and too many wait for it already", e.Socket)
	}
	return fmt.Sprintf("keepcast%s does not answer on %s for %s: it hangs, or was stopped", pidText(e.PID), e.Socket, e.After)
}

// The times after which a keepcast counts as silent: it answers a question at once, but
// an order may have to be saved and a reload to read files.
const (
	questionLimit = 5 * time.Second
	orderLimit    = 10 * time.Second
)

// patienceWith returns how long to wait for the answer to a request, and whether it is an
// order.
func patienceWith(method string) (limit time.Duration, order bool) {
	if method == http.MethodGet {
		return questionLimit, false
	}
	return orderLimit, true
}

// Status returns what keepcast desires and observes now.
func (c Client) Status(ctx context.Context) (api.Status, error) {
	return c.status(ctx, http.MethodGet, "/v1/status", nil)
}

// Drain orders a drain and returns the status after it.
func (c Client) Drain(ctx context.Context, r api.DrainRequest) (api.Status, error) {
	return c.status(ctx, http.MethodPost, "/v1/drain", r)
}

// Resume ends drains and returns the status after it.
func (c Client) Resume(ctx context.Context, r api.ResumeRequest) (api.Status, error) {
	return c.status(ctx, http.MethodPost, "/v1/resume", r)
}

// Reload has the configuration loaded anew and returns the status after it. The
// error says why the one before stays in force.
func (c Client) Reload(ctx context.Context) (api.Status, error) {
	return c.status(ctx, http.MethodPost, "/v1/reload", nil)
}

// CheckNow has checks run now and returns what they say then.
func (c Client) CheckNow(ctx context.Context, r api.CheckNowRequest) (a api.CheckNowAnswer, err error) {
	err = c.do(ctx, http.MethodPost, "/v1/check-now", r, &a)
	return a, err
}

// Report says for a check whether its service is fit.
func (c Client) Report(ctx context.Context, r api.ReportRequest) error {
	return c.do(ctx, http.MethodPost, "/v1/report", r, &struct{}{})
}

// status sends a request that is answered with the status.
func (c Client) status(ctx context.Context, method, path string, body any) (s api.Status, err error) {
	err = c.do(ctx, method, path, body, &s)
	return s, err
}

// do sends a request and reads the answer.
func (c Client) do(ctx context.Context, method, path string, body, answer any) error {
	limit, order := patienceWith(method)
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://keepcast"+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	begun := time.Now()
	var pid atomic.Int64
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", c.Socket)
		if err == nil {
			pid.Store(int64(trust.PeerProcess(conn)))
		}
		return conn, err
	}
	h := &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	resp, err := h.Do(req)
	if err != nil {
		err = c.explain(err)
	} else {
		defer resp.Body.Close()
		err = c.read(resp, answer)
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return &SilentError{Socket: c.Socket, PID: int(pid.Load()), After: time.Since(begun).Round(100 * time.Millisecond), Order: order}
	case errors.Is(err, syscall.EAGAIN):
		return &SilentError{Socket: c.Socket, Full: true}
	}
	return err
}

// read reads what keepcast has to say.
func (c Client) read(resp *http.Response, answer any) error {
	said := json.NewDecoder(resp.Body)
	switch resp.StatusCode {
	case http.StatusOK:
		if err := said.Decode(answer); err != nil {
			return fmt.Errorf("control socket %s: answer: %w", c.Socket, err)
		}
		return nil
	case http.StatusMethodNotAllowed: // it has no such command
		return tooOld(resp.Status)
	}
	var p api.Problem
	if err := said.Decode(&p); err != nil {
		return fmt.Errorf("control socket %s: answer %s: %w", c.Socket, resp.Status, err)
	}
	if strings.Contains(p.Error, "unknown field") {
		return tooOld(p.Error)
	}
	return errors.New(p.Error)
}

// tooOld is the error of a keepcast that does not know what the command wants of it.
func tooOld(said string) error {
	return fmt.Errorf("the keepcast that runs is older than this command (%s): restart it, or use the command of its version", said)
}

// explain tells what to do about a connection that failed.
func (c Client) explain(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("control socket %s: permission denied: run this as root or as a member of the group keepcast", c.Socket)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		if pid, held := LockHolder(c.RuntimeDir); held && c.RuntimeDir != "" {
			return &SilentError{Socket: c.Socket, PID: pid, Lock: c.RuntimeDir}
		}
		return fmt.Errorf("%w (nobody answers at %s): start it with \"systemctl start keepcast\" or \"keepcast run\"", ErrNotRunning, c.Socket)
	}
	return fmt.Errorf("control socket %s: %w", c.Socket, err)
}
