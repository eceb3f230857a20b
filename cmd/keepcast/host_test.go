package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/control"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// gated is a configuration for a host without root or a routing daemon: the gate is
// the file DIR/out.
const gated = `manage_addresses: false
listen: ''
control_socket: DIR/keepcast.sock
runtime_directory: DIR/runtime
state_directory: DIR/state
drain_directory: ''
linger: 0s
drivers: [{name: file, kind: template, template: DIR/t, output: DIR/out, reload: ["true"]}]
services: [{name: dns, addresses: [192.0.2.53], checks: [{kind: exec, command: ["true"], interval: 50ms, timeout: 5s}]}]
`

// written is a configuration file with that text, in a directory of its own.
func written(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(drivertest.SocketDir(t), "keepcast.yaml")
	drivertest.WriteFile(t, path, strings.ReplaceAll(text, "DIR", filepath.Dir(path)))
	return path
}

// loaded is a configuration of that text.
func loaded(t *testing.T, text string) *config.Config {
	t.Helper()
	cfg, err := config.Load(written(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// host is a directory with a keepcast that runs in this process.
type host struct {
	t    *testing.T
	dir  string
	log  drivertest.Buffer
	end  context.CancelFunc
	code chan int
}

// start runs "keepcast run" with a configuration, which may end in more settings, and
// with more flags.
func start(t *testing.T, more string, flags ...string) *host {
	t.Helper()
	h := &host{t: t, dir: drivertest.SocketDir(t), code: make(chan int, 1)}
	h.write("keepcast.yaml", gated+more)
	h.write("t", "{{range .Announced}}{{.Prefix}}\n{{end}}")
	h.write("out", "")
	before := slog.Default()
	t.Cleanup(func() { slog.SetDefault(before) })
	ctx, cancel := context.WithCancel(context.Background())
	h.end = cancel
	var ended sync.WaitGroup
	line := append([]string{"run", "-c", h.path("keepcast.yaml")}, flags...)
	ended.Go(func() { h.code <- keepcast(ctx, line, io.Discard, &h.log) })
	t.Cleanup(func() { cancel(); ended.Wait() })
	drivertest.Eventually(t, "dns is announced", func() bool { return h.gate() == "192.0.2.53/32\n" })
	return h
}

func (h *host) path(name string) string { return filepath.Join(h.dir, name) }

func (h *host) write(name, text string) {
	h.t.Helper()
	drivertest.WriteFile(h.t, h.path(name), strings.ReplaceAll(text, "DIR", h.dir))
}

// gate is what the routing daemon was given to announce.
func (h *host) gate() string {
	h.t.Helper()
	return drivertest.ReadFile(h.t, h.path("out"))
}

// stop stops it as SIGTERM does, and returns the exit code.
func (h *host) stop() int {
	h.end()
	return <-h.code
}

func (h *host) client() control.Client { return control.Client{Socket: h.path("keepcast.sock")} }

// get returns a page of the running keepcast.
func (h *host) get(page string) string {
	h.t.Helper()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", h.path("keepcast.sock"))
	}
	c := http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	resp, err := c.Get("http://keepcast" + page)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return string(text)
}

// has fails the test where a text lacks one of the parts.
func has(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not in:\n%s", part, text)
		}
	}
}
