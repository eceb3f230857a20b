package checks

import (
	"net/netip"
	"testing"
)

func TestPort(t *testing.T) {
	const path = "/run/server.sock"
	for _, tt := range []struct {
		check   Ported
		network string
		port    uint16
	}{
		{&Certificate{Address: "192.0.2.1:443"}, "tcp", 443},
		{&Certificate{File: "/a.pem"}, "tcp", 0},
		{&DHCP{Address: "192.0.2.1:67"}, "udp", 67},
		{&DNS{Server: "192.0.2.53"}, "udp", 53},
		{&DNS{Server: "ns:5353", Transport: "tcp"}, "tcp", 5353},
		{&DNS{Server: "ns", Transport: "tls"}, "tcp", 853},
		{&DNS{Server: "a:b:c"}, "udp", 0},
		{&GRPC{Address: "[::1]:50051"}, "tcp", 50051},
		{&HTTP{URL: "http://192.0.2.80/x"}, "tcp", 80},
		{&HTTP{URL: "https://www.example.com/"}, "tcp", 443},
		{&HTTP{URL: "https://[2001:db8::80]:8443/"}, "tcp", 8443},
		{&HTTP{URL: "http://www/", Connect: netip.MustParseAddrPort("192.0.2.7:81")}, "tcp", 81},
		{&HTTP{URL: "http://[/"}, "tcp", 0},
		{&IKE{Address: "192.0.2.1"}, "udp", 500},
		{&IMAP{Address: "192.0.2.1:993"}, "tcp", 993},
		{&Kerberos{Server: "kdc"}, "udp", 88},
		{&Kerberos{Server: "kdc:89", Transport: "tcp"}, "tcp", 89},
		{&LDAP{Address: "dc", Transport: "tls"}, "tcp", 636},
		{&LDAP{Address: path}, "tcp", 0},
		{&Listener{Address: netip.MustParseAddrPort("192.0.2.1:53"), Network: "udp"}, "udp", 53},
		{&Metrics{URL: "http://192.0.2.1:9100/metrics"}, "tcp", 9100},
		{&MySQL{Address: "192.0.2.1:3306"}, "tcp", 3306},
		{&NTP{Address: "192.0.2.1"}, "udp", 123},
		{&OpenVPN{Address: "192.0.2.1"}, "udp", 1194},
		{&OpenVPN{Address: "192.0.2.1:443", Transport: "tcp"}, "tcp", 443},
		{&Postgres{Address: "192.0.2.1:5432"}, "tcp", 5432},
		{&Postgres{Address: "/run/postgresql"}, "tcp", 0},
		{&Radius{Address: "192.0.2.1"}, "udp", 1812},
		{&Redis{Address: path}, "tcp", 0},
		{&Redis{Address: "192.0.2.1:6379"}, "tcp", 6379},
		{&SMTP{Address: "192.0.2.1:25"}, "tcp", 25},
		{&SNMP{Address: "192.0.2.1:161"}, "udp", 161},
		{&Syslog{Address: "192.0.2.1:514"}, "udp", 514},
		{&Syslog{Address: "192.0.2.1:6514", Transport: "tls"}, "tcp", 6514},
		{&TCP{Address: "mail:25"}, "tcp", 25},
		{&TCP{Address: "mail"}, "tcp", 0},
		{&TCP{Address: "mail:smtp"}, "tcp", 0},
		{&TFTP{Address: "192.0.2.1:69"}, "udp", 69},
		{&UDP{Address: "192.0.2.1:514"}, "udp", 514},
	} {
		if network, port := tt.check.Port(); network != tt.network || port != tt.port {
			t.Errorf("%+v: got %s %d, want %s %d", tt.check, network, port, tt.network, tt.port)
		}
	}
}

func TestTarget(t *testing.T) {
	connect := netip.MustParseAddrPort("[::ffff:192.0.2.7]:80")
	for _, tt := range []struct {
		check Aimed
		want  string
	}{
		{&DNS{Server: "192.0.2.53"}, "192.0.2.53"},
		{&DNS{Server: "192.0.2.53:5353"}, "192.0.2.53"},
		{&DNS{Server: "[2001:db8::53]"}, "2001:db8::53"},
		{&DNS{Server: "[2001:db8::53]:53"}, "2001:db8::53"},
		{&DNS{Server: "localhost"}, ""},
		{&DNS{Server: "a:b:c"}, ""},
		{&HTTP{URL: "http://192.0.2.80/x"}, "192.0.2.80"},
		{&HTTP{URL: "https://[2001:db8::80]:443/"}, "2001:db8::80"},
		{&HTTP{URL: "http://www.example.com/"}, ""},
		{&HTTP{URL: "http://[/"}, ""},
		{&HTTP{URL: "http://192.0.2.80/", Connect: connect}, "192.0.2.7"},
		{&Kerberos{Server: "192.0.2.88"}, "192.0.2.88"},
		{&Kerberos{Server: "kdc:88"}, ""},
		{&Kerberos{Server: "a:b:c"}, ""},
		{&Radius{Address: "[2001:db8::18]:1645"}, "2001:db8::18"},
		{&Radius{Address: "radius"}, ""},
		{&Radius{Address: "a:b:c"}, ""},
		{&TCP{Address: "192.0.2.25:25"}, "192.0.2.25"},
		{&TCP{Address: "[2001:db8::25]:25"}, "2001:db8::25"},
		{&TCP{Address: "[::ffff:192.0.2.25]:25"}, "192.0.2.25"},
		{&TCP{Address: "mail:25"}, ""},
		{&Ping{Address: "::ffff:192.0.2.1"}, "192.0.2.1"},
		{&Ping{Address: "router"}, ""},
		{&UDP{Address: "[2001:db8::1]:514"}, "2001:db8::1"},
		{&UDP{Address: "log:514"}, ""},
		{&DHCP{Address: "192.0.2.1:67"}, "192.0.2.1"},
		{&Syslog{Address: "192.0.2.1:514"}, "192.0.2.1"},
		{&TFTP{Address: "192.0.2.1:69"}, "192.0.2.1"},
		{&SNMP{Address: "192.0.2.1:161"}, "192.0.2.1"},
		{&SMTP{Address: "192.0.2.25:25"}, "192.0.2.25"},
		{&IMAP{Address: "192.0.2.143:143"}, "192.0.2.143"},
		{&Certificate{Address: "192.0.2.1:443"}, "192.0.2.1"},
		{&Certificate{File: "/a.pem"}, ""},
		{&TCP{Address: "mail"}, ""},
	} {
		want := netip.Addr{}
		if tt.want != "" {
			want = netip.MustParseAddr(tt.want)
		}
		if got := tt.check.Target(); got != want {
			t.Errorf("%+v: got %s, want %s", tt.check, got, want)
		}
	}
}
