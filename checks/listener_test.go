package checks

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// lazy returns the address of a server that accepts nothing, and lets that many wait.
func lazy(t *testing.T, backlog int) netip.AddrPort {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, backlog); err != nil {
		t.Fatal(err)
	}
	at, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(at.(*unix.SockaddrInet4).Port))
}

// A server that accepts nothing is seen by its queue.
func TestListenerHangs(t *testing.T) {
	at := lazy(t, 10)
	l := &Listener{Address: at, Network: "tcp", MaxQueue: 50, MaxDrops: -1}
	for waiting := 0; waiting <= 6; waiting++ {
		want := ""
		if waiting == 6 {
			want = "tcp ADDR: 6 of 10 connections wait to be accepted (60%, more than 50%): the server hangs, or has more to do than it can"
		}
		err := l.Check(within(t))
		if want == "" && err != nil {
			t.Errorf("%d wait: %v", waiting, err)
		} else if want != "" {
			sameError(t, err, want, at.String())
		}
		if health.IsCertain(err) {
			t.Error("certain, though it may go on")
		}
		c, err := net.Dial("tcp", at.String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
}

// Datagrams that nobody reads fill the buffer, and are dropped then.
func TestListenerUDP(t *testing.T) {
	server, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if err := server.SetReadBuffer(8192); err != nil {
		t.Fatal(err)
	}
	at := server.LocalAddr().(*net.UDPAddr).AddrPort()
	full := &Listener{Address: at, Network: "udp", MaxQueue: 50, MaxDrops: -1}
	dropping := &Listener{Address: at, Network: "udp", MaxQueue: 100, MaxDrops: 3}
	for _, l := range []*Listener{full, dropping} {
		if err := l.Check(within(t)); err != nil {
			t.Error(err)
		}
	}
	c, err := net.Dial("udp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 50 {
		if _, err := c.Write(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	if err := full.Check(within(t)); err == nil || !strings.Contains(err.Error(), " of 16384 bytes wait to be read (") {
		t.Errorf("got %v", err)
	}
	if err := dropping.Check(within(t)); err == nil || !strings.Contains(err.Error(), " datagrams dropped since the last run, more than 3: the server hangs") {
		t.Errorf("got %v", err)
	}
	if err := dropping.Check(within(t)); err != nil {
		t.Errorf("what was dropped before counts again: %v", err)
	}
}

// The end of a listener is told, and leaves no doubt.
func TestListenerCloses(t *testing.T) {
	ctx, woken := followed(t)
	server, err := net.Listen("tcp", "[::]:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	at := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), server.Addr().(*net.TCPAddr).AddrPort().Port())
	l := &Listener{Address: at, Network: "tcp", MaxQueue: 50, MaxDrops: -1}
	if err := l.Check(ctx); err != nil {
		t.Error(err)
	}
	server.Close()
	drivertest.Eventually(t, "the wake", func() bool { return woken.Load() > 0 })
	err = l.Check(ctx)
	sameError(t, err, "nothing listens on tcp ADDR", at.String())
	if !health.IsCertain(err) {
		t.Error("not certain")
	}
}

// A service in a VRF is not that of another VRF, but one that is bound to none serves all.
func TestListenerInVRF(t *testing.T) {
	drivertest.NeedsRoot(t, "to bind to a device")
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	server, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	raw, err := server.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	l := &Listener{Address: server.Addr().(*net.TCPAddr).AddrPort(), Network: "tcp", MaxQueue: 50, MaxDrops: -1}
	in := func(name string) error {
		return l.Check(WithDevice(within(t), func() (string, error) { return name, nil }))
	}
	if err := in(lo.Name); err != nil {
		t.Errorf("bound to none: %v", err)
	}
	if err := bind(raw, lo.Name); err != nil {
		t.Fatal(err)
	}
	if err := in(lo.Name); err != nil {
		t.Errorf("bound to that VRF: %v", err)
	}
	if err := in(""); err != nil {
		t.Errorf("asked in no VRF: %v", err)
	}
	sameError(t, in("vrf-none"), "vrf-none, the VRF of the service's interface: route ip+net: no such network interface", "")
}

func TestListenerValidate(t *testing.T) {
	for name, tc := range map[string]struct {
		l    *Listener
		want string
	}{
		"good":        {&Listener{Address: netip.MustParseAddrPort("127.0.0.1:53"), Network: "udp", MaxDrops: 0}, ""},
		"no port":     {&Listener{Address: netip.MustParseAddrPort("127.0.0.1:0"), MaxDrops: -1}, "address: 127.0.0.1:0 has no port"},
		"no address":  {&Listener{Address: netip.MustParseAddrPort("[::]:53"), MaxDrops: -1}, "address: no client connects to ::: give one of the addresses, such as 127.0.0.1:53"},
		"drop of TCP": {&Listener{Address: netip.MustParseAddrPort("127.0.0.1:53"), Network: "tcp", MaxDrops: 0}, "max_drops: only with network: udp"},
	} {
		err := tc.l.Validate()
		if tc.want == "" && err != nil {
			t.Errorf("%s: %v", name, err)
		} else if tc.want != "" {
			sameError(t, err, tc.want, "")
		}
	}
}
