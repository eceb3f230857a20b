package doctor

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/keepcast/keepcast/checks/sockets"
)

// A server that may bind to an address which is not on the host was warned of, and so was one
// that listens on any address.
func TestNonlocalBindNotNeeded(t *testing.T) {
	const tcp, udp = "kind: tcp, address: '127.0.0.1:53'", "kind: dns, server: 192.0.2.53, query: example.com"
	const both = tcp + "}, {kind: http, url: 'http://127.0.0.1:9167/'"
	for name, tt := range map[string]struct {
		check  string
		open   string // network, address, and free or device
		warned bool
	}{
		"nobody yet":                {tcp, "", true},
		"on the address":            {tcp, "tcp [2001:db8:53::53]:53", true},
		"on it, and free":           {tcp, "tcp [2001:db8:53::53]:53 free", false},
		"on it, at another port":    {tcp, "tcp [2001:db8:53::53]:54 free", true}, // who is asked is down just now
		"on it, at both ports":      {tcp, "tcp [2001:db8:53::53]:54 free, tcp [2001:db8:53::53]:53 free", false},
		"on any of a device":        {tcp, "tcp [::]:53 device", true},
		"one of two on it":          {tcp, "tcp [2001:db8:53::53]:53 free, udp [2001:db8:53::53]:53", true},
		"on another address":        {tcp, "tcp [2001:db8:53::54]:53 free", true},
		"on any":                    {tcp, "tcp [::]:53", false},
		"on any, at another port":   {tcp, "tcp [::]:54", true},
		"on any of IPv4":            {tcp, "tcp 0.0.0.0:53", true},
		"on any, of UDP on it":      {tcp, "tcp [::]:53, udp [2001:db8:53::53]:53", true},
		"on any, and not asked":     {tcp, "tcp [::]:53, udp [::]:53", false},
		"UDP on any":                {udp, "udp [::]:53", true}, // it can't answer from the address
		"UDP on any, and free":      {udp, "udp [::]:53 free", false},
		"UDP is asked, not this":    {udp, "tcp [::]:53", true},
		"another one on any":        {both, "tcp [::]:9167", true},
		"each where it is asked":    {both, "tcp [::]:9167, tcp [2001:db8:53::53]:53 free", false},
		"who asks no port":          {"kind: exec, command: [/bin/true]", "tcp [::]:53", true},
		"who asks no port, and one": {"kind: exec, command: [/bin/true]", "tcp [2001:db8:53::53]:53 free", false},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := load(t, "services: [{name: dns, addresses: [192.0.2.53, '2001:db8:53::53'], checks: [{"+tt.check+"}]}]\n")
			h := healthy()
			h.set("net/ipv6/ip_nonlocal_bind", "0")
			for one := range strings.SplitSeq(tt.open, ", ") {
				if words := strings.Fields(one); len(words) > 0 {
					s := sockets.Socket{Network: words[0], Local: netip.MustParseAddrPort(words[1]), Free: slices.Contains(words, "free")}
					if slices.Contains(words, "device") {
						s.Device = 7
					}
					h.Sockets = append(h.Sockets, s)
				}
			}
			if _, warned := NonlocalBind(cfg, h.Sysctls, h.Sockets); warned != tt.warned {
				t.Errorf("warned: %t", warned)
			}
		})
	}
}

func TestReadSockets(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	open := ReadSockets()
	for _, at := range []net.Addr{l.Addr(), c.LocalAddr()} {
		if !slices.ContainsFunc(open, func(s sockets.Socket) bool { return s.Network == at.Network() && s.Local.String() == at.String() }) {
			t.Errorf("no %s %s among %d", at.Network(), at, len(open))
		}
	}
}
