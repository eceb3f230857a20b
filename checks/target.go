package checks

import (
	"net"
	"net/netip"
	"net/url"
)

// Aimed is a Checker that probes one host.
type Aimed interface {
	// Target returns the address that is probed; the zero Addr where a name has to be
	// looked up first.
	Target() netip.Addr
}

// Target implements Aimed.
func (d *DNS) Target() netip.Addr {
	host, _, err := d.server()
	if err != nil {
		return netip.Addr{}
	}
	return literal(host)
}

// Target implements Aimed.
func (h *HTTP) Target() netip.Addr {
	if h.Connect.IsValid() {
		return h.Connect.Addr().Unmap()
	}
	u, err := url.Parse(h.URL)
	if err != nil {
		return netip.Addr{}
	}
	return literal(u.Hostname())
}

// Target implements Aimed.
func (t *TCP) Target() netip.Addr {
	host, _, err := net.SplitHostPort(t.Address)
	if err != nil {
		return netip.Addr{}
	}
	return literal(host)
}

// literal returns the address that a host is written as; the zero Addr for a name.
func literal(host string) netip.Addr {
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap()
}
