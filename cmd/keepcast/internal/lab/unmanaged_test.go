package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// With manage_addresses: false a local delivery route that an earlier keepcast had left, or an
// address on another interface, counted as the address: BIRD announced nothing, and nobody
// said why.
func TestUnmanagedAddress(t *testing.T) {
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Daemon: BIRD, Protocol: BGP, Keepcast: path}
	ctx, l := start(t, o)
	s := &stand{t: t, Lab: l, ctx: ctx}
	a := l.Host("a")
	k, err := a.AddKeepcast(fmt.Sprintf(`
manage_addresses: false
drivers:
  - %s
defaults: {interval: 200ms, fast_interval: 50ms, timeout: 1s, rise: 1, fall: 1}
services:
  - name: dns
    addresses: [192.0.2.53]
    checks: [{kind: exec, command: ["true"]}]
`, driverOf(a, o)), nil)
	s.must(err)
	t.Cleanup(func() {
		if t.Failed() {
			s.dump(a)
		}
	})
	ip := func(words string) {
		t.Helper()
		_, err := a.Output(ctx, append([]string{"ip"}, strings.Fields(words)...)...)
		s.must(err)
	}
	ip("link set lo up")
	ip("route add local 192.0.2.53 dev lo table local proto 250 metric 4242")
	s.must(k.Start(ctx))
	s.finds("a", "address-missing", true)
	ip("address add 192.0.2.53/32 dev " + Interface)
	ip("route del local 192.0.2.53 table local proto 250")
	s.finds("a", "address-missing", false)
	s.must(l.Router().AwaitNextHops(ctx, anycast[:1], "a"))
	ip("address add 192.0.2.53/32 dev lo")
	ip("address del 192.0.2.53/32 dev " + Interface)
	s.must(l.Router().AwaitNextHops(ctx, anycast[:1]))
	s.finds("a", "address-missing", true)
}

// finds waits until status of a host shows a finding about keepcast itself, or does not.
func (s *stand) finds(host, name string, want bool) {
	s.t.Helper()
	s.must(Until(s.ctx, fmt.Sprintf("%s shows %s: %v", host, name, want), func(context.Context) error {
		var status struct{ Findings []struct{ Finding string } }
		if err := json.Unmarshal([]byte(s.keepcast(host, "status", "-o", "json")), &status); err != nil {
			return err
		}
		if there := slices.ContainsFunc(status.Findings, func(f struct{ Finding string }) bool { return f.Finding == name }); there != want {
			return fmt.Errorf("it shows %v", status.Findings)
		}
		return nil
	}))
}
