package checks

import (
	"cmp"
	"net"
	"net/url"
)

// The ports that the kinds ask: each implements Ported.

// Port implements Ported.
func (c *Certificate) Port() (network string, port uint16) { return "tcp", portIn(c.Address) }

// Port implements Ported.
func (d *DHCP) Port() (network string, port uint16) { return "udp", portIn(d.Address) }

// Port implements Ported.
func (d *DNS) Port() (network string, port uint16) {
	_, address, _ := d.server()
	return networkOf(d.Transport), portIn(address)
}

// Port implements Ported.
func (g *GRPC) Port() (network string, port uint16) { return "tcp", portIn(g.Address) }

// Port implements Ported.
func (h *HTTP) Port() (network string, port uint16) {
	if h.Connect.IsValid() {
		return "tcp", h.Connect.Port()
	}
	u, err := url.Parse(h.URL)
	if err != nil {
		return "tcp", 0
	}
	return "tcp", portIn(net.JoinHostPort("", urlPort(u)))
}

// Port implements Ported.
func (i *IKE) Port() (network string, port uint16) { return "udp", portWith(i.Address, "500") }

// Port implements Ported.
func (i *IMAP) Port() (network string, port uint16) { return "tcp", portIn(i.Address) }

// Port implements Ported.
func (k *Kerberos) Port() (network string, port uint16) {
	return networkOf(k.Transport), portWith(k.Server, "88")
}

// Port implements Ported.
func (l *LDAP) Port() (network string, port uint16) {
	_, address, _, _ := l.endpoint()
	return "tcp", portIn(address)
}

// Port implements Ported.
func (l *Listener) Port() (network string, port uint16) { return l.Network, l.Address.Port() }

// Port implements Ported.
func (m *Metrics) Port() (network string, port uint16) { return m.http().Port() }

// Port implements Ported.
func (m *MySQL) Port() (network string, port uint16) { return "tcp", portIn(m.Address) }

// Port implements Ported.
func (n *NTP) Port() (network string, port uint16) { return "udp", portWith(n.Address, "123") }

// Port implements Ported.
func (o *OpenVPN) Port() (network string, port uint16) {
	return networkOf(o.Transport), portWith(o.Address, "1194")
}

// Port implements Ported.
func (p *Postgres) Port() (network string, port uint16) { return "tcp", portIn(p.Address) }

// Port implements Ported.
func (r *Radius) Port() (network string, port uint16) { return "udp", portWith(r.Address, "1812") }

// Port implements Ported.
func (r *Redis) Port() (network string, port uint16) { return "tcp", portIn(r.Address) }

// Port implements Ported.
func (s *SMTP) Port() (network string, port uint16) { return "tcp", portIn(s.Address) }

// Port implements Ported.
func (c *SNMP) Port() (network string, port uint16) { return "udp", portIn(c.Address) }

// Port implements Ported.
func (l *Syslog) Port() (network string, port uint16) {
	return networkOf(l.Transport), portIn(l.Address)
}

// Port implements Ported.
func (t *TCP) Port() (network string, port uint16) { return "tcp", portIn(t.Address) }

// Port implements Ported.
func (f *TFTP) Port() (network string, port uint16) { return "udp", portIn(f.Address) }

// Port implements Ported.
func (u *UDP) Port() (network string, port uint16) { return "udp", portIn(u.Address) }

// networkOf returns the network of a transport; what is not UDP is on top of TCP.
func networkOf(transport string) string {
	if cmp.Or(transport, "udp") == "udp" {
		return "udp"
	}
	return "tcp"
}

// portIn returns the port of an address to connect to; 0: it has none.
func portIn(address string) uint16 {
	_, port, _ := net.SplitHostPort(address)
	n, _ := portNumber(port) // 0 of what is none
	return n
}

// portWith is portIn a server that withPort reads.
func portWith(server, port string) uint16 {
	_, address, _ := withPort("", server, port) // none of what is no server
	return portIn(address)
}
