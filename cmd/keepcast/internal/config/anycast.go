package config

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
)

// announceable says why an address must not be announced as anycast, or nil.
func announceable(a netip.Addr, bits int) error {
	switch {
	case a.Zone() != "":
		return fmt.Errorf("%s has a zone: an anycast address has none", a)
	case a.Is4In6():
		return fmt.Errorf("%s is an IPv4 address in IPv6 form: write %s", a, a.Unmap())
	case a.IsUnspecified():
		return fmt.Errorf("%s is the unspecified address", a)
	case a.IsLoopback():
		return fmt.Errorf("%s is a loopback address: no other host could reach it", a)
	case a.IsMulticast():
		return fmt.Errorf("%s is a multicast address: anycast addresses are unicast addresses (RFC 4291, 2.6)", a)
	case a.IsLinkLocalUnicast():
		return fmt.Errorf("%s is a link-local address: no router forwards it", a)
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return fmt.Errorf("%s is the broadcast address", a)
	case bits == 0:
		return fmt.Errorf("%s/0 is the default route, not the prefix of a service", a)
	case a.Is4() && bits < 31 && netip.PrefixFrom(a, bits).Masked().Addr() == a:
		return fmt.Errorf("%s/%d is a network: write the address that the service answers on, such as %s/%d", a, bits, a.Next(), bits)
	}
	return nil
}

// wellKnown are the anycast addresses that a protocol has assigned.
var wellKnown = map[string]string{
	"192.0.0.9":  "the well-known anycast address of PCP (RFC 7723)",
	"2001:1::1":  "the well-known anycast address of PCP (RFC 7723)",
	"192.0.0.10": "the well-known anycast address of TURN (RFC 8155)",
	"2001:1::2":  "the well-known anycast address of TURN (RFC 8155)",
}

// Reserved names the standard that reserves p's address as an anycast address,
// or returns the empty string.
func Reserved(p netip.Prefix) string {
	if name := wellKnown[p.Addr().String()]; name != "" {
		return name
	}
	// Written without a length, the subnet is not known: a /64 is meant then,
	// as nearly every IPv6 subnet is one.
	subnet := p
	if p.Addr().Is6() && p.Bits() == 128 {
		subnet = netip.PrefixFrom(p.Addr(), 64)
	}
	for _, format := range []IDFormat{FormatAuto, FormatOther} {
		first, err := SubnetAnycast(subnet.Masked(), 0, format)
		if err != nil {
			return ""
		}
		a, f := p.Addr().As16(), first.As16()
		id := a[15] & 0x7f
		a[15] &= 0x80
		if a == f {
			return fmt.Sprintf("a reserved subnet anycast address, identifier %d%s (RFC 2526)", id, idNames[id])
		}
	}
	return ""
}

// idNames are the anycast identifiers with a use (RFC 2526, section 3).
var idNames = map[byte]string{126: ", Mobile IPv6 home agents"}

// IDFormat is a format of reserved subnet anycast addresses.
type IDFormat string

// The formats of RFC 2526, section 2.
const (
	FormatAuto  IDFormat = "auto"  // what the RFC prescribes for the prefix
	FormatEUI64 IDFormat = "eui64" // 64-bit identifiers, universal/local bit zero
	FormatOther IDFormat = "other" // any other length: all bits one
)

// SubnetAnycast returns the reserved subnet anycast address number id (0 to 127)
// of an IPv6 subnet (RFC 2526, section 2). FormatAuto takes the EUI-64 form for
// a /64 outside 0000::/3, where identifiers are EUI-64 based, else the other.
func SubnetAnycast(subnet netip.Prefix, id int, format IDFormat) (netip.Addr, error) {
	switch {
	case !subnet.Addr().Is6() || subnet.Addr().Is4In6():
		return netip.Addr{}, fmt.Errorf("%s is no IPv6 subnet: RFC 2526 reserves anycast addresses in IPv6 subnets only", subnet)
	case subnet.Masked() != subnet:
		return netip.Addr{}, fmt.Errorf("%s is not a subnet: write %s", subnet, subnet.Masked())
	case subnet.Bits() > 121:
		return netip.Addr{}, fmt.Errorf("%s is too small: an anycast identifier has 7 bits, so the length may be 121 at most", subnet)
	case id < 0 || id > 127:
		return netip.Addr{}, fmt.Errorf("identifier %d is out of range (0 to 127)", id)
	}
	eui64 := subnet.Bits() == 64 && subnet.Addr().As16()[0]>>5 != 0
	switch format {
	case FormatEUI64:
		if subnet.Bits() != 64 {
			return netip.Addr{}, errors.New("EUI-64 based identifiers have 64 bits: the subnet must be a /64")
		}
		eui64 = true
	case FormatOther:
		eui64 = false
	case FormatAuto:
	default:
		return netip.Addr{}, fmt.Errorf("no format %q (known: auto, eui64, other)", format)
	}
	a := subnet.Addr().As16()
	if eui64 {
		binary.BigEndian.PutUint64(a[8:], 0xfdff_ffff_ffff_ff80|uint64(id))
		return netip.AddrFrom16(a), nil
	}
	for bit := subnet.Bits(); bit < 121; bit++ {
		a[bit/8] |= 0x80 >> (bit % 8)
	}
	a[15] = a[15]&0x80 | byte(id)
	return netip.AddrFrom16(a), nil
}
