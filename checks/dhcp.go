package checks

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/checks/health"
)

func init() {
	register(Kind{
		Name: "dhcp",
		Doc: "Asks a DHCPv4 server for an address as a relay agent does, and wants an offer (RFC 2131, RFC 3046). It never takes the address. " +
			"All runs ask for the same client, so that a server that keeps what it offered keeps one address at most. " +
			"The server must have a subnet for `relay`, and answer from `address`. Kea has to be given an address that is on this host by name, as in " +
			"`\"interfaces\": [\"lo/192.0.2.1\"]`, with `\"dhcp-socket-type\": \"udp\"`, and `\"outbound-interface\": \"use-routing\"`, or its answers to relays are lost. It logs each offer at the level INFO.",
		Example: "address: 192.0.2.1:67\nrelay: 198.51.100.1\noffers: 198.51.100.0/24\n",
		New:     func() Checker { return new(DHCP) },
		AtOnce:  stopsListening,
	})
}

// DHCP is fit when a server offers an address to a client behind a relay agent.
type DHCP struct {
	Address    string       `config:"address" required:"true" doc:"Host and port of the server, as in '192.0.2.1:67'."`
	Relay      netip.Addr   `config:"relay" required:"true" doc:"Address of this host to ask from as the relay agent (giaddr). The server chooses the subnet by it, and answers to it. It may be that of 'address', unless 'source_port' is that port, too."`
	SourcePort int          `config:"source_port" default:"0" min:"0" max:"65535" doc:"Port to ask from. 0: a free one, which the server is told to answer to (RFC 8357), as Kea can. 67: for a server that can't. It takes CAP_NET_BIND_SERVICE, which keepcast's unit does not give, and an address that no relay agent and no server of this host has at that port."`
	MAC        MAC          `config:"mac" default:"02:6b:65:65:70:63" doc:"Hardware address of the client to ask for. Of two servers that share the clients by a hash (the load balancing of Kea), one answers for it: choose one that this server answers for."`
	CircuitID  Escaped      `config:"circuit_id" doc:"Circuit ID of the relay agent to send (RFC 3046 section 3.1). The escapes of Go work, as in '\\x00'."`
	Offers     netip.Prefix `config:"offers" doc:"Prefix in which the offered address must be. Empty: any will do."`
}

// MAC is a hardware address of 6 bytes.
type MAC [6]byte

// String returns m as in 02:00:00:00:00:01.
func (m MAC) String() string { return net.HardwareAddr(m[:]).String() }

// MarshalText returns m as String does.
func (m MAC) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads what String returns, and the other ways to write it.
func (m *MAC) UnmarshalText(text []byte) error {
	addr, err := net.ParseMAC(string(text))
	if err != nil || len(addr) != len(m) {
		return fmt.Errorf("%q is no hardware address as in 02:00:00:00:00:01", text)
	}
	*m = MAC(addr)
	return nil
}

// Options and types of messages (RFC 2132), and the numbers of a message (RFC 2131).
const (
	dhcpDiscover, dhcpOffer, dhcpNAK = 1, 2, 6

	optionPad, optionType, optionServer, optionMessage = 0, 53, 54, 56

	dhcpReplyOp = 2
	dhcpFixed   = 240 // bytes before the options, with the cookie
	dhcpCookie  = "\x63\x82\x53\x63"

	maxCircuitID = 255 - 2 - 2 // the option holds the suboption of RFC 8357, too
	maxDHCP      = 16 << 10    // of an answer
)

// Validate implements Validator.
func (d *DHCP) Validate() error {
	if err := validAddress(d.Address, "67"); err != nil {
		return err
	}
	switch to := d.Target(); {
	case to.Is6():
		return fmt.Errorf("address: %s is of IPv6, DHCPv4 is not", to)
	case !d.Relay.Is4() || d.Relay.IsUnspecified() || d.Relay.IsMulticast():
		return fmt.Errorf("relay: %s is no address of IPv4 that a host can have", d.Relay)
	case d.asksItself():
		return fmt.Errorf("relay: from port %d of the address that is asked keepcast would ask itself", d.SourcePort)
	case len(d.CircuitID) > maxCircuitID:
		return fmt.Errorf("circuit_id: %d bytes are more than the option holds, %d", len(d.CircuitID), maxCircuitID)
	case d.Offers.IsValid() && !d.Offers.Addr().Is4():
		return fmt.Errorf("offers: %s is no prefix of IPv4", d.Offers)
	}
	return nil
}

// asksItself reports whether the message would go where it comes from.
func (d *DHCP) asksItself() bool {
	_, port, _ := net.SplitHostPort(d.Address)
	return d.Target() == d.Relay && port == strconv.Itoa(d.SourcePort)
}

// Target implements Aimed.
func (d *DHCP) Target() netip.Addr { return targetOf(d.Address) }

// Check implements Checker.
func (d *DHCP) Check(ctx context.Context) error {
	if err := d.ask(ctx); err != nil {
		return fmt.Errorf("%s: %w", d.Address, err)
	}
	return nil
}

func (d *DHCP) ask(ctx context.Context) error {
	conn, err := dialBy(ctx, d.dialer(), "udp4", d.Address)
	if err != nil {
		return d.unbound(err)
	}
	defer closeWith(ctx, conn)()
	var xid [4]byte
	rand.Read(xid[:])
	if _, err := conn.Write(d.discover(xid)); err != nil {
		return fmt.Errorf("sending: %w", explain(ctx, err))
	}
	s := sight(ctx)
	s.waits("an offer")
	for buf := make([]byte, maxDHCP); ; {
		n, err := conn.Read(buf)
		if errors.Is(err, syscall.ECONNREFUSED) {
			return explain(ctx, err)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", d.silence(), explain(ctx, err))
		}
		if !d.isReply(buf[:n], xid) {
			continue // late for an earlier run, or of another client
		}
		offer, err := readDHCP(buf[:n])
		if err != nil {
			return err
		}
		s.saw("answer", "%s", offer)
		return d.judge(offer)
	}
}

// dialer returns what connects from the address of the relay agent. A server that listens on
// all addresses has its port on that one, too, which the kernel allows if both want it.
func (d *DHCP) dialer() *net.Dialer {
	dialer := Dialer()
	dialer.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(d.Relay, uint16(d.SourcePort)))
	if d.SourcePort != 0 {
		dialer.ControlContext = controlWith(unix.SOL_SOCKET, unix.SO_REUSEADDR)
	}
	return dialer
}

// unbound explains why keepcast could not ask from the address of the relay agent, which
// tells nothing of the server.
func (d *DHCP) unbound(err error) error {
	switch {
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return health.Void(fmt.Errorf("relay: %s is not on this host: %w", d.Relay, err))
	case errors.Is(err, syscall.EADDRINUSE):
		return health.Void(fmt.Errorf("source_port: something of this host has port %d of %s: %w", d.SourcePort, d.Relay, err))
	case errors.Is(err, syscall.EACCES):
		return health.Void(fmt.Errorf("source_port: keepcast needs CAP_NET_BIND_SERVICE for port %d: %w", d.SourcePort, err))
	}
	return err
}

// silence says what a missing answer may mean.
func (d *DHCP) silence() string {
	may := "no subnet or no free address for the relay " + d.Relay.String()
	if d.SourcePort == 0 {
		may += ", or does not know RFC 8357 (source_port)"
	}
	return "no offer, as of a server that has " + may
}

// discover returns the message that asks for an offer. A client identifier makes all of them
// the same client, whatever the server tells clients apart by.
func (d *DHCP) discover(xid [4]byte) []byte {
	m := make([]byte, dhcpFixed, 600)
	copy(m, []byte{1, 1, 6, 1}) // a request; Ethernet, 6 bytes of address; one relay agent so far
	copy(m[4:], xid[:])
	relay := d.Relay.As4()
	copy(m[24:], relay[:])
	copy(m[28:], d.MAC[:])
	copy(m[236:], dhcpCookie)
	m = append(m, optionType, 1, dhcpDiscover)
	m = append(m, 61, 7, 1) // the client identifier
	m = append(m, d.MAC[:]...)
	m = append(m, 55, 2, 1, 3) // a mask and a router are wanted
	if agent := d.agent(); len(agent) > 0 {
		m = append(m, 82, byte(len(agent)))
		m = append(m, agent...)
	}
	m = append(m, 255)
	for len(m) < 300 { // the least that BOOTP has, and some want
		m = append(m, optionPad)
	}
	return m
}

// agent returns the suboptions of the relay agent (RFC 3046).
func (d *DHCP) agent() (options []byte) {
	if d.CircuitID != "" {
		options = append(options, 1, byte(len(d.CircuitID)))
		options = append(options, d.CircuitID...)
	}
	if d.SourcePort == 0 {
		options = append(options, 19, 0) // answer to the port that this comes from
	}
	return options
}

// isReply reports whether a message answers the one with that number.
func (d *DHCP) isReply(m []byte, xid [4]byte) bool {
	return len(m) >= dhcpFixed && m[0] == dhcpReplyOp && bytes.Equal(m[4:8], xid[:]) && bytes.Equal(m[28:34], d.MAC[:])
}

// judge says what is wrong with an answer.
func (d *DHCP) judge(r dhcpReply) error {
	switch {
	case r.kind == dhcpNAK:
		return fmt.Errorf("the server refuses (DHCPNAK): %s", excerpt([]byte(r.message)))
	case r.kind != dhcpOffer:
		return fmt.Errorf("the answer is of type %d, an offer has type 2", r.kind)
	case r.address.IsUnspecified():
		return errors.New("the offer has no address")
	case d.Offers.IsValid() && !d.Offers.Contains(r.address):
		return fmt.Errorf("%s is offered, which is not in %s", r.address, d.Offers)
	}
	return nil
}

// dhcpReply is what is looked at in an answer.
type dhcpReply struct {
	kind    byte
	address netip.Addr // yiaddr
	server  netip.Addr // the zero Addr if it does not say
	message string
}

// String returns the answer in words.
func (r dhcpReply) String() string {
	if r.kind != dhcpOffer {
		return fmt.Sprintf("a message of type %d", r.kind)
	}
	return fmt.Sprintf("an offer of %s, by the server %s", r.address, r.server)
}

// readDHCP reads a message that has its fixed part. Options that a server puts into other
// fields (option 52) are none of those that are looked for.
func readDHCP(m []byte) (dhcpReply, error) {
	r := dhcpReply{address: netip.AddrFrom4([4]byte(m[16:20]))}
	if string(m[236:dhcpFixed]) != dhcpCookie {
		return r, errors.New("the answer is of BOOTP, not of DHCP")
	}
	for rest := m[dhcpFixed:]; len(rest) > 0 && rest[0] != 255; {
		if rest[0] == optionPad {
			rest = rest[1:]
			continue
		}
		if len(rest) < 2 || len(rest) < 2+int(rest[1]) {
			return r, fmt.Errorf("the answer ends within option %d", rest[0])
		}
		value := rest[2 : 2+int(rest[1])]
		switch {
		case rest[0] == optionType && len(value) == 1:
			r.kind = value[0]
		case rest[0] == optionServer && len(value) == 4:
			r.server = netip.AddrFrom4([4]byte(value))
		case rest[0] == optionMessage:
			r.message = string(value)
		}
		rest = rest[2+len(value):]
	}
	if r.kind == 0 {
		return r, errors.New("the answer has no type of message (option 53)")
	}
	return r, nil
}
