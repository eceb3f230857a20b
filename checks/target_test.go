package checks

import (
	"net/netip"
	"testing"
)

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
