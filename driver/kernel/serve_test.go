package kernel

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// pair joins a host and a client by a veth pair; the client reaches v4 and v6
// through the host.
func pair(t *testing.T) (host, client space) {
	t.Helper()
	host, client = newSpace(t), newSpace(t)
	host.ip("link add v0 type veth peer name v1")
	host.ip("link set v1 netns " + client.path())
	for _, end := range []struct {
		space
		dev, last string
	}{{host, "v0", "1"}, {client, "v1", "2"}} {
		end.ip("addr add 10.99.7.4" + end.last + "/24 dev " + end.dev)
		end.ip("addr add fd99::" + end.last + "/64 dev " + end.dev + " nodad")
		end.ip("link set " + end.dev + " up")
	}
	client.ip("route add " + drivertest.V4 + " via 10.99.7.41")
	client.ip("route add " + drivertest.V6 + " via fd99::1")
	return host, client
}

// echo serves TCP and UDP on addr in the namespace until the test ends.
func (s space) echo(addr netip.AddrPort) {
	s.t.Helper()
	var l net.Listener
	var p net.PacketConn
	err := s.do(func() (err error) {
		var lc net.ListenConfig
		if l, err = lc.Listen(context.Background(), "tcp", addr.String()); err != nil {
			return err
		}
		p, err = lc.ListenPacket(context.Background(), "udp", addr.String())
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { copyBack(ctx, c) })
		}
	})
	wg.Go(func() {
		buf := make([]byte, 64)
		for {
			n, from, err := p.ReadFrom(buf)
			if err != nil {
				return
			}
			p.WriteTo(buf[:n], from)
		}
	})
	s.t.Cleanup(func() {
		stop()
		l.Close()
		p.Close()
		wg.Wait()
	})
}

func copyBack(ctx context.Context, c net.Conn) {
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })() // its client may be cut off
	buf := make([]byte, 64)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		if _, err := c.Write(buf[:n]); err != nil {
			return
		}
	}
}

// dial connects from the namespace.
func (s space) dial(network string, to netip.AddrPort) (net.Conn, error) {
	var c net.Conn
	err := s.do(func() (err error) {
		c, err = (&net.Dialer{Timeout: 5 * time.Second}).Dial(network, to.String())
		return err
	})
	return c, err
}

// echoed sends one word and wants it back.
func echoed(c net.Conn, patience time.Duration) error {
	buf := make([]byte, 64)
	if _, err := c.Write([]byte("ping")); err != nil {
		return err
	}
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	n, err := c.Read(buf)
	if err == nil && string(buf[:n]) != "ping" {
		err = errors.New("got " + string(buf[:n]))
	}
	return err
}

// The heart of a drain without loss: what is bound to the address goes on being
// served through every change between announced and delivered, open
// connections and new ones, and is gone once absent.
func TestKernelDelivers(t *testing.T) {
	for name, prefix := range map[string]string{"ipv4": drivertest.V4, "ipv6": drivertest.V6} {
		t.Run(name, func(t *testing.T) {
			host, client := pair(t)
			k := host.kernel()
			apply(t, k, drivertest.Route(prefix, driver.Announced))
			at := netip.AddrPortFrom(netip.MustParsePrefix(prefix).Addr(), 5353)
			host.echo(at)
			old, err := client.dial("tcp", at)
			if err != nil {
				t.Fatal(err)
			}
			defer old.Close()
			for _, p := range []driver.Presence{driver.Announced, driver.Delivered, driver.Announced} {
				apply(t, k, drivertest.Route(prefix, p))
				if err := echoed(old, 5*time.Second); err != nil {
					t.Errorf("%s: the open connection: %v", p, err)
				}
				c, err := client.dial("tcp", at)
				if err != nil {
					t.Errorf("%s: a new connection: %v", p, err)
					continue
				}
				if err := echoed(c, 5*time.Second); err != nil {
					t.Errorf("%s: the new connection: %v", p, err)
				}
				c.Close()
			}
			noneLost(t, client, at, func() {
				for range 100 {
					apply(t, k, drivertest.Route(prefix, driver.Delivered))
					apply(t, k, drivertest.Route(prefix, driver.Announced))
				}
			})
			apply(t, k, drivertest.Route(prefix, driver.Absent))
			u, err := client.dial("udp", at)
			if err != nil {
				t.Fatal(err)
			}
			defer u.Close()
			if err := echoed(u, 100*time.Millisecond); err == nil {
				t.Error("absent, and still served")
			}
		})
	}
}

// noneLost sends datagrams while f runs: nothing sends a lost one again.
func noneLost(t *testing.T, client space, at netip.AddrPort, f func()) {
	t.Helper()
	u, err := client.dial("udp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	sent, lost := 0, 0
	wg.Go(func() {
		for ctx.Err() == nil {
			sent++
			if err := echoed(u, time.Second); err != nil {
				if !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Log(err)
				}
				lost++
			}
		}
	})
	f()
	stop()
	wg.Wait()
	if lost > 0 || sent < 100 {
		t.Errorf("%d of %d datagrams lost", lost, sent)
	}
}
