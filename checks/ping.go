package checks

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/checks/health"
)

func init() {
	register(Kind{
		Name: "ping",
		Doc: "Sends ICMP echo requests, all at once, and counts the answers. It proves that a host and the way to it work, no service on it. " +
			"keepcast needs leave to do so: its group within the sysctl `net.ipv4.ping_group_range` (it is for IPv6, too; some systems " +
			"allow every group), or else the capability CAP_NET_RAW, which its unit does not give it. A drop-in with " +
			"`AmbientCapabilities=CAP_NET_RAW` and `CapabilityBoundingSet=CAP_NET_RAW` under `[Service]` adds it. Without either the runs are void.",
		Example: "address: 192.0.2.1\ncount: 3\nmin_answers: 1\n",
		New:     func() Checker { return new(Ping) },
	})
}

// Ping is fit when a host answers enough echo requests.
type Ping struct {
	Address    string `config:"address" required:"true" doc:"Address or name of the host to ask. Of a name with several addresses the first is asked."`
	Count      int    `config:"count" default:"3" min:"1" max:"10" doc:"How many requests to send. They are sent at once, so that one that is lost costs no time."`
	MinAnswers int    `config:"min_answers" default:"1" min:"1" max:"10" doc:"How many of them must be answered. The run ends as soon as that many are."`
	Size       int    `config:"size" default:"56" min:"8" max:"8972" doc:"Bytes of data in each request, all of which must come back. The IP packet has 28 bytes more, with IPv6 48."`
}

// maxHeaders is room for the headers of a packet: that of IPv4 with options, which a raw
// socket receives, and that of ICMP. One byte more tells an answer with too much data.
const maxHeaders = 60 + 8 + 1

// Validate implements Validator.
func (p *Ping) Validate() error {
	if literal(p.Address).IsValid() {
		return p.counts()
	}
	if validHost(p.Address) != nil || strings.ContainsAny(p.Address, ":/[] ") {
		return fmt.Errorf("address: %q is no address and no name of a host", p.Address)
	}
	return p.counts()
}

func (p *Ping) counts() error {
	if p.MinAnswers > p.Count {
		return fmt.Errorf("min_answers: %d is more than count, %d", p.MinAnswers, p.Count)
	}
	return nil
}

// Target implements Aimed.
func (p *Ping) Target() netip.Addr { return literal(p.Address) }

// Check implements Checker.
func (p *Ping) Check(ctx context.Context) error {
	to, err := resolveHost(ctx, p.Address)
	if err == nil {
		err = p.ask(ctx, to)
	}
	if err != nil {
		return fmt.Errorf("ping %s: %w", p.Address, err)
	}
	return nil
}

// ask sends the requests and waits for the answers.
func (p *Ping) ask(ctx context.Context, to netip.Addr) error {
	conn, err := echoSocket(ctx, to)
	if err != nil {
		return err
	}
	defer closeWith(ctx, conn)()
	data := make([]byte, p.Size)
	rand.Read(data) // tells our answers from those to others
	began := time.Now()
	for n := range p.Count {
		if _, err := conn.Write(echoRequest(to, uint16(n), data)); err != nil {
			return fmt.Errorf("sending: %w", explain(ctx, err))
		}
	}
	s := sight(ctx)
	s.waits("an answer from %s", to)
	answered := make(map[uint16]bool)
	for buf := make([]byte, maxHeaders+p.Size); len(answered) < p.MinAnswers; {
		size, _, err := conn.ReadFrom(buf) // of a raw socket it leaves out the IP header
		if err != nil {
			return fmt.Errorf("%d of %d requests answered, %d wanted: %w", len(answered), p.Count, p.MinAnswers, explain(ctx, err))
		}
		if n, ok := echoReply(to, buf[:size], data); ok {
			answered[n] = true // one that comes twice counts once
			s.saw("answer", "to request %d, after %s", n+1, time.Since(began).Round(time.Microsecond))
		}
	}
	return nil
}

// packetConn is a *net.UDPConn or a *net.IPConn.
type packetConn interface {
	net.Conn
	net.PacketConn
}

// echoSocket returns a socket for ICMP that is connected to an address, under the guard.
// The kernel has sockets that send nothing but echo requests. Who may not have one needs
// a raw socket.
func echoSocket(ctx context.Context, to netip.Addr) (packetConn, error) {
	family, protocol := unix.AF_INET, unix.IPPROTO_ICMP
	if to.Is6() {
		family, protocol = unix.AF_INET6, unix.IPPROTO_ICMPV6
	}
	const flags = unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|flags, protocol)
	if errors.Is(err, unix.EACCES) {
		if fd, err = unix.Socket(family, unix.SOCK_RAW|flags, protocol); err == nil {
			onlyReplies(fd, to)
		}
	}
	switch {
	case errors.Is(err, unix.EPERM):
		return nil, health.Void(errors.New("keepcast may not send ICMP: its group is not within the sysctl net.ipv4.ping_group_range, and it has no CAP_NET_RAW"))
	case err != nil:
		return nil, os.NewSyscallError("socket", err)
	}
	file := os.NewFile(uintptr(fd), "icmp")
	defer file.Close() // net.FileConn has a copy
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, err
	}
	if err := control(ctx, "icmp", netip.AddrPortFrom(to, 0).String(), raw); err != nil {
		return nil, err
	}
	if err := connectTo(fd, netip.AddrPortFrom(to, 0)); err != nil {
		return nil, err
	}
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, err
	}
	sight(ctx).saw("connected", "icmp to %s, from %s", to, conn.LocalAddr())
	return conn.(packetConn), nil
}

// onlyReplies keeps out of a raw socket what is no answer to an echo request. On loopback
// the requests themselves would fill its buffer, and answers be lost. Without it all works
// where the requests are few, so an error is none.
func onlyReplies(fd int, to netip.Addr) {
	_, reply := echoTypes(to)
	if to.Is4() {
		_ = unix.SetsockoptInt(fd, unix.SOL_RAW, unix.ICMP_FILTER, ^(1 << reply)) // a set bit keeps a type out
		return
	}
	var block unix.ICMPv6Filter // RFC 3542 section 3.2
	for i := range block.Data {
		block.Data[i] = ^uint32(0)
	}
	block.Data[reply/32] &^= 1 << (reply % 32)
	_ = unix.SetsockoptICMPv6Filter(fd, unix.IPPROTO_ICMPV6, unix.ICMPV6_FILTER, &block)
}

// echoTypes returns the types of ICMP messages that ask and answer (RFC 792, RFC 4443
// section 4).
func echoTypes(to netip.Addr) (request, reply byte) {
	if to.Is6() {
		return 128, 129
	}
	return 8, 0
}

// echoRequest returns the ICMP message that asks for an echo of data. The identifier is
// random as the data is; where the socket is not raw, the kernel sets its own. The checksum
// is for IPv4, for IPv6 the kernel makes it.
func echoRequest(to netip.Addr, sequence uint16, data []byte) []byte {
	kind, _ := echoTypes(to)
	message := append([]byte{kind, 0, 0, 0, 0, 0, 0, 0}, data...)
	copy(message[4:6], data)
	binary.BigEndian.PutUint16(message[6:], sequence)
	binary.BigEndian.PutUint16(message[2:], checksum(message))
	return message
}

// echoReply reads an ICMP message; ok if it is an echo of data.
func echoReply(to netip.Addr, message, data []byte) (sequence uint16, ok bool) {
	_, kind := echoTypes(to)
	if len(message) < 8 || message[0] != kind || message[1] != 0 || !bytes.Equal(message[8:], data) {
		return 0, false
	}
	return binary.BigEndian.Uint16(message[6:]), true
}

// checksum is that of the Internet (RFC 1071).
func checksum(message []byte) uint16 {
	var sum uint32
	for i, b := range message {
		sum += uint32(b) << (8 * ((i + 1) % 2))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
