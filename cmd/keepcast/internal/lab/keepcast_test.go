package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
	path := filepath.Join(dir, "keepcast")
	out, err := exec.Command("go", "build", "-race", "-o", path, "github.com/keepcast/keepcast/cmd/keepcast").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building keepcast: %w: %s", err, out)
	}
	return path, nil
})

// stand is a lab with keepcast and a service on each host.
type stand struct {
	t *testing.T
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
	text := strings.NewReplacer("/etc/bird/keepcast.conf", h.Snippet(), "/etc/keepcast/frr.conf", filepath.Join(h.Dir(), suffixed("frr-snippet", h.instance)+".conf")).
		Replace(DriverConfig(o.daemon(h.name), o.Protocol))
	if h.instance == "" {
		return text
	}
	own := map[string]string{BIRD: "socket: " + h.BIRDSocket(), FRR: "directory: " + h.FRRDirectory()}[o.daemon(h.name)]
	return "{name: " + suffixed(o.daemon(h.name), h.instance) + ", " + own + ", " + strings.TrimPrefix(text, "{")
}

// newStand starts a lab, with keepcast running on both hosts. The services are
// added, not started.
func newStand(t *testing.T, o Options, config func(h *Host, driver string) string) *stand {
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

// status is what keepcast says of a host.
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

// TestService is the main job, for every daemon and protocol: what the router
// sees and the client gets when a service dies, comes back, is drained, resumed
// and degraded.
func TestService(t *testing.T) {
	for name, o := range map[string]Options{
		"bird bgp":     {Daemon: BIRD, Protocol: BGP, Extra: birdOperator},
		"bird ospf":    {Daemon: BIRD, Protocol: OSPF},
		"frr bgp":      {Daemon: FRR, Protocol: BGP, Extra: frrOperator},
		"frr ospf":     {Daemon: FRR, Protocol: OSPF, Extra: frrOperator},
		"frr isis":     {Daemon: FRR, Protocol: ISIS},
		"one each bgp": {Daemon: BIRD, Daemons: map[string]string{"b": FRR}, Protocol: BGP},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStand(t, o, func(_ *Host, driver string) string { return standard(driver) })
			a := s.Host("a")
			_, err := a.Output(s.ctx, "ip", "address", "add", operatorAddress, "dev", Interface)
			s.must(err)
			for _, host := range []string{"a", "b"} {
				s.must(s.process(host, "dns").Start(s.ctx))
			}
			knows(s.ctx, t, s.Lab, "a", "b")
			s.routed("a")

			// The service dies: it is bound to the addresses themselves, so only the
			// local delivery lets it start again.
			s.must(s.process("a", "dns").Kill(s.ctx))
			s.routed("b")
			knows(s.ctx, t, s.Lab, "b")
			s.must(s.process("a", "dns").Start(s.ctx))
			knows(s.ctx, t, s.Lab, "a", "b")
			s.routed("a")

			s.drained(a)
			s.degraded(a)
			s.untouched(a, o)
		})
	}
}

// drained drains a host under load and resumes it: no request may be lost.
func (s *stand) drained(h *Host) {
	s.t.Helper()
	load := s.Client().Start(s.ctx, 50, Flows(Anycast4, Anycast6)...)
	s.must(Until(s.ctx, "answers on every flow", func(context.Context) error {
		for flow, tally := range load.Tallies() {
			if tally.Answered["a"] == 0 {
				return fmt.Errorf("none on %s", flow)
			}
		}
		return nil
	}))
	out := s.keepcast("a", "drain", "dns", "--for", "1h", "--reason", "CHG-1")
	if !strings.Contains(out, "dns: draining (drained until ") {
		s.t.Errorf("drain prints %q", out)
	}
	s.routed("b")
	knows(s.ctx, s.t, s.Lab, "b")
	s.keepcast("a", "resume", "dns")
	knows(s.ctx, s.t, s.Lab, "a", "b")
	s.routed("a")
	tallies := load.Stop()
	if n, which := lost(tallies); n > 0 {
		s.t.Errorf("%d requests lost in a drain:\n%s", n, strings.Join(which, "\n"))
	}
	for flow, tally := range tallies {
		if tally.Answered["a"] == 0 || tally.Answered["b"] == 0 {
			s.t.Errorf("%s was not served by both: %+v", flow, tally)
		}
	}
}

// degraded fails a host's degrade check: the router prefers the other one, but
// still knows this one.
func (s *stand) degraded(h *Host) {
	s.t.Helper()
	s.good(h, false)
	s.routed("b")
	for _, p := range anycast {
		paths, err := s.Router().Paths(s.ctx, p)
		s.must(err)
		if len(paths) != 2 || paths[0].Best || !paths[1].Best || paths[0].Metric <= paths[1].Metric {
			s.t.Errorf("the paths of %s are %+v, want both, b's the best", p, paths)
		}
	}
	s.good(h, true)
	s.routed("a")
}

// What an operator has on the host beside keepcast.
const operatorAddress = "10.255.0.1/32"

var (
	birdOperator = map[string]string{"a": `
protocol static operator { ipv4; route 198.51.100.0/24 blackhole; }
filter operator_filter { if net = 198.51.100.0/24 then accept; reject; }
`}
	frrOperator = map[string]string{"a": `
ip prefix-list OPERATOR seq 5 permit 198.51.100.0/24
route-map OPERATOR permit 10
 match ip address prefix-list OPERATOR
exit
`}
)

// untouched checks that what is the operator's is as it was.
func (s *stand) untouched(h *Host, o Options) {
	s.t.Helper()
	addresses, err := h.Addresses()
	s.must(err)
	if !slices.Contains(addresses, netip.MustParsePrefix(operatorAddress)) {
		s.t.Errorf("the operator's address is gone: %v", addresses)
	}
	var have, want string
	switch {
	case o.Extra == nil:
		return
	case o.Daemon == BIRD:
		have, err = h.Birdc(s.ctx, "show", "route", "protocol", "operator")
		want = "198.51.100.0/24"
	default:
		have, err = h.Vtysh(s.ctx, "show running-config")
		want = "match ip address prefix-list OPERATOR"
	}
	s.must(err)
	if !strings.Contains(have, want) {
		s.t.Errorf("%s is gone from\n%s", want, have)
	}
}

// announcedBy reads the state of a service from keepcast status.
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
