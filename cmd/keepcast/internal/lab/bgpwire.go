package lab

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// BGPType is the type of a BGP message (RFC 4271, 4.1; RFC 2918).
type BGPType byte

// The types of BGP messages.
const (
	BGPOpen         BGPType = 1
	BGPUpdate       BGPType = 2
	BGPNotification BGPType = 3
	BGPKeepalive    BGPType = 4
	BGPRouteRefresh BGPType = 5 // also BoRR and EoRR of RFC 7313
)

// BGPMessage is a message that a host sent to the router.
type BGPMessage struct {
	At                   time.Time
	From                 netip.Addr // the host's end of the session
	Type                 BGPType
	Withdrawn, Announced []netip.Prefix // of an update, IPv4 and IPv6 unicast
	MED                  uint32         // of an update; 0 also if it has none
}

// The size of a message (RFC 4271, 4.1); no session here has extended messages.
const (
	bgpHeader = 19
	bgpMax    = 4096
)

var (
	errBGP    = errors.New("malformed BGP message")
	bgpMarker = bytes.Repeat([]byte{0xff}, 16)
)

// nextBGP decodes the first message of stream and returns the rest. If the
// message is not complete yet, rest is stream.
func nextBGP(stream []byte) (m BGPMessage, rest []byte, err error) {
	if len(stream) < bgpHeader {
		return m, stream, nil
	}
	size := int(binary.BigEndian.Uint16(stream[16:]))
	if !bytes.HasPrefix(stream, bgpMarker) || size < bgpHeader || size > bgpMax {
		return m, stream, fmt.Errorf("%w: header %x", errBGP, stream[:bgpHeader])
	}
	if len(stream) < size {
		return m, stream, nil
	}
	m.Type = BGPType(stream[18])
	if m.Type == BGPUpdate {
		err = m.update(stream[bgpHeader:size])
	}
	return m, stream[size:], err
}

// update decodes the body of an update (RFC 4271, 4.3).
func (m *BGPMessage) update(b []byte) error {
	withdrawn, b, ok := counted(b)
	attributes, announced, ok2 := counted(b)
	if !ok || !ok2 {
		return fmt.Errorf("%w: update is too short", errBGP)
	}
	for _, part := range []struct {
		to *[]netip.Prefix
		b  []byte
	}{{&m.Withdrawn, withdrawn}, {&m.Announced, announced}} {
		if err := prefixes(part.to, part.b, 4); err != nil {
			return err
		}
	}
	for len(attributes) > 0 {
		var err error
		if attributes, err = m.attribute(attributes); err != nil {
			return err
		}
	}
	return nil
}

// attribute decodes the first path attribute and returns the rest: MED, and the
// prefixes of other families than IPv4 (RFC 4760).
func (m *BGPMessage) attribute(b []byte) (rest []byte, err error) {
	const extended = 0x10
	short := fmt.Errorf("%w: attribute is too short", errBGP)
	if len(b) < 3 {
		return nil, short
	}
	flags, kind := b[0], b[1]
	size, b := int(b[2]), b[2:]
	if flags&extended != 0 {
		if len(b) < 2 {
			return nil, short
		}
		size, b = int(binary.BigEndian.Uint16(b)), b[2:]
	} else {
		b = b[1:]
	}
	if len(b) < size {
		return nil, short
	}
	value, rest := b[:size], b[size:]
	switch kind {
	case 4: // MULTI_EXIT_DISC
		if size != 4 {
			return nil, short
		}
		m.MED = binary.BigEndian.Uint32(value)
	case 14: // MP_REACH_NLRI: family, next hop, a reserved byte, prefixes
		if size < 5 || size < 5+int(value[3]) {
			return nil, short
		}
		err = prefixes(&m.Announced, value[5+int(value[3]):], bytesOf(value))
	case 15: // MP_UNREACH_NLRI: family, prefixes
		if size < 3 {
			return nil, short
		}
		err = prefixes(&m.Withdrawn, value[3:], bytesOf(value))
	}
	return rest, err
}

// bytesOf is the length of an address of the family that b begins with.
func bytesOf(b []byte) int {
	if binary.BigEndian.Uint16(b) == 2 {
		return 16
	}
	return 4
}

// counted cuts off what stands behind a length of two bytes.
func counted(b []byte) (part, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, nil, false
	}
	size, b := int(binary.BigEndian.Uint16(b)), b[2:]
	if len(b) < size {
		return nil, nil, false
	}
	return b[:size], b[size:], true
}

// prefixes appends those of b, whose addresses have the size of their family.
func prefixes(to *[]netip.Prefix, b []byte, size int) error {
	for len(b) > 0 {
		bits, n := int(b[0]), (int(b[0])+7)/8
		if n > size || len(b) < 1+n {
			return fmt.Errorf("%w: prefix %x", errBGP, b)
		}
		address := make([]byte, size)
		copy(address, b[1:1+n])
		addr, _ := netip.AddrFromSlice(address) // of the right size
		*to, b = append(*to, netip.PrefixFrom(addr, bits).Masked()), b[1+n:]
	}
	return nil
}
