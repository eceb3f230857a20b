package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// built is the keepcast under test, built once for all tests of the package.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "keepcast-under-test-")
	if err != nil {
		return "", err
	}
	builtIn = dir
	path := filepath.Join(dir, "keepcast")
	out, err := exec.Command("go", "build", "-race", "-o", path, "github.com/keepcast/keepcast/cmd/keepcast").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building keepcast: %w: %s", err, out)
	}
	return path, nil
})

// builtIn is the directory of that keepcast, for TestMain to remove; empty if none was built.
var builtIn string

// stand is a lab with keepcast and a service on each host.
type stand struct {
	t testing.TB
	*Lab
	ctx context.Context
}

// fitFile is what the degrade check of the standard configuration looks for.
const fitFile = "/run/keepcast/good"

// standard is the keepcast.yaml of a host: the dns service, asked at its anycast
// addresses, and a check that only degrades.
func standard(driver string) string {
	return `
linger: 3s
drivers:
  - ` + driver + `
defaults: {interval: 200ms, fast_interval: 50ms, timeout: 1s, rise: 2, fall: 2}
services:
  - name: dns
    addresses: [192.0.2.53, "2001:db8:53::53"]
    checks:
      - {name: answers4, kind: dns, server: 192.0.2.53, query: health.example.com}
      - {name: answers6, kind: dns, server: "2001:db8:53::53", query: health.example.com}
      - {name: good, kind: exec, command: [test, -e, ` + fitFile + `], on_failure: degrade}
`
}

// driverOf is the driver's line in the configuration of a host.
func driverOf(h *Host, o Options) string {
	text := strings.NewReplacer("/var/lib/keepcast/bird.conf", h.Snippet(), "/var/lib/keepcast/frr.conf", filepath.Join(h.Dir(), suffixed("frr-snippet", h.instance)+".conf")).
		Replace(DriverConfig(o.daemon(h.name), o.Protocol))
	if h.instance == "" {
		return text
	}
	own := map[string]string{BIRD: "socket: " + h.BIRDSocket(), FRR: "directory: " + h.FRRDirectory()}[o.daemon(h.name)]
	return "{name: " + suffixed(o.daemon(h.name), h.instance) + ", " + own + ", " + strings.TrimPrefix(text, "{")
}

// newStand starts a lab, with keepcast running on both hosts. The services are
// added, not started.
func newStand(t testing.TB, o Options, config func(h *Host, driver string) string) *stand {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	o.Keepcast = path
	ctx, l := start(t, o)
	s := &stand{t: t, Lab: l, ctx: ctx}
	for _, name := range []string{"a", "b"} {
		h := l.Host(name)
		s.good(h, true)
		_, err := h.AddService("dns", Anycast4, Anycast6)
		s.must(err)
		k, err := h.AddKeepcast(config(h, driverOf(h, o)), nil)
		s.must(err)
		s.must(k.Start(ctx))
		t.Cleanup(func() {
			if t.Failed() {
				s.dump(h)
			}
		})
	}
	return s
}

// dump shows what a host's keepcast said, and what it says now.
func (s *stand) dump(h *Host) {
	k, err := h.Process("keepcast")
	if err != nil {
		return
	}
	text, _ := os.ReadFile(k.Log())
	lines := strings.Split(string(text), "\n")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), 5*time.Second)
	defer cancel()
	status, err := h.Keepcast(ctx, "status")
	s.t.Logf("keepcast of %s:\n%s\n%s%v", h.Name(), strings.Join(lines[max(0, len(lines)-40):], "\n"), status, err)
}

func (s *stand) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *stand) process(host, name string) *Process {
	s.t.Helper()
	p, err := s.Host(host).Process(name)
	s.must(err)
	return p
}

// good sets whether the degrade check of a host succeeds.
func (s *stand) good(h *Host, yes bool) {
	s.t.Helper()
	path := filepath.Join(h.Dir(), strings.TrimPrefix(fitFile, "/"))
	if yes {
		s.must(os.WriteFile(path, nil, 0o600))
	} else {
		s.must(os.Remove(path))
	}
}

// routed waits until the router sends the service's packets to host alone, and
// host serves them.
func (s *stand) routed(host string) {
	s.t.Helper()
	s.must(s.Router().AwaitNextHops(s.ctx, anycast, host))
	s.must(s.Client().AwaitServed(s.ctx, host, Anycast4, Anycast6))
}

// keepcast runs a command of keepcast on a host.
func (s *stand) keepcast(host string, args ...string) string {
	s.t.Helper()
	out, err := s.Host(host).Keepcast(s.ctx, args...)
	s.must(err)
	return out
}

// lost counts the requests without an answer, and says which.
func lost(tallies map[Flow]Tally) (n int, which []string) {
	for flow, tally := range tallies {
		n += len(tally.Losses)
		for _, loss := range tally.Losses {
			which = append(which, fmt.Sprintf("%s at %s: %v", flow, loss.At.Format("15:04:05.000"), loss.Err))
		}
	}
	return n, which
}

// state reads the state of a service from keepcast status.
func (s *stand) state(host, service string) string {
	s.t.Helper()
	var status struct {
		Services []struct{ Name, State string }
	}
	s.must(json.Unmarshal([]byte(s.keepcast(host, "status", "-o", "json")), &status))
	for _, svc := range status.Services {
		if svc.Name == service {
			return svc.State
		}
	}
	return "none"
}
