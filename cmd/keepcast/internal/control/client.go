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
	"syscall"
	"time"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
)

// Client asks a running keepcast by its control socket.
type Client struct{ Socket string }

// ErrNotRunning is the error when no keepcast answers at the socket.
var ErrNotRunning = errors.New("keepcast is not running here")

// Status returns what keepcast desires and observes now.
func (c Client) Status(ctx context.Context) (api.Status, error) {
	return c.do(ctx, http.MethodGet, "/v1/status", nil)
}

// Drain orders a drain and returns the status after it.
func (c Client) Drain(ctx context.Context, r api.DrainRequest) (api.Status, error) {
	return c.do(ctx, http.MethodPost, "/v1/drain", r)
}

// Resume ends drains and returns the status after it.
func (c Client) Resume(ctx context.Context, r api.ResumeRequest) (api.Status, error) {
	return c.do(ctx, http.MethodPost, "/v1/resume", r)
}

// Reload has the configuration loaded anew and returns the status after it. The
// error says why the one before stays in force.
func (c Client) Reload(ctx context.Context) (api.Status, error) {
	return c.do(ctx, http.MethodPost, "/v1/reload", nil)
}

func (c Client) do(ctx context.Context, method, path string, body any) (s api.Status, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	text, err := json.Marshal(body)
	if err != nil {
		return s, err
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://keepcast"+path, bytes.NewReader(text))
	if err != nil {
		return s, err
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", c.Socket)
	}
	h := &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	resp, err := h.Do(req)
	if err != nil {
		return s, c.explain(err)
	}
	defer resp.Body.Close()
	answer := json.NewDecoder(resp.Body)
	if resp.StatusCode != http.StatusOK {
		var p api.Problem
		if err := answer.Decode(&p); err != nil {
			return s, fmt.Errorf("control socket %s: answer %s: %w", c.Socket, resp.Status, err)
		}
		if strings.Contains(p.Error, "unknown field") {
			return s, fmt.Errorf("the keepcast that runs is older than this command (%s): restart it, or use the command of its version", p.Error)
		}
		return s, errors.New(p.Error)
	}
	if err := answer.Decode(&s); err != nil {
		return s, fmt.Errorf("control socket %s: answer: %w", c.Socket, err)
	}
	return s, nil
}

// explain tells what to do about a connection that failed.
func (c Client) explain(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("control socket %s: permission denied: run this as root or as a member of the group keepcast", c.Socket)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w (nobody answers at %s): start it with \"systemctl start keepcast\" or \"keepcast run\"", ErrNotRunning, c.Socket)
	}
	return fmt.Errorf("control socket %s: %w", c.Socket, err)
}
