package checks

import (
	"errors"
	"net/netip"
	"testing"
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
