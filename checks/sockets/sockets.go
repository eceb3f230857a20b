// Package sockets knows the sockets of this host on which services wait for clients, by
// asking the kernel (sock_diag(7)), and is told when one of them closes. It takes no
// privilege. It sees the network namespace that keepcast is in, and no other.
package sockets

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/driver/ask"
)

// Socket is one that waits for clients: of TCP it listens, of UDP it is connected to nobody.
type Socket struct {
	Network string         // tcp or udp
	Local   netip.AddrPort // unspecified: any address of its family
	Only6   bool           // it takes no IPv4, though its address is ::
	// Free says that it may be bound to an address that is not on this host, and send from it:
	// IP_FREEBIND or IP_TRANSPARENT (ip(7)). Old kernels do not tell.
	Free   bool
	Device int    // index of the interface or VRF that it is bound to; 0: none
	Cookie uint64 // names it as long as the host runs
	// Of TCP: how many connections wait to be accepted, and how many may. Of UDP: how many
	// bytes of memory wait to be read, and how many may.
	Queue, Backlog uint32
	Drops          uint32 // of UDP: how many datagrams the kernel has dropped, since there was no room
}

// Takes reports whether a client that connects to an address and port may reach the socket.
func (s Socket) Takes(to netip.AddrPort) bool {
	addr, local := to.Addr().Unmap().WithZone(""), s.Local.Addr()
	switch {
	case to.Port() != s.Local.Port():
		return false
	case local == netip.IPv6Unspecified():
		return addr.Is6() || !s.Only6
	case local == netip.IPv4Unspecified():
		return addr.Is4()
	}
	return local == addr
}

// protocols are the protocols by the names that package net has for networks.
func protocols() map[string]uint8 {
	return map[string]uint8{"tcp": unix.IPPROTO_TCP, "udp": unix.IPPROTO_UDP}
}

// Listening asks the kernel for the sockets of tcp or udp that wait for clients on a port;
// 0: on any. It takes some 50 us.
func Listening(network string, port uint16) ([]Socket, error) {
	asking := newAsker()
	defer asking.Close()
	return listening(asking, network, port)
}

// All asks the kernel for all of them. With an error there may be more than it returns.
func All() (all []Socket, err error) {
	for network := range protocols() {
		some, failed := Listening(network, 0)
		all, err = append(all, some...), errors.Join(err, failed)
	}
	return all, err
}

// newAsker returns who asks for sockets.
func newAsker() *ask.Asker { return ask.New(netns.None(), unix.NETLINK_INET_DIAG) }

// listening is Listening by an Asker.
func listening(asking *ask.Asker, network string, port uint16) (all []Socket, err error) {
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		q := nl.NewNetlinkRequest(unix.SOCK_DIAG_BY_FAMILY, unix.NLM_F_DUMP)
		q.AddRawData(request(network, family, port))
		err := asking.Ask(q, func(message []byte) {
			if s, peer, ok := parse(message); ok && !peer {
				s.Network = network
				all = append(all, s)
			}
		})
		if err != nil && !errors.Is(err, syscall.ENOENT) { // that is of a host without IPv6
			return nil, fmt.Errorf("asking the kernel for the sockets of %s: %w", network, err)
		}
	}
	return all, nil
}

// taken reports whether a socket takes what a client sends to a target, of those that are bound
// to a device, or to none if that is 0. The kernel looks for it as it does for a client, which is
// soon done. For a list of those on a port it goes through all. One that is bound to a device
// that none was bound to before is not found: the connection that was refused did not reach it.
func (t target) taken(asking *ask.Asker, device int) (bool, error) {
	found := false
	q := nl.NewNetlinkRequest(unix.SOCK_DIAG_BY_FAMILY, 0)
	q.AddRawData(lookup(t, device))
	err := asking.Ask(q, func([]byte) { found = true })
	if err != nil && !errors.Is(err, syscall.ENOENT) {
		return false, fmt.Errorf("asking the kernel who has %s of %s: %w", t.to, t.network, err)
	}
	return found, nil
}

// What sock_diag(7) has as states. A UDP socket that is connected to nobody is closed.
const (
	stateClose  = 7
	stateListen = 10
)

// Attributes of a message of sock_diag, from linux/inet_diag.h.
const (
	attrMemory   = 7 // INET_DIAG_SKMEMINFO
	attrProtocol = 10
	attrOnly6    = 11 // INET_DIAG_SKV6ONLY
	attrOptions  = 22 // INET_DIAG_SOCKOPT
)

// freeOptions are the bits freebind and transparent of a struct inet_diag_sockopt. In the other
// byte order each of them is in the place of the other.
const freeOptions = 1<<2 | 1<<5

// request is a struct inet_diag_req_v2.
func request(network string, family uint8, port uint16) []byte {
	states := uint32(1 << stateListen)
	if network == "udp" {
		states = 1 << stateClose
	}
	out := make([]byte, 56)
	out[0], out[1], out[2] = family, protocols()[network], 1<<(attrMemory-1)
	binary.NativeEndian.PutUint32(out[4:], states)
	binary.BigEndian.PutUint16(out[8:], port)
	return out
}

// lookup is the struct inet_diag_req_v2 of a look for one socket.
func lookup(t target, device int) []byte {
	addr, family := t.to.Addr(), uint8(unix.AF_INET6)
	if addr.Is4() {
		family = unix.AF_INET
	}
	out := request(t.network, family, 0)
	own := out[8:] // port and address of the socket; those of a client follow
	port, at := own, own[4:]
	if t.network == "udp" { // there, the kernel has the two the other way round
		port, at = own[2:], own[20:]
	}
	binary.BigEndian.PutUint16(port, t.to.Port())
	copy(at, addr.AsSlice())
	binary.NativeEndian.PutUint32(out[44:], uint32(device))
	binary.NativeEndian.PutUint64(out[48:], math.MaxUint64) // whatever its cookie
	return out
}

// messageSize is the size of a struct inet_diag_msg.
const messageSize = 72

// parse reads a struct inet_diag_msg with its attributes. It reports whether the socket has
// a peer.
func parse(m []byte) (s Socket, peer, ok bool) {
	if len(m) < messageSize {
		return Socket{}, false, false
	}
	var addr netip.Addr
	switch m[0] {
	case unix.AF_INET:
		addr = netip.AddrFrom4([4]byte(m[8:]))
	case unix.AF_INET6:
		addr = netip.AddrFrom16([16]byte(m[8:])).Unmap()
	default:
		return Socket{}, false, false
	}
	s.Local = netip.AddrPortFrom(addr, binary.BigEndian.Uint16(m[4:]))
	s.Device = int(binary.NativeEndian.Uint32(m[40:]))
	s.Cookie = binary.NativeEndian.Uint64(m[44:])
	s.Queue, s.Backlog = binary.NativeEndian.Uint32(m[56:]), binary.NativeEndian.Uint32(m[60:])
	for rest := m[messageSize:]; len(rest) >= unix.SizeofRtAttr; { //nolint:gosec // it is that long, see above
		size := int(binary.NativeEndian.Uint16(rest))
		if size < unix.SizeofRtAttr || size > len(rest) {
			return Socket{}, false, false
		}
		s.add(binary.NativeEndian.Uint16(rest[2:]), rest[unix.SizeofRtAttr:size])
		aligned := (size + unix.RTA_ALIGNTO - 1) &^ (unix.RTA_ALIGNTO - 1)
		rest = rest[min(aligned, len(rest)):]
	}
	return s, binary.BigEndian.Uint16(m[6:]) != 0, true
}

// add reads one attribute. Those that are too short are of no kernel that there is.
func (s *Socket) add(kind uint16, value []byte) {
	switch {
	case kind == attrOnly6 && len(value) > 0:
		s.Only6 = value[0] != 0
	case kind == attrOptions && len(value) > 0:
		s.Free = value[0]&freeOptions != 0
	case kind == attrProtocol && len(value) > 0:
		for name, number := range protocols() {
			if value[0] == number {
				s.Network = name
			}
		}
	case kind == attrMemory && len(value) >= 9*4 && s.Backlog == 0:
		// SK_MEMINFO_RMEM_ALLOC, _RCVBUF and _DROPS; a TCP socket has its backlog already.
		s.Queue = binary.NativeEndian.Uint32(value)
		s.Backlog = binary.NativeEndian.Uint32(value[4:])
		s.Drops = binary.NativeEndian.Uint32(value[8*4:])
	}
}
