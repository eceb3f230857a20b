package checks

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/checks/sockets"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// followed returns a context whose follower counts the wakes.
func followed(t *testing.T) (context.Context, *atomic.Int64) {
	t.Helper()
	watch := sockets.New(func(netip.Addr) error { return nil })
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- watch.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	var works, woken atomic.Int64
	first := watch.Follow(func() { works.Add(1) })
	drivertest.Eventually(t, "the watch of sockets", func() bool {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		first.Aim("tcp", l.Addr().(*net.TCPAddr).AddrPort())
		l.Close()
		return works.Load() > 0
	})
	first.Close()
	f := watch.Follow(func() { woken.Add(1) })
	t.Cleanup(f.Close)
	return WithFollower(within(t), f), &woken
}

// A check of any kind that connects is woken when what it connects to stops listening. It
// then finds a failure that leaves no doubt.
func TestStopsListening(t *testing.T) {
	for name, check := range map[string]func(at string) Checker{
		"tcp":      func(at string) Checker { return &TCP{Address: at} },
		"http":     func(at string) Checker { return &HTTP{URL: "http://" + at + "/", Method: "GET"} },
		"dns, tcp": func(at string) Checker { return &DNS{Server: at, Transport: "tcp", Query: "example.com"} },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, woken := followed(t)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					c.Close()
				}
			}()
			c := check(l.Addr().String())
			_ = c.Check(ctx) // whatever it says, it has connected
			follower(ctx).Learn()
			l.Close()
			drivertest.Eventually(t, "the wake", func() bool { return woken.Load() > 0 })
			if err := c.Check(ctx); !health.IsCertain(err) || !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("got %v, certain: %t", err, health.IsCertain(err))
			}
		})
	}
}

// Over UDP the refusal comes as the answer.
func TestStopsListeningUDP(t *testing.T) {
	ctx, woken := followed(t)
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	c := &DNS{Server: server.LocalAddr().String(), Transport: "udp", Query: "example.com"}
	asking, stop := context.WithCancel(ctx)
	first := make(chan error)
	go func() { first <- c.Check(asking) }()
	if _, _, err := server.ReadFrom(make([]byte, 512)); err != nil {
		t.Fatal(err)
	}
	stop()
	follower(ctx).Learn()
	if err := <-first; health.IsCertain(err) {
		t.Errorf("certain, though it only hangs: %v", err)
	}
	server.Close()
	drivertest.Eventually(t, "the wake", func() bool { return woken.Load() > 0 })
	if err := c.Check(ctx); !health.IsCertain(err) {
		t.Errorf("not certain: %v", err)
	}
}

// A check that has its own words for a refusal keeps that it is certain.
func TestStopsListeningOwnWords(t *testing.T) {
	ctx, _ := followed(t)
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	c := &UDP{Address: server.LocalAddr().String(), Send: "a", Quiet: time.Millisecond}
	if err := c.Check(ctx); err != nil {
		t.Error(err)
	}
	follower(ctx).Learn()
	server.Close()
	if err := c.Check(ctx); !health.IsCertain(err) {
		t.Errorf("not certain: %v", err)
	}
}

// What refuses without a doubt, and what leaves one.
func TestRefused(t *testing.T) {
	ctx, _ := followed(t)
	at, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at.Close()
	if err := (&TCP{Address: at.Addr().String()}).Check(ctx); err == nil || health.IsCertain(err) {
		t.Errorf("nobody was ever known to listen: %v, certain: %t", err, health.IsCertain(err))
	}
	path := filepath.Join(t.TempDir(), "socket")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	if _, err := connect(within(t), "unix", path, nil); !health.IsCertain(err) {
		t.Errorf("nobody listens on a unix socket: %v", err)
	}
	// A reload that has bound the new socket, and does not listen on it yet.
	old, err := net.Listen("unix", path+".new")
	if err != nil {
		t.Fatal(err)
	}
	old.(*net.UnixListener).SetUnlinkOnClose(false)
	os.Remove(path + ".new")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: path + ".new"}); err != nil {
		t.Fatal(err)
	}
	if _, err := connect(within(t), "unix", path+".new", nil); err == nil || health.IsCertain(err) {
		t.Errorf("while the old socket listens: %v, certain: %t", err, health.IsCertain(err))
	}
	old.Close()
	if _, err := connect(within(t), "unix", path+".new", nil); !health.IsCertain(err) {
		t.Errorf("once it does not: %v", err)
	}
	if _, err := connect(within(t), "unix", path+"0", nil); err == nil || health.IsCertain(err) {
		t.Errorf("there is no unix socket: %v, certain: %t", err, health.IsCertain(err))
	}
}
