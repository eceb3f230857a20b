package sockets

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

func TestTakes(t *testing.T) {
	for name, tc := range map[string]struct {
		local string
		only6 bool
		to    string
		want  bool
	}{
		"the same":               {"127.0.0.1:53", false, "127.0.0.1:53", true},
		"another port":           {"127.0.0.1:53", false, "127.0.0.1:54", false},
		"another address":        {"127.0.0.1:53", false, "127.0.0.2:53", false},
		"any of IPv4":            {"0.0.0.0:53", false, "192.0.2.53:53", true},
		"any of IPv4 for IPv6":   {"0.0.0.0:53", false, "[::1]:53", false},
		"any":                    {"[::]:53", false, "192.0.2.53:53", true},
		"any of IPv6":            {"[::]:53", true, "192.0.2.53:53", false},
		"any of IPv6 for IPv6":   {"[::]:53", true, "[2001:db8::53]:53", true},
		"mapped":                 {"127.0.0.1:53", false, "[::ffff:127.0.0.1]:53", true},
		"link-local with a zone": {"[fe80::1]:53", false, "[fe80::1%lo]:53", true},
		"any, on another port":   {"[::]:53", false, "[::1]:54", false},
	} {
		s := Socket{Local: netip.MustParseAddrPort(tc.local), Only6: tc.only6}
		if got := s.Takes(netip.MustParseAddrPort(tc.to)); got != tc.want {
			t.Errorf("%s: got %t", name, got)
		}
	}
}

// The kernel tells what waits: connections that nobody accepts, datagrams that nobody reads.
func TestQueue(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 7); err != nil {
		t.Fatal(err)
	}
	bound, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	at := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(bound.(*unix.SockaddrInet4).Port))
	for range 3 {
		c, err := net.Dial("tcp", at.String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	s := only(t, "tcp", at)
	if s.Queue != 3 || s.Backlog != 7 || s.Device != 0 || s.Only6 {
		t.Errorf("got %+v", s)
	}
}

func TestQueueUDP(t *testing.T) {
	at, _ := open(t, "udp4", "127.0.0.1:0", func(fd int) { _ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 8192) })
	before := only(t, "udp", at)
	if before.Queue != 0 || before.Backlog != 16384 || before.Drops != 0 {
		t.Errorf("got %+v", before)
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
	after := only(t, "udp", at)
	if after.Queue < after.Backlog/2 || after.Drops == 0 || after.Cookie != before.Cookie {
		t.Errorf("got %+v", after)
	}
}

// only returns the one socket that is open there.
func only(t *testing.T, network string, at netip.AddrPort) Socket {
	t.Helper()
	all, err := Listening(network, at.Port())
	if err != nil || len(all) != 1 || all[0].Local != at || all[0].Network != network {
		t.Fatalf("got %+v, %v", all, err)
	}
	return all[0]
}

// One that listens on both families takes both, and is told apart from one of IPv6 only.
func TestOnly6(t *testing.T) {
	both, _ := open(t, "tcp", "[::]:0")
	one, _ := open(t, "tcp6", "[::]:0")
	for port, want := range map[uint16]bool{both.Port(): false, one.Port(): true} {
		if all, err := Listening("tcp", port); err != nil || len(all) != 1 || all[0].Only6 != want {
			t.Errorf("want only IPv6: %t, got %+v, %v", want, all, err)
		}
	}
}

// One that may be bound to an address which is not on this host is told apart.
func TestFree(t *testing.T) {
	for _, network := range []string{"tcp", "udp"} {
		for address, option := range map[string][2]int{
			"127.0.0.1:0": {unix.SOL_IP, unix.IP_FREEBIND}, "[::1]:0": {unix.SOL_IPV6, unix.IPV6_FREEBIND},
		} {
			for value := range 2 {
				at, _ := open(t, network, address, func(fd int) { _ = unix.SetsockoptInt(fd, option[0], option[1], value) })
				if s := only(t, network, at); s.Free != (value == 1) {
					t.Errorf("%s %s, option %d: got %+v", network, address, value, s)
				}
			}
		}
	}
}

// What the kernel says of a socket, byte by byte (linux/inet_diag.h).
func TestParse(t *testing.T) {
	attribute := func(kind byte, value ...byte) []byte {
		out := append([]byte{byte(4 + len(value)), 0, kind, 0}, value...)
		return append(out, make([]byte, (4-len(value)%4)%4)...)
	}
	memory := make([]byte, 36)
	memory[0], memory[4], memory[32] = 11, 22, 33
	for name, tc := range map[string]struct {
		change     func(m []byte)
		attributes []byte
		want       Socket
		peer, bad  bool
	}{
		"bare":               {want: Socket{}},
		"an interface":       {change: func(m []byte) { m[40] = 7 }, want: Socket{Device: 7}},
		"with a peer":        {change: func(m []byte) { m[7] = 1 }, peer: true},
		"a queue":            {change: func(m []byte) { m[56], m[60] = 3, 4 }, attributes: attribute(attrMemory, memory...), want: Socket{Queue: 3, Backlog: 4}},
		"memory":             {attributes: attribute(attrMemory, memory...), want: Socket{Queue: 11, Backlog: 22, Drops: 33}},
		"too little of it":   {attributes: attribute(attrMemory, memory[:32]...)},
		"TCP, IPv6 only":     {attributes: append(attribute(attrProtocol, unix.IPPROTO_TCP), attribute(attrOnly6, 1)...), want: Socket{Network: "tcp", Only6: true}},
		"UDP":                {attributes: append(attribute(attrOnly6, 0), attribute(attrProtocol, unix.IPPROTO_UDP)...), want: Socket{Network: "udp"}},
		"freebind":           {attributes: attribute(attrOptions, 1<<2, 0), want: Socket{Free: true}},
		"transparent":        {attributes: attribute(attrOptions, 1<<5, 0), want: Socket{Free: true}},
		"other options":      {attributes: attribute(attrOptions, 0xff&^(1<<2|1<<5), 0xff)},
		"another protocol":   {attributes: attribute(attrProtocol, unix.IPPROTO_SCTP)},
		"empty attributes":   {attributes: slices.Concat(attribute(attrOnly6), attribute(attrProtocol), attribute(attrOptions))},
		"a rest":             {attributes: []byte{4, 0, 0}},
		"an attribute, long": {attributes: []byte{9, 0, attrOnly6, 0, 1, 0, 0, 0}, bad: true},
		"one, short":         {attributes: []byte{3, 0, attrOnly6, 0}, bad: true},
		"no family":          {change: func(m []byte) { m[0] = unix.AF_UNIX }, bad: true},
	} {
		m := make([]byte, messageSize)
		m[0], m[5] = unix.AF_INET, 53
		copy(m[8:], []byte{127, 0, 0, 1})
		m[44] = 9
		if tc.change != nil {
			tc.change(m)
		}
		tc.want.Local, tc.want.Cookie = netip.MustParseAddrPort("127.0.0.1:53"), 9
		got, peer, ok := parse(append(m, tc.attributes...))
		if ok == tc.bad || ok && (got != tc.want || peer != tc.peer) {
			t.Errorf("%s: %+v, peer %t, %t", name, got, peer, ok)
		}
	}
	short := make([]byte, messageSize-1)
	short[0] = unix.AF_INET
	if _, _, ok := parse(short); ok {
		t.Error("took a message that is too short")
	}
}

func FuzzParse(f *testing.F) {
	message := make([]byte, messageSize, 200)
	message[0] = unix.AF_INET
	binary.BigEndian.PutUint16(message[4:], 53)
	f.Add(message)
	f.Add(append(message, 5, 0, attrOnly6, 0, 1, 0, 0, 0))
	f.Add(append(message, 40, 0, attrMemory, 0))     // longer than the message
	f.Add(append(message, 6, 0, attrOnly6, 0, 1, 0)) // not padded
	f.Add(append(message, 0, 0, 0, 0))
	f.Fuzz(func(t *testing.T, m []byte) {
		s, _, ok := parse(m)
		if ok && (len(m) < messageSize || !s.Local.Addr().IsValid()) {
			t.Errorf("took %x for %+v", m, s)
		}
	})
}
