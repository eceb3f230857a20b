package checks

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// offering is what a server answers to a message: the fixed part of the answer, and options.
func offering(asked, options string) string {
	m := []byte(asked[:dhcpFixed])
	m[0] = dhcpReplyOp
	copy(m[16:], []byte{192, 0, 2, 7})
	return string(m) + options
}

// changed is a message in which the bytes from at are others.
func changed(m string, at int, to string) string { return m[:at] + to + m[at+len(to):] }

func TestDHCP(t *testing.T) {
	const offer = "\x35\x01\x02\x36\x04\xc0\x00\x02\x01\xff"
	say := func(options string) func(string) []string {
		return func(asked string) []string { return []string{offering(asked, options)} }
	}
	silent := "ADDR: no offer, as of a server that has no subnet or no free address for the relay 127.0.0.2, or does not know RFC 8357 (source_port): timed out"
	for name, tt := range map[string]struct {
		answer func(string) []string // nil: nothing listens
		offers string
		err    string
	}{
		"offer":           {say(offer), "", ""},
		"in the prefix":   {say(offer), "192.0.2.0/24", ""},
		"other prefix":    {say(offer), "198.51.100.0/24", "ADDR: 192.0.2.7 is offered, which is not in 198.51.100.0/24"},
		"pads, no end":    {say("\x00\x00\x35\x01\x02\x00"), "", ""},
		"after the end":   {say("\x35\x01\x02\xff\x35\x01\x06"), "", ""},
		"nak":             {say("\x35\x01\x06\x38\x04no\x00.\xff"), "", `ADDR: the server refuses (DHCPNAK): "no\x00."`},
		"ack":             {say("\x35\x01\x05\xff"), "", "ADDR: the answer is of type 5, an offer has type 2"},
		"no type":         {say("\xff"), "", "ADDR: the answer has no type of message (option 53)"},
		"no options":      {say(""), "", "ADDR: the answer has no type of message (option 53)"},
		"cut":             {say("\x35\x01\x02\x36\x04\xc0"), "", "ADDR: the answer ends within option 54"},
		"cut at its size": {say("\x35"), "", "ADDR: the answer ends within option 53"},
		"silent":          {func(string) []string { return nil }, "", silent},
		"garbage":         {func(string) []string { return []string{"", "no"} }, "", silent},
		"an echo":         {func(asked string) []string { return []string{asked} }, "", silent},
		"bootp":           {func(asked string) []string { return []string{changed(offering(asked, offer), 236, "BOOT")} }, "", "ADDR: the answer is of BOOTP, not of DHCP"},
		"no address": {
			func(asked string) []string { return []string{changed(offering(asked, offer), 16, "\x00\x00\x00\x00")} }, "",
			"ADDR: the offer has no address",
		},
		"of others, then ours": {func(asked string) []string {
			ours := offering(asked, offer)
			return []string{changed(ours, 4, "nope"), changed(ours, 28, "nobody"), ours}
		}, "192.0.2.7/32", ""},
		"of others": {func(asked string) []string {
			ours := offering(asked, offer)
			return []string{changed(ours, 4, "nope"), changed(ours, 28, "nobody")}
		}, "", silent},
		"refused": {nil, "", "ADDR: read udp4 FROM->ADDR: read: connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			c := DHCP{Address: closedPort(t), Relay: addr("127.0.0.2"), MAC: MAC{2, 0, 0, 0, 0, 1}}
			if tt.answer != nil {
				c.Address = datagrams(t, tt.answer)
			}
			if tt.offers != "" {
				c.Offers = netip.MustParsePrefix(tt.offers)
			}
			if err := c.Validate(); err != nil {
				t.Fatal(err)
			}
			ctx := within(t)
			if strings.HasSuffix(tt.err, "timed out") {
				ctx = briefly(t)
			}
			err := c.Check(ctx)
			if tt.answer == nil && err != nil {
				_, from, _ := strings.Cut(err.Error(), "udp4 ")
				from, _, _ = strings.Cut(from, "->")
				tt.err = strings.ReplaceAll(tt.err, "FROM", from)
			}
			sameError(t, err, tt.err, c.Address)
		})
	}
}

// What is sent, byte by byte.
func TestDHCPDiscover(t *testing.T) {
	d := DHCP{Relay: addr("192.0.2.1"), MAC: MAC{2, 0, 0, 0, 0, 9}}
	head := "\x01\x01\x06\x01abcd" + strings.Repeat("\x00", 16) + "\xc0\x00\x02\x01\x02\x00\x00\x00\x00\x09" + strings.Repeat("\x00", 202) +
		"\x63\x82\x53\x63\x35\x01\x01\x3d\x07\x01\x02\x00\x00\x00\x00\x09\x37\x02\x01\x03"
	for name, tt := range map[string]struct {
		port    int
		circuit Escaped
		agent   string
	}{
		"free port":          {0, "", "\x52\x02\x13\x00"},
		"port 67":            {67, "", ""},
		"circuit":            {67, "eth0", "\x52\x06\x01\x04eth0"},
		"circuit, free port": {0, "eth0", "\x52\x08\x01\x04eth0\x13\x00"},
		"longest":            {0, Escaped(strings.Repeat("a", maxCircuitID)), "\x52\xff\x01\xfb" + strings.Repeat("a", 251) + "\x13\x00"},
	} {
		t.Run(name, func(t *testing.T) {
			d.SourcePort, d.CircuitID = tt.port, tt.circuit
			want := []byte(head + tt.agent + "\xff")
			if len(want) < 300 {
				want = append(want, make([]byte, 300-len(want))...)
			}
			if got := d.discover([4]byte{'a', 'b', 'c', 'd'}); !bytes.Equal(got, want) {
				t.Errorf("got  %x\nwant %x", got, want)
			}
		})
	}
}

func TestDHCPValidate(t *testing.T) {
	good := DHCP{Address: "192.0.2.1:67", Relay: addr("192.0.2.1"), CircuitID: Escaped(strings.Repeat("a", maxCircuitID)), Offers: netip.MustParsePrefix("192.0.2.0/24")}
	for name, tt := range map[string]struct {
		change func(*DHCP)
		err    string
	}{
		"good":    {func(*DHCP) {}, ""},
		"by name": {func(d *DHCP) { d.Address = "dhcp:67" }, ""},
		"no port": {func(d *DHCP) { d.Address = "192.0.2.1" }, `address: "192.0.2.1" is not a host and a port, as in 127.0.0.1:67 or [::1]:67`},
		"IPv6":    {func(d *DHCP) { d.Address = "[2001:db8::1]:67" }, "address: 2001:db8::1 is of IPv6, DHCPv4 is not"},
		"relay":   {func(d *DHCP) { d.Relay = addr("::1") }, "relay: ::1 is no address of IPv4 that a host can have"},
		"any":     {func(d *DHCP) { d.Relay = addr("0.0.0.0") }, "relay: 0.0.0.0 is no address of IPv4 that a host can have"},
		"group":   {func(d *DHCP) { d.Relay = addr("224.0.0.1") }, "relay: 224.0.0.1 is no address of IPv4 that a host can have"},
		"itself":  {func(d *DHCP) { d.SourcePort = 67 }, "relay: from port 67 of the address that is asked keepcast would ask itself"},
		"port 68": {func(d *DHCP) { d.SourcePort = 68 }, ""},
		"circuit": {func(d *DHCP) { d.CircuitID += "a" }, "circuit_id: 252 bytes are more than the option holds, 251"},
		"offers":  {func(d *DHCP) { d.Offers = netip.MustParsePrefix("2001:db8::/64") }, "offers: 2001:db8::/64 is no prefix of IPv4"},
	} {
		t.Run(name, func(t *testing.T) {
			d := good
			tt.change(&d)
			sameError(t, d.Validate(), tt.err, "")
		})
	}
}

func TestMAC(t *testing.T) {
	for text, want := range map[string]string{
		"02:00:5e:10:00:01":       "",
		"02-00-5E-10-00-01":       "",
		"02:00:5e:10:00:01:02:03": `"02:00:5e:10:00:01:02:03" is no hardware address as in 02:00:00:00:00:01`,
		"eth0":                    `"eth0" is no hardware address as in 02:00:00:00:00:01`,
	} {
		var m MAC
		sameError(t, m.UnmarshalText([]byte(text)), want, "")
		if got, _ := m.MarshalText(); want == "" && string(got) != "02:00:5e:10:00:01" {
			t.Errorf("%s: got %s", text, got)
		}
	}
}

// FuzzDHCP looks for a message that is taken for an offer and is none.
func FuzzDHCP(f *testing.F) {
	for _, options := range []string{"", "\x35\x01\x02\xff", "\x00\x35\x01\x02", "\x35\x02\x02\x02", "\x35", "\x38\xff\x00"} {
		f.Add([]byte(offering(strings.Repeat("\x00", 236)+dhcpCookie, options)))
	}
	f.Fuzz(func(t *testing.T, m []byte) {
		d := &DHCP{}
		if !d.isReply(m, [4]byte{}) {
			return
		}
		r, err := readDHCP(m)
		if err == nil && d.judge(r) == nil && !bytes.Contains(m[dhcpFixed:], []byte{optionType, 1, dhcpOffer}) {
			t.Errorf("%x is %s", m, r)
		}
	})
}

// keaConf has one subnet on loopback, with one address.
const keaConf = `{"Dhcp4": {
 "interfaces-config": {"interfaces": ["lo/192.0.2.1"], "dhcp-socket-type": "udp", "re-detect": false},
 "lease-database": {"type": "memfile", "persist": false},
 "subnet4": [{"id": 1, "subnet": "198.51.100.0/24", "pools": [{"pool": "198.51.100.7-198.51.100.7"}],
   "relay": {"ip-addresses": ["192.0.2.1", "192.0.2.2"]}}]
}}`

// TestDHCPReal asks Kea on its own host, as keepcast would.
func TestDHCPReal(t *testing.T) {
	noLeaks(t)
	program := drivertest.Program(t, "kea-dhcp4")
	s := newSpace(t, "addr add 192.0.2.1/32 dev lo", "addr add 192.0.2.2/32 dev lo", "addr add 192.0.2.3/32 dev lo")
	dir := t.TempDir()
	drivertest.WriteFile(t, dir+"/kea.conf", keaConf)
	startDaemon(t, "env", "KEA_PIDFILE_DIR="+dir, "KEA_LOCKFILE_DIR="+dir,
		"nsenter", fmt.Sprintf("--net=/proc/%d/fd/%d", os.Getpid(), int(s.ns)), program, "-c", dir+"/kea.conf")
	c := DHCP{Address: "192.0.2.1:67", Relay: addr("192.0.2.2"), MAC: MAC{2, 0, 0, 0, 0, 1}, Offers: netip.MustParsePrefix("198.51.100.7/32")}
	var err error
	if !drivertest.WaitFor(func() bool { err = s.check(&c); return err == nil }) {
		t.Fatalf("not fit: %v", err)
	}
	for name, tt := range map[string]struct {
		change func(*DHCP)
		err    string
		void   bool
	}{
		"free port":      {change: func(*DHCP) {}},
		"port 67":        {change: func(d *DHCP) { d.SourcePort = 67 }},
		"its address":    {change: func(d *DHCP) { d.Relay = addr("192.0.2.1") }},
		"other client":   {change: func(d *DHCP) { d.MAC[5]++ }}, // Kea keeps no offer
		"with a circuit": {change: func(d *DHCP) { d.CircuitID = "eth0" }},
		"other prefix":   {change: func(d *DHCP) { d.Offers = netip.MustParsePrefix("192.0.2.0/24") }, err: "ADDR: 198.51.100.7 is offered, which is not in 192.0.2.0/24"},
		"no subnet": {
			change: func(d *DHCP) { d.Relay, d.SourcePort = addr("192.0.2.3"), 67 },
			err:    "ADDR: no offer, as of a server that has no subnet or no free address for the relay 192.0.2.3: timed out",
		},
		"not here": {
			change: func(d *DHCP) { d.Relay = addr("192.0.2.9") }, void: true,
			err: "ADDR: relay: 192.0.2.9 is not on this host: dial udp4 192.0.2.9:0->ADDR: bind: cannot assign requested address",
		},
		"no leave": {
			change: func(d *DHCP) { d.SourcePort = 67 }, void: true,
			err: "ADDR: source_port: keepcast needs CAP_NET_BIND_SERVICE for port 67: dial udp4 192.0.2.2:67->ADDR: bind: permission denied",
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := c
			tt.change(&c)
			ctx := within(t)
			if strings.HasSuffix(tt.err, "timed out") {
				ctx = shortly(t)
			}
			s.do(func() {
				if name == "no leave" {
					dropCapabilities(t)
				}
				err := c.Check(ctx)
				sameError(t, err, tt.err, c.Address)
				if health.IsVoid(err) != tt.void {
					t.Errorf("void: %t", !tt.void)
				}
			})
		})
	}
	sees := c
	sees.SourcePort = 67
	s.sees(&sees, "connected: udp4 to 192.0.2.1:67, from 192.0.2.2:67", "answer: an offer of 198.51.100.7, by the server 192.0.2.1")
	inside := func(ctx context.Context) (err error) {
		s.do(func() { err = c.Check(ctx) })
		return err
	}
	hangs(t, "kea-dhcp4", inside, "ADDR: no offer, as of a server that has no subnet or no free address for the relay 192.0.2.2, or does not know RFC 8357 (source_port): timed out", c.Address)
	dies(t, "kea-dhcp4", inside)
}

// Another program may have the port.
func TestDHCPPortTaken(t *testing.T) {
	s := newSpace(t)
	s.do(func() {
		taken, err := net.ListenPacket("udp", "127.0.0.1:67")
		if err != nil {
			t.Error(err)
			return
		}
		defer taken.Close()
		c := &DHCP{Address: "127.0.0.2:67", Relay: addr("127.0.0.1"), SourcePort: 67}
		err = c.Check(within(t))
		sameError(t, err, "ADDR: source_port: something of this host has port 67 of 127.0.0.1: dial udp4 127.0.0.1:67->ADDR: bind: address already in use", c.Address)
		if !health.IsVoid(err) {
			t.Error("not void")
		}
	})
}

// A server that listens on all addresses and shares them leaves that of the relay agent.
func TestDHCPPortShared(t *testing.T) {
	s := newSpace(t)
	s.do(func() {
		share := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
			return c.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) })
		}}
		server, err := share.ListenPacket(t.Context(), "udp4", ":67")
		if err != nil {
			t.Error(err)
			return
		}
		defer server.Close()
		c := &DHCP{Address: "127.0.0.2:67", Relay: addr("127.0.0.1"), SourcePort: 67}
		sameError(t, c.Check(shortly(t)), "ADDR: no offer, as of a server that has no subnet or no free address for the relay 127.0.0.1: timed out", c.Address)
	})
}
