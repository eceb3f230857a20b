package lab

import (
	"fmt"
	"testing"
)

// TestInstances is keepcast with two routing daemons on one host: a service on
// an interface and in a daemon of its own is not seen by the other's neighbor,
// and goes on when the other daemon is gone.
func TestInstances(t *testing.T) {
	for _, daemon := range []string{BIRD, FRR} {
		t.Run(daemon, func(t *testing.T) {
			path, err := built()
			if err != nil {
				t.Fatal(err)
			}
			o := Options{Daemon: daemon, Protocol: BGP, Second: true, Keepcast: path}
			ctx, l := start(t, o)
			s := &stand{t: t, Lab: l, ctx: ctx}
			a := l.Host("a")
			v4, v6 := Anycast(0)
			k, err := a.AddKeepcast(fmt.Sprintf(`
linger: 0s
drivers:
  - %s
  - %s
defaults: {interval: 200ms, fast_interval: 50ms, timeout: 1s, rise: 1, fall: 1}
services:
  - name: one
    addresses: [192.0.2.53, "2001:db8:53::53"]
    drivers: [%s]
    checks: [{kind: exec, command: ["true"]}]
  - name: two
    addresses: [%s, "%s"]
    interface: %s
    drivers: [%s]
    checks: [{kind: exec, command: ["true"]}]
`, driverOf(a, o), driverOf(a.Second(), o), daemon, v4, v6, SecondInterface, suffixed(daemon, Second)), nil)
			s.must(err)
			t.Cleanup(func() {
				if t.Failed() {
					s.dump(a)
				}
			})
			s.must(k.Start(ctx))
			one, two := anycast, Prefixes(v4, v6)
			s.must(l.Router().AwaitNextHops(ctx, one, "a"))
			s.must(l.Router().AwaitNextHops(ctx, two, "a2"))

			s.keepcast("a", "drain", "two")
			s.must(l.Router().AwaitNextHops(ctx, two))
			s.must(l.Router().AwaitNextHops(ctx, one, "a"))
			s.keepcast("a", "resume", "two")
			s.must(l.Router().AwaitNextHops(ctx, two, "a2"))

			first := s.process("a", map[string]string{BIRD: "bird", FRR: "bgpd"}[daemon])
			s.must(first.Kill(ctx))
			s.must(l.Router().AwaitNextHops(ctx, one))
			s.keepcast("a", "drain", "two")
			s.must(l.Router().AwaitNextHops(ctx, two))
			s.keepcast("a", "resume", "two")
			s.must(l.Router().AwaitNextHops(ctx, two, "a2"))
			s.must(first.Start(ctx))
			s.must(l.Router().AwaitNextHops(ctx, one, "a"))
		})
	}
}
