package doctor

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/keepcast/keepcast/checks"
	"github.com/keepcast/keepcast/checks/sockets"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver"
)

// ReadSockets asks the kernel for the sockets of this host on which services wait for clients.
func ReadSockets() []sockets.Socket {
	open, _ := sockets.All() // of what it does not tell, nothing is known
	return open
}

// servesOff reports whether it is seen that a service serves an IPv6 address also while that
// is on no interface, and can start again then: there are sockets for it, and all of them may.
// Its sockets are those on the address, and those on any that are at a port which a check asks.
// There is one at each of those ports: else what is asked there may be down just now.
func servesOff(s config.Service, a netip.Addr, open []sockets.Socket) bool {
	seen := map[string]bool{} // by the port that is asked
	for _, c := range s.Checks {
		if port := portOf(c); port != "" {
			seen[port] = false
		}
	}
	own := 0
	for _, o := range open {
		port := fmt.Sprint(o.Network, o.Local.Port())
		_, asked := seen[port]
		if o.Local.Addr() != a && (!asked || o.Device != 0 || !o.Takes(netip.AddrPortFrom(a, o.Local.Port()))) {
			continue
		}
		if !o.Free && (o.Network == "udp" || o.Local.Addr() == a) {
			return false // of TCP, one on any address answers from that which the client has connected to
		}
		own++
		if asked {
			seen[port] = true
		}
	}
	return own > 0 && !slices.Contains(slices.Collect(maps.Values(seen)), false)
}

// portOf is the network and the port that a check asks, at whatever address; "" for none.
func portOf(c config.Check) string {
	ported, ok := c.Checker.(checks.Ported)
	if !ok {
		return ""
	}
	network, port := ported.Port()
	if port == 0 {
		return ""
	}
	return fmt.Sprint(network, port)
}

// Unwatched says that a crash is not seen at once, for the reason why the kernel does not
// tell of it; nil: it does.
func Unwatched(why error) *driver.Finding {
	if why == nil {
		return nil
	}
	return &driver.Finding{
		Name: "sockets-unwatched", Level: driver.LevelWarning, Subject: "keepcast",
		Text: fmt.Sprintf("the kernel does not tell when a service stops listening (%v), so a crash is seen by the next run of a check, not at once", why),
		Fix:  "modprobe -a inet_diag tcp_diag udp_diag, and let the unit have AF_NETLINK (RestrictAddressFamilies=). It is tried again every half minute",
	}
}
