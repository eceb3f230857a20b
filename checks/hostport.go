package checks

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// How settings name a host and a port.

// withPort reads a setting that names a server: an address or a host, with or without a
// port. It returns the host, and the same with its port, which is port where there is none.
func withPort(setting, server, port string) (host, address string, err error) {
	bare := strings.TrimSuffix(strings.TrimPrefix(server, "["), "]")
	if _, err := netip.ParseAddr(bare); err == nil {
		return bare, net.JoinHostPort(bare, port), nil
	}
	host = server
	if strings.Contains(server, ":") {
		if host, port, err = net.SplitHostPort(server); err != nil {
			return "", "", fmt.Errorf("%s: %q is no address, host or either with a port", setting, server)
		}
	}
	if host == "" || strings.ContainsAny(host, "/ []") {
		return "", "", fmt.Errorf("%s: %q is no address, host or either with a port", setting, server)
	}
	if err := cmp.Or(validPort(port), validHost(host)); err != nil {
		return "", "", fmt.Errorf("%s: %w", setting, err)
	}
	return host, net.JoinHostPort(host, port), nil
}

// validHost says what is wrong with a host that is an address, or a name to be looked up. One
// of digits and dots alone can only be an address: no resolver knows such a name.
func validHost(host string) error {
	if !literal(host).IsValid() && strings.Trim(host, "0123456789.") == "" {
		return fmt.Errorf("%q is no address", host)
	}
	return nil
}

// targetWithPort is Target of a server that withPort reads.
func targetWithPort(server string) netip.Addr {
	host, _, err := withPort("", server, "1")
	if err != nil {
		return netip.Addr{}
	}
	return literal(host)
}

// validAddress says what is wrong with an address to connect to, a host and a port. The
// port is for the example in the error.
func validAddress(address, port string) error {
	host, given, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return fmt.Errorf("address: %q is not a host and a port, as in 127.0.0.1:%s or [::1]:%s", address, port, port)
	}
	if err := cmp.Or(validHost(host), validPort(given)); err != nil {
		return fmt.Errorf("address: %w", err)
	}
	return nil
}

// targetOf is Target of an address to connect to, a host and a port.
func targetOf(address string) netip.Addr {
	host, _, err := net.SplitHostPort(address)
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

// validPort says what is wrong with a port.
func validPort(port string) error {
	_, err := portNumber(port)
	return err
}

// portNumber reads a port as a number; names of ports are not looked up.
func portNumber(port string) (uint16, error) {
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is no port from 1 to 65535", port)
	}
	return uint16(n), nil
}
