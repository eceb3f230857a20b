package checks

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestOnlyLocal(t *testing.T) {
	address := netip.MustParseAddr("192.0.2.53")
	guard := OnlyLocal(func(a netip.Addr) bool { return a == address },
		func(netip.Addr) error { return errors.New("192.0.2.53 goes out by eth0") })
	ctx := WithGuard(t.Context(), guard)
	_, err := Dialer().DialContext(ctx, "tcp", "192.0.2.53:53")
	if want := "dial tcp 192.0.2.53:53: not probed, since only an answer of this host counts: 192.0.2.53 goes out by eth0"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if err := guard(netip.MustParseAddr("192.0.2.54")); err != nil {
		t.Errorf("an address that is not managed: %v", err)
	}
}

// A socket that was hastened is told at the next connect(2) how it ended, and need not be
// waited for.
func TestHasten(t *testing.T) {
	for network, host := range map[string]string{"tcp4": "127.0.0.1:0", "tcp6": "[::1]:0"} {
		listener, err := net.Listen(network, host)
		if err != nil {
			t.Fatal(err)
		}
		to := netip.MustParseAddrPort(listener.Addr().String())
		if err := hastened(t, to); err != nil && !errors.Is(err, unix.EISCONN) {
			t.Errorf("%s, to a listener: %v", network, err)
		}
		listener.Close()
		if err := hastened(t, to); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("%s, to nobody: %v", network, err)
		}
	}
}

// hastened returns what connect says of a socket that was hastened.
func hastened(t *testing.T, to netip.AddrPort) error {
	t.Helper()
	family := unix.AF_INET
	if to.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	socket := os.NewFile(uintptr(fd), "socket")
	defer socket.Close()
	conn, err := socket.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	hasten(to, conn)
	for deadline := time.Now().Add(5 * time.Second); ; { // a busy kernel answers after the call
		err := connectTo(fd, to)
		if !errors.Is(err, unix.EALREADY) || time.Now().After(deadline) {
			return err
		}
	}
}
