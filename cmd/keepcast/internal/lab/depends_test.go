package lab

import (
	"slices"
	"testing"
)

// TestDependsOn has services that depend on others, and one check that all of them use: the
// router loses the routes of all with the one that fails, and gets them back.
func TestDependsOn(t *testing.T) {
	v4, v6 := Anycast(0)
	others := Prefixes(v4, v6)
	s := newStand(t, Options{Daemon: BIRD, Protocol: BGP}, func(_ *Host, driver string) string {
		return `
linger: 1s
drivers:
  - ` + driver + `
defaults: {interval: 200ms, fast_interval: 50ms, timeout: 1s, rise: 2, fall: 2}
checks:
  - {name: good, kind: file, path: ` + fitFile + `}
services:
  - name: web
    addresses: [` + v4.String() + `]
    depends_on: [sso]
    checks: [{use: good}]
  - name: sso
    addresses: ["` + v6.String() + `"]
    depends_on: [dns]
    checks: [{use: good}]
  - name: dns
    addresses: [192.0.2.53, "2001:db8:53::53"]
    checks:
      - {kind: dns, server: 192.0.2.53, query: health.example.com}
      - {use: good, on_failure: degrade}
`
	})
	prefixes := slices.Concat(anycast, others)
	routed := func(hosts ...string) {
		t.Helper()
		s.must(s.Router().AwaitNextHops(s.ctx, prefixes, hosts...))
	}
	a := s.Host("a")
	s.must(s.process("a", "dns").Start(s.ctx))
	routed("a")
	s.must(s.process("a", "dns").Kill(s.ctx))
	routed()
	s.must(s.process("a", "dns").Start(s.ctx))
	routed("a")

	// The common check means something else to each of them.
	s.good(a, false)
	s.must(s.Router().AwaitNextHops(s.ctx, others))
	s.must(s.Router().AwaitNextHops(s.ctx, anycast, "a"))
	if state := s.state("a", "dns"); state != "degraded" {
		t.Errorf("dns is %s", state)
	}
	s.good(a, true)
	routed("a")
}
