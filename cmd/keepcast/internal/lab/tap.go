package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// bgpPort is the TCP port of BGP.
const bgpPort = 179

// Tap listens to what a host sends to the router, on the wire.
type Tap struct {
	file    *os.File // a packet socket, see packet(7)
	streams map[tcpFlow]*bgpStream
}

// tcpFlow is one direction of a TCP connection.
type tcpFlow struct{ from, to netip.AddrPort }

// bgpStream is what is known of one.
type bgpStream struct {
	next uint32 // sequence number of the first byte not seen yet
	data []byte // not decoded yet
}

// Tap opens a tap on the router's interface to the host. What is sent from now on
// is not missed, but Messages must be called, which closes it.
func (r *Router) Tap(host string) (*Tap, error) {
	dev, err := r.nl.LinkByName(host)
	if err != nil {
		return nil, fmt.Errorf("tap to %s: %w", host, err)
	}
	fd := -1
	err = r.Do(func() error {
		all := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_ALL))
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20); err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: dev.Attrs().Index})
	})
	if err != nil {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
		return nil, fmt.Errorf("tap to %s: %w", host, err)
	}
	return &Tap{file: os.NewFile(uintptr(fd), "tap to "+host), streams: map[tcpFlow]*bgpStream{}}, nil
}

// Messages calls message for each BGP message that the host sends, until ctx is
// done; it returns early only with the error that ended it. A session that was
// there before must be silent when the tap is opened.
func (t *Tap) Messages(ctx context.Context, message func(BGPMessage)) error {
	defer t.file.Close()
	defer context.AfterFunc(ctx, func() { _ = t.file.SetReadDeadline(time.Unix(1, 0)) })()
	conn, err := t.file.SyscallConn()
	if err != nil {
		return fmt.Errorf("tap: %w", err)
	}
	packet := make([]byte, 1<<17)
	for {
		var n int
		var from unix.Sockaddr
		var errRead error
		err := conn.Read(func(fd uintptr) bool {
			n, from, errRead = unix.Recvfrom(int(fd), packet, 0)
			return !errors.Is(errRead, unix.EAGAIN)
		})
		if ctx.Err() != nil {
			return nil
		}
		if err := errors.Join(err, errRead); err != nil {
			return fmt.Errorf("tap: %w", err)
		}
		if ll, ok := from.(*unix.SockaddrLinklayer); !ok || ll.Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		if err := t.packet(packet[:n], message); err != nil {
			return fmt.Errorf("tap: %w", err)
		}
	}
}

// packet takes an IP packet in. The hosts send no fragments and no extension
// headers before TCP.
func (t *Tap) packet(p []byte, message func(BGPMessage)) error {
	var from, to netip.Addr
	switch {
	case len(p) >= 20 && p[0]>>4 == 4 && p[9] == unix.IPPROTO_TCP:
		head, total := int(p[0]&0xf)*4, int(binary.BigEndian.Uint16(p[2:]))
		if head < 20 || total < head || total > len(p) {
			return nil
		}
		from, to, p = netip.AddrFrom4([4]byte(p[12:16])), netip.AddrFrom4([4]byte(p[16:20])), p[head:total]
	case len(p) >= 40 && p[0]>>4 == 6 && p[6] == unix.IPPROTO_TCP:
		total := 40 + int(binary.BigEndian.Uint16(p[4:]))
		if total > len(p) {
			return nil
		}
		from, to, p = netip.AddrFrom16([16]byte(p[8:24])), netip.AddrFrom16([16]byte(p[24:40])), p[40:total]
	default:
		return nil
	}
	if len(p) < 20 || int(p[12]>>4)*4 > len(p) || int(p[12]>>4) < 5 {
		return nil
	}
	f := tcpFlow{
		netip.AddrPortFrom(from, binary.BigEndian.Uint16(p)),
		netip.AddrPortFrom(to, binary.BigEndian.Uint16(p[2:])),
	}
	if f.from.Port() != bgpPort && f.to.Port() != bgpPort {
		return nil
	}
	return t.segment(f, p, message)
}

// segment takes a TCP segment in.
func (t *Tap) segment(f tcpFlow, p []byte, message func(BGPMessage)) error {
	const syn = 2
	sequence, data := binary.BigEndian.Uint32(p[4:]), p[int(p[12]>>4)*4:]
	s := t.streams[f]
	if p[13]&syn != 0 {
		t.streams[f] = &bgpStream{next: sequence + 1}
		return nil
	}
	if s == nil {
		s = &bgpStream{next: sequence}
		t.streams[f] = s
	}
	ahead := int32(sequence - s.next)
	if ahead > 0 {
		return fmt.Errorf("%s: %d bytes were not seen", f.from, ahead)
	}
	if int(-ahead) >= len(data) {
		return nil // a repetition, or a byte to keep the connection up
	}
	data = data[-ahead:]
	s.next += uint32(len(data))
	s.data = append(s.data, data...)
	for {
		m, rest, err := nextBGP(s.data)
		if err != nil {
			return fmt.Errorf("%s: %w", f.from, err)
		}
		if len(rest) == len(s.data) {
			return nil
		}
		s.data, m.At, m.From = rest, time.Now(), f.from.Addr()
		message(m)
	}
}
