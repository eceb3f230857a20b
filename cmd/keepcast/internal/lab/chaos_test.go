package lab

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"syscall"
	"testing"
)

// TestChaos does to host a, in a random order, what happens to hosts: services
// die, daemons are killed and stand still, keepcast is killed, addresses are
// deleted, operators drain. After every few events everything is put right again,
// except for the service or a drain, and the router must send packets to the host
// that works. The order is always the same one; KEEPCAST_CHAOS=random takes
// another, KEEPCAST_CHAOS=SEED repeats that.
func TestChaos(t *testing.T) {
	for name, o := range map[string]Options{
		"bird bgp": {Daemon: BIRD, Protocol: BGP},
		"frr bgp":  {Daemon: FRR, Protocol: BGP},
	} {
		t.Run(name, func(t *testing.T) {
			seed := uint64(10026968784846167031) // an order in which a and b take turns
			if given, err := strconv.ParseUint(os.Getenv("KEEPCAST_CHAOS"), 10, 64); err == nil {
				seed = given
			} else if os.Getenv("KEEPCAST_CHAOS") == "random" {
				seed = rand.Uint64()
			}
			t.Logf("KEEPCAST_CHAOS=%d", seed)
			s := newStand(t, o, func(_ *Host, driver string) string { return "on_stop: keep\n" + standard(driver) })
			for _, host := range []string{"a", "b"} {
				s.must(s.process(host, "dns").Start(s.ctx))
			}
			knows(s.ctx, t, s.Lab, "a", "b")
			c := &chaos{stand: s, random: rand.New(rand.NewPCG(seed, 0)), served: true}
			for range 5 {
				for range 4 {
					c.event()
				}
				c.mend()
			}
		})
	}
}

// chaos is what was done to host a.
type chaos struct {
	*stand
	random  *rand.Rand
	served  bool // the service runs
	drained bool
	broken  []func() error // what puts right what must not last
}

// event does one thing at random.
func (c *chaos) event() {
	c.t.Helper()
	a := c.Host("a")
	daemons := a.Daemons()
	daemon := daemons[len(daemons)-1]
	keepcast, service := c.process("a", "keepcast"), c.process("a", "dns")
	events := map[string]func() error{
		"kill service":   func() error { return c.toggle(service, false) },
		"start service":  func() error { return c.toggle(service, true) },
		"drain":          func() error { return c.command(true) },
		"resume":         func() error { return c.command(false) },
		"kill keepcast":  func() error { return errors.Join(keepcast.Kill(c.ctx), keepcast.Start(c.ctx)) },
		"kill daemon":    func() error { return errors.Join(daemon.Kill(c.ctx), a.StartDaemons(c.ctx)) },
		"freeze daemon":  func() error { return c.freeze(daemon) },
		"delete address": func() error { return c.harm("ip", "address", "flush", "dev", Interface, "scope", "global") },
		"link down":      func() error { return c.harm("ip", "link", "set", Interface, "down") },
		"delete route":   func() error { return c.harm("ip", "route", "flush", "table", "local", "proto", "250") },
	}
	names := slices.Sorted(maps.Keys(events))
	name := names[c.random.IntN(len(names))]
	c.t.Log(name)
	if err := events[name](); err != nil {
		c.t.Fatalf("%s: %v", name, err)
	}
}

// toggle starts or kills the service. It may not be able to bind right after
// something was deleted.
func (c *chaos) toggle(service *Process, on bool) error {
	if c.served == on {
		return nil
	}
	c.served = on
	if !on {
		return service.Kill(c.ctx)
	}
	return Until(c.ctx, "the service starts", func(ctx context.Context) error { return service.Start(ctx) })
}

func (c *chaos) command(drain bool) error {
	c.drained = drain
	verb := "resume"
	if drain {
		verb = "drain"
	}
	_, err := c.Host("a").Keepcast(c.ctx, verb, "dns")
	return err
}

// freeze stops the daemon until everything is to settle.
func (c *chaos) freeze(daemon *Process) error {
	if !daemon.Running() {
		return nil
	}
	c.broken = append(c.broken, func() error { return daemon.Signal(syscall.SIGCONT) })
	return daemon.Signal(syscall.SIGSTOP)
}

func (c *chaos) harm(argv ...string) error {
	_, err := c.Host("a").Output(c.ctx, argv...)
	return err
}

// mend ends what must not last and waits until the router is right.
func (c *chaos) mend() {
	c.t.Helper()
	for _, mend := range c.broken {
		c.must(mend())
	}
	c.broken = nil
	host := "b"
	if c.served && !c.drained {
		host = "a"
	}
	c.t.Logf("mending: served by %s", host)
	c.routed(host)
	if host == "a" {
		knows(c.ctx, c.t, c.Lab, "a", "b")
	} else {
		knows(c.ctx, c.t, c.Lab, "b")
	}
}
