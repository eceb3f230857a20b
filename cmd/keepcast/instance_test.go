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
	return loadedAt(t, written(t, text))
}

// loadedAt is the configuration in a file.
func loadedAt(t *testing.T, file string) *config.Config {
	t.Helper()
	cfg, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// instance is a directory with a keepcast that runs in this process.
type instance struct {
	t    *testing.T
	dir  string
	log  drivertest.Buffer
	end  context.CancelFunc
	code chan int
}

// start runs "keepcast run" with a configuration, which may end in more settings, and
// with more flags.
func start(t *testing.T, more string, flags ...string) *instance {
	t.Helper()
	return startWith(t, gated+more, flags...)
}

// startWith runs it with a configuration of that text.
func startWith(t *testing.T, text string, flags ...string) *instance {
	t.Helper()
	return startLogging(t, nil, text, flags...)
}

// startLogging runs it with a log that goes to out; nil: to the instance's own.
func startLogging(t *testing.T, out io.Writer, text string, flags ...string) *instance {
	t.Helper()
	k := &instance{t: t, dir: drivertest.SocketDir(t), code: make(chan int, 1)}
	if out == nil {
		out = &k.log
	}
	k.write("keepcast.yaml", text)
	k.write("t", "{{range .Announced}}{{.Prefix}}\n{{end}}")
	k.write("out", "")
	before := slog.Default()
	t.Cleanup(func() { slog.SetDefault(before) })
	ctx, cancel := context.WithCancel(context.Background())
	k.end = cancel
	var ended sync.WaitGroup
	line := append([]string{"run", "-c", k.path("keepcast.yaml")}, flags...)
	ended.Go(func() { k.code <- keepcast(ctx, line, io.Discard, out) })
	t.Cleanup(func() { cancel(); ended.Wait() })
	drivertest.Eventually(t, "dns is announced", func() bool { return k.gate() == "192.0.2.53/32\n" })
	return k
}

func (k *instance) path(name string) string { return filepath.Join(k.dir, name) }

func (k *instance) write(name, text string) {
	k.t.Helper()
	drivertest.WriteFile(k.t, k.path(name), strings.ReplaceAll(text, "DIR", k.dir))
}

// gate is what the routing daemon was given to announce.
func (k *instance) gate() string {
	k.t.Helper()
	return drivertest.ReadFile(k.t, k.path("out"))
}

// stop stops it as SIGTERM does, and returns the exit code.
func (k *instance) stop() int {
	k.end()
	return <-k.code
}

func (k *instance) client() control.Client { return control.Client{Socket: k.path("keepcast.sock")} }

// logged waits until each of the lines is in the log, which runs behind what it tells of.
func (k *instance) logged(lines ...string) {
	k.t.Helper()
	for _, line := range lines {
		drivertest.Eventually(k.t, line+" is logged", func() bool { return strings.Contains(k.log.String(), line) })
	}
}

// get returns a page of the running keepcast.
func (k *instance) get(page string) string {
	k.t.Helper()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", k.path("keepcast.sock"))
	}
	c := http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	resp, err := c.Get("http://keepcast" + page)
	if err != nil {
		k.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		k.t.Fatal(err)
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
