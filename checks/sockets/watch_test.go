package sockets

import (
	"context"
	"errors"
	"maps"
	"math"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/driver/ask"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// everywhere takes each address for one of this host.
func everywhere(netip.Addr) error { return nil }

// running returns a Watch that runs until the test ends.
func running(t testing.TB) *Watch {
	t.Helper()
	w := New(everywhere)
	run(t, w)
	return w
}

// run runs a Watch until the test ends. It returns after the first look at what is open, which
// might else tell of what the test does.
func run(t testing.TB, w *Watch) {
	t.Helper()
	first, looked := following(t, w)
	first.Aim("tcp", netip.MustParseAddrPort("127.0.0.1:1"))
	for _, k := range first.targets {
		k.open, k.stale = map[uint64]int{math.MaxUint64: 0}, false // none has such a cookie
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	drivertest.Eventually(t, "the first look", func() bool { return looked.Load() > 0 })
	first.Close()
}

// following returns a follower that counts its wakes.
func following(t testing.TB, w *Watch) (*Follower, *atomic.Int64) {
	t.Helper()
	var woken atomic.Int64
	f := w.Follow(func() { woken.Add(1) })
	t.Cleanup(f.Close)
	return f, &woken
}

// open opens a socket that waits for clients, and returns how to close it.
func open(t testing.TB, network, address string, options ...func(fd int)) (at netip.AddrPort, end func()) {
	t.Helper()
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			for _, set := range options {
				set(int(fd))
			}
		})
	}}
	if network == "udp" || network == "udp4" || network == "udp6" {
		c, err := config.ListenPacket(t.Context(), network, address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c.LocalAddr().(*net.UDPAddr).AddrPort(), func() { c.Close() }
	}
	l, err := config.Listen(t.Context(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().(*net.TCPAddr).AddrPort(), func() { l.Close() }
}

func reusePort(fd int) { _ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) }

func none(int) {}

func onLoopback(fd int) { _ = unix.BindToDevice(fd, "lo") }

// Whatever way a service waits for clients, its end is told to those who connect to it.
func TestClosed(t *testing.T) {
	w := running(t)
	for name, tc := range map[string]struct {
		network, address, to string
		option               func(fd int)
	}{
		"TCP":                     {"tcp4", "127.0.0.1:0", "127.0.0.1", none},
		"TCP, another address":    {"tcp4", "127.0.0.2:0", "127.0.0.2", none},
		"TCP over IPv6":           {"tcp6", "[::1]:0", "::1", none},
		"any address":             {"tcp4", "0.0.0.0:0", "127.0.0.1", none},
		"any of both families":    {"tcp", "[::]:0", "127.0.0.1", none},
		"any of both, asked by 6": {"tcp", "[::]:0", "::1", none},
		"mapped":                  {"tcp4", "127.0.0.1:0", "::ffff:127.0.0.1", none},
		"bound to a device":       {"tcp4", "127.0.0.1:0", "127.0.0.1", onLoopback},
		"UDP":                     {"udp4", "127.0.0.1:0", "127.0.0.1", none},
		"UDP over IPv6":           {"udp6", "[::1]:0", "::1", none},
		"UDP of both families":    {"udp", "[::]:0", "127.0.0.1", none},
		"UDP bound to a device":   {"udp6", "[::]:0", "::1", onLoopback},
	} {
		t.Run(name, func(t *testing.T) {
			f, woken := following(t, w)
			at, end := open(t, tc.network, tc.address, tc.option)
			to := netip.AddrPortFrom(netip.MustParseAddr(tc.to), at.Port())
			network := tc.network[:3]
			f.Aim(network, to)
			f.Learn()
			if f.Vanished(network, to) {
				t.Error("it vanished, though it is open")
			}
			end()
			drivertest.Eventually(t, "the wake", func() bool { return woken.Load() == 1 })
			if !f.Vanished(network, to) {
				t.Error("it has not vanished, though it is closed")
			}
		})
	}
}

// Sockets that are none of those that the follower connects to wake nobody.
func TestOthersClosed(t *testing.T) {
	w := running(t)
	f, woken := following(t, w)
	at, end := open(t, "tcp4", "127.0.0.1:0")
	f.Aim("tcp", at)
	f.Learn()
	_, endUDP := open(t, "udp4", at.String())
	_, endOther := open(t, "tcp4", netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), at.Port()).String())
	only6 := func(fd int) { _ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1) }
	_, end6 := open(t, "tcp6", netip.AddrPortFrom(netip.IPv6Unspecified(), at.Port()).String(), only6)
	for range 3 { // connections come and go
		c, err := net.Dial("tcp", at.String())
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	endUDP()
	endOther()
	end6()
	end() // after which all that came before has been told
	drivertest.Eventually(t, "the wake", func() bool { return woken.Load() > 0 })
	if n := woken.Load(); n != 1 {
		t.Errorf("woken %d times, want once", n)
	}
}

// One worker of several that share a port: the check is woken, and the others still listen.
// A reload that opens the new socket before it closes the old one looks the same.
func TestWorkerClosed(t *testing.T) {
	w := running(t)
	f, woken := following(t, w)
	at, end := open(t, "tcp4", "127.0.0.1:0", reusePort)
	_, endOther := open(t, "tcp4", at.String(), reusePort)
	f.Aim("tcp", at)
	f.Learn()
	end()
	drivertest.Eventually(t, "the wake", func() bool { return woken.Load() == 1 })
	if f.Vanished("tcp", at) {
		t.Error("vanished, though a worker listens")
	}
	f.Learn() // who is left
	w.mu.Lock()
	if k := f.known(target{"tcp", at}); k.stale || len(k.open) != 1 {
		t.Errorf("stale: %t, %d are known", k.stale, len(k.open))
	}
	w.mu.Unlock()
	endOther()
	drivertest.Eventually(t, "the second wake", func() bool { return woken.Load() == 2 })
	if !f.Vanished("tcp", at) {
		t.Error("not vanished, though no worker listens")
	}
}

// What the kernel never knew has not vanished: it may be reached through a filter that
// redirects, or be in a container. That may change: what is served otherwise now has not
// vanished, either.
func TestNeverListened(t *testing.T) {
	w := running(t)
	f, woken := following(t, w)
	at, end := open(t, "tcp4", "127.0.0.1:0")
	if f.Vanished("tcp", at) {
		t.Error("vanished, though it was never aimed at")
	}
	f.Aim("tcp", at)
	end()
	drivertest.Eventually(t, "the wake", func() bool { return woken.Load() == 1 })
	f.Learn()
	if f.Vanished("tcp", at) {
		t.Error("vanished, though nobody ever listened")
	}
	_, end = open(t, "tcp4", at.String())
	f.Learn()
	change := func(do func(k *known)) {
		w.mu.Lock()
		defer w.mu.Unlock()
		do(f.known(target{"tcp", at}))
	}
	change(func(k *known) {
		if len(k.open) > 0 {
			t.Error("the kernel is asked at each run, though it knew nobody")
		}
		k.asked = time.Now().Add(-askAgain)
	})
	f.Learn()
	end()
	if !f.Vanished("tcp", at) {
		t.Error("not vanished")
	}
	drivertest.Eventually(t, "the second wake", func() bool { return woken.Load() == 2 })
	f.Learn() // it is fit without a listener
	if f.Vanished("tcp", at) {
		t.Error("vanished, though another serves")
	}
}

// Where the kernel does not find who it lists, nothing is known, and so nothing vanishes.
func TestNotFound(t *testing.T) {
	w := running(t)
	f, _ := following(t, w)
	at, end := open(t, "tcp4", "127.0.0.1:0")
	w.looking = ask.New(drivertest.Space(t), unix.NETLINK_INET_DIAG) // in which nobody listens
	f.Aim("tcp", at)
	f.Learn()
	if n := w.Followed(); n != 0 {
		t.Errorf("%d are known", n)
	}
	end()
	if f.Vanished("tcp", at) {
		t.Error("vanished")
	}
}

// A listener of this host on the port of a service of another host says nothing of that.
func TestOnAnotherHost(t *testing.T) {
	w := running(t)
	f, _ := following(t, w)
	at, end := open(t, "tcp4", "127.0.0.1:0")
	f.Aim("tcp", at)
	f.Learn()
	end()
	w.Local = func(netip.Addr) error { return errors.New("goes out by eth0") }
	if f.Vanished("tcp", at) {
		t.Error("vanished, though it is elsewhere")
	}
}

// A child that keeps the socket open, and a shutdown, are not told. They are seen as they are.
func TestHeldOpen(t *testing.T) {
	w := running(t)
	f, woken := following(t, w)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	held, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	at := l.Addr().(*net.TCPAddr).AddrPort()
	f.Aim("tcp", at)
	f.Learn()
	l.Close()
	if f.Vanished("tcp", at) {
		t.Error("vanished, though a child listens")
	}
	if err := unix.Shutdown(int(held.Fd()), unix.SHUT_RDWR); err != nil {
		t.Fatal(err)
	}
	if !f.Vanished("tcp", at) {
		t.Error("not vanished, though it was shut down")
	}
	if n := woken.Load(); n != 0 {
		t.Errorf("woken %d times", n)
	}
}

// What happened while events were lost, or before there was a subscription, is found by
// asking anew.
func TestLostEvents(t *testing.T) {
	w := New(everywhere)
	gone, wokenGone := following(t, w)
	there, wokenThere := following(t, w)
	at, end := open(t, "tcp4", "127.0.0.1:0")
	other, _ := open(t, "udp4", "127.0.0.1:0")
	gone.Aim("tcp", at)
	gone.Learn()
	there.Aim("udp", other)
	there.Learn()
	end()
	w.compare()
	w.compare() // of what was told nothing is told again
	if wokenGone.Load() != 1 || wokenThere.Load() != 0 {
		t.Errorf("woken %d and %d times, want once and never", wokenGone.Load(), wokenThere.Load())
	}
}

// So is what happened before there was a subscription. The kernel tells of an end a moment after
// it, so that may come as well.
func TestBeforeRun(t *testing.T) {
	w := New(everywhere)
	f, woken := following(t, w)
	at, end := open(t, "tcp4", "127.0.0.1:0")
	f.Aim("tcp", at)
	f.Learn()
	end()
	run(t, w)
	drivertest.Eventually(t, "the wake", func() bool { return woken.Load() > 0 })
}

// Events that come faster than they are read are lost: then the kernel is asked.
func TestOverflow(t *testing.T) {
	w := running(t)
	f, woken := following(t, w)
	at, end := open(t, "tcp4", "127.0.0.1:0", reusePort)
	f.Aim("tcp", at)
	f.Learn()
	if err := unix.SetsockoptInt(w.events.GetFd(), unix.SOL_SOCKET, unix.SO_RCVBUF, 0); err != nil { // as small as may be
		t.Fatal(err)
	}
	w.mu.Lock() // which the reader needs for each event
	for range 50 {
		_, endOther := open(t, "tcp4", at.String(), reusePort)
		endOther()
	}
	end()
	w.mu.Unlock()
	drivertest.Eventually(t, "the wake", func() bool { return woken.Load() > 0 })
}

// An answer of the kernel that an event has overtaken is not believed.
func TestOvertaken(t *testing.T) {
	w := New(everywhere)
	f, _ := following(t, w)
	at, _ := open(t, "tcp4", "127.0.0.1:0")
	f.Aim("tcp", at)
	for name, overtake := range map[string]func(){
		"by its end":      func() { w.closed(Socket{Network: "tcp", Local: at, Cookie: 1}) },
		"by lost events":  func() { f.compare(map[uint64]bool{}, true) },
		"without answers": func() { f.compare(map[uint64]bool{1: true}, false) },
	} {
		aim := target{"tcp", at}
		f.targets = []*known{{target: aim, open: map[uint64]int{1: 0}}}
		ends := f.known(aim).ends
		overtake()
		f.learned(aim, ends, map[uint64]int{1: 0})
		if k := f.known(aim); !k.stale {
			t.Errorf("%s: believed", name)
		}
		f.Learn()
		if k := f.known(aim); k.stale || maps.Equal(k.open, map[uint64]int{1: 0}) || len(k.open) != 1 {
			t.Errorf("%s: afterwards it is %+v", name, k)
		}
	}
}

// A follower that has closed is neither woken nor known; others of the port are.
func TestClose(t *testing.T) {
	w := New(everywhere)
	f, woken := following(t, w)
	other, otherWoken := following(t, w)
	at := netip.MustParseAddrPort("127.0.0.1:53")
	f.Aim("tcp", at)
	f.Aim("udp", netip.MustParseAddrPort("127.0.0.1:54"))
	other.Aim("tcp", at)
	f.Close()
	w.closed(Socket{Network: "tcp", Local: at})
	if woken.Load() != 0 || otherWoken.Load() != 1 || len(w.followers) != 1 || len(w.followers[53]) != 1 || len(f.targets) != 0 {
		t.Errorf("woken %d and %d times; followers %v", woken.Load(), otherWoken.Load(), w.followers)
	}
	other.Close()
	if len(w.followers) != 0 {
		t.Errorf("still followed: %v", w.followers)
	}
}

// A service that comes back is followed again.
func TestComesBack(t *testing.T) {
	w := running(t)
	f, woken := following(t, w)
	at, end := open(t, "tcp4", "127.0.0.1:0")
	for n := int64(1); n <= 3; n++ {
		f.Aim("tcp", at)
		f.Learn()
		end()
		drivertest.Eventually(t, "the wake", func() bool { return woken.Load() == n })
		_, end = open(t, "tcp4", at.String())
	}
}

func TestBroken(t *testing.T) {
	w := New(everywhere)
	if err := w.Broken(); err != nil {
		t.Errorf("before it runs: %v", err)
	}
	var limit, none unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none = limit
	none.Cur = 0
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	err := w.Run(t.Context())
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(err, unix.EMFILE) || err.Error() != "subscribing to the ends of sockets: too many open files" || !errors.Is(w.Broken(), err) {
		t.Errorf("got %v, broken for %v", err, w.Broken())
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()
	drivertest.Eventually(t, "it works again", func() bool { return w.Broken() == nil })
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// The answer of the kernel may be younger than the news of an end, and know nobody. The next
// one who listens there was not known for a minute then.
func TestAskedBeforeTheNews(t *testing.T) {
	w := New(everywhere)
	f, woken := following(t, w)
	at, end := open(t, "tcp4", "127.0.0.1:0")
	end()
	f.Aim("tcp", at)
	f.Learn()
	w.closed(Socket{Network: "tcp", Local: at, Cookie: 1})
	if woken.Load() != 1 {
		t.Errorf("woken %d times", woken.Load())
	}
	open(t, "tcp4", at.String())
	f.Learn()
	if k := f.known(target{"tcp", at}); len(k.open) != 1 {
		t.Errorf("who listens now is not known: %+v", k)
	}
}

// A check that is sent to always another address follows the last ones.
func TestManyTargets(t *testing.T) {
	w := New(everywhere)
	f, _ := following(t, w)
	other, _ := following(t, w)
	at := netip.MustParseAddrPort("127.0.0.1:80")
	other.Aim("tcp", at)
	addr := at.Addr()
	for range 10 * mostTargets {
		addr = addr.Next()
		f.Aim("tcp", netip.AddrPortFrom(addr, 80))
	}
	if n := len(f.targets); n > mostTargets {
		t.Errorf("%d targets are kept", n)
	}
	if f.known(target{"tcp", netip.AddrPortFrom(addr, 80)}) == nil || !w.followers[80][f] || !w.followers[80][other] {
		t.Errorf("the last one is not followed: %v", w.followers)
	}
}

// Of a name with two addresses, one may never have had a service. The other one tells.
func TestVanishedOfName(t *testing.T) {
	w := New(everywhere)
	f, _ := following(t, w)
	at, end := open(t, "tcp4", "127.0.0.1:0")
	never := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), at.Port())
	second, endSecond := open(t, "tcp4", netip.AddrPortFrom(netip.MustParseAddr("127.0.0.3"), at.Port()).String())
	for _, to := range []netip.AddrPort{never, at, second} {
		f.Aim("tcp", to)
	}
	f.Learn()
	end()
	if f.Vanished("tcp", never) {
		t.Error("vanished, though the second one listens")
	}
	endSecond()
	if !f.Vanished("tcp", never) || f.Vanished("udp", never) || f.Vanished("tcp", netip.AddrPortFrom(at.Addr(), at.Port()+1)) {
		t.Error("it has not vanished, or something else has")
	}
	w.Local = func(a netip.Addr) error {
		if a == second.Addr() {
			return errors.New("not here")
		}
		return nil
	}
	if f.Vanished("tcp", never) {
		t.Error("vanished, though one may be elsewhere")
	}
}
