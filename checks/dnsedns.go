package checks

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"

	"github.com/miekg/dns"
)

// dnsEDNS are the settings of what a query has beside the question (RFC 6891).
type dnsEDNS struct {
	EDNSSize      int          `config:"edns_size" default:"1232" min:"0" max:"65535" doc:"Largest reply to accept over UDP, in bytes: 512 or more. 0: a query without EDNS, as old clients send it."`
	Cookie        bool         `config:"cookie" doc:"Send a DNS cookie (RFC 7873), and from the second query on what the server gave for one. A server that answers BADCOOKIE is asked again with it, once. A cookie that comes back has to fit the one that was sent; none is fine."`
	RequireCookie bool         `config:"require_cookie" doc:"Send a DNS cookie, and expect one of the server in its reply."`
	Subnet        netip.Prefix `config:"client_subnet" doc:"Ask on behalf of clients of that network (RFC 7871), as in '192.0.2.0/24', for an answer that depends on them. A reply for another network is a failure, one that names none is not. 'keepcast probe' shows for how much of the network the answer is (scope)."`
	cookies       *dnsCookies
}

// defaultUDPSize is what passes any path without fragments (RFC 9715).
const defaultUDPSize = 1232

// validateEDNS is the part of Validate that is about EDNS.
func (d *DNS) validateEDNS() error {
	if d.Subnet.IsValid() && d.Subnet != d.Subnet.Masked() {
		return fmt.Errorf("client_subnet: %s has bits set behind its length, did you mean %s?", d.Subnet, d.Subnet.Masked())
	}
	if d.EDNSSize >= dns.MinMsgSize {
		return nil
	}
	if d.EDNSSize > 0 {
		return fmt.Errorf("edns_size: %d is less than %d, which a server may send without EDNS", d.EDNSSize, dns.MinMsgSize)
	}
	for _, needs := range []struct {
		name string
		set  bool
	}{
		{"nsid", d.NSID != nil},
		{"min_signature_left", d.MinSignatureLeft > 0},
		{"cookie", d.Cookie || d.RequireCookie},
		{"client_subnet", d.Subnet.IsValid()},
	} {
		if needs.set {
			return fmt.Errorf("edns_size: 0 is without EDNS, which %s needs", needs.name)
		}
	}
	return nil
}

// addEDNS makes a query one with EDNS.
func (d *DNS) addEDNS(query *dns.Msg) {
	if d.EDNSSize == 0 {
		return
	}
	query.SetEdns0(uint16(d.EDNSSize), d.MinSignatureLeft > 0)
	opt := query.IsEdns0()
	if d.NSID != nil {
		opt.Option = append(opt.Option, &dns.EDNS0_NSID{Code: dns.EDNS0NSID})
	}
	if d.Cookie || d.RequireCookie {
		opt.Option = append(opt.Option, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: d.cookies.ours()})
	}
	if d.Subnet.IsValid() {
		family := uint16(1) // of IANA's address families
		if d.Subnet.Addr().Is6() {
			family = 2
		}
		opt.Option = append(opt.Option, &dns.EDNS0_SUBNET{
			Code: dns.EDNS0SUBNET, Family: family, SourceNetmask: uint8(d.Subnet.Bits()), Address: d.Subnet.Addr().AsSlice(),
		})
	}
}

// judgeEDNS says what is wrong with the options of a reply.
func (d *DNS) judgeEDNS(s *Sight, reply *dns.Msg) error {
	if d.Cookie || d.RequireCookie {
		switch theirs, err := d.cookies.theirs(reply); {
		case err != nil:
			return err
		case theirs != "":
			s.saw("cookie", "%d bytes of the server", hex.DecodedLen(len(theirs)))
		case d.RequireCookie:
			return errors.New("the reply has no DNS cookie")
		default:
			s.saw("cookie", "none")
		}
	}
	if d.Subnet.IsValid() {
		return d.judgeSubnet(s, reply)
	}
	return nil
}

// judgeSubnet says whether a reply is for another network than the query was for. A
// resolver has to drop one that is (RFC 7871 section 7.3).
func (d *DNS) judgeSubnet(s *Sight, reply *dns.Msg) error {
	for _, o := range options(reply) {
		subnet, is := o.(*dns.EDNS0_SUBNET)
		if !is {
			continue
		}
		addr, _ := netip.AddrFromSlice(subnet.Address)
		if subnet.Family == 1 { // which the library has in 16 bytes
			addr = addr.Unmap()
		}
		if got := netip.PrefixFrom(addr, int(subnet.SourceNetmask)); got != d.Subnet {
			return fmt.Errorf("the reply is for the client subnet %s, asked for was %s", got, d.Subnet)
		}
		s.saw("subnet", "%s, the scope of the answer is /%d", d.Subnet, subnet.SourceScope)
		return nil
	}
	s.saw("subnet", "the reply names none")
	return nil
}

// dnsCookies are the two halves of a DNS cookie, in hex: the client's, which the check has
// for as long as it lives, and what the server gave for it last.
type dnsCookies struct {
	mu     sync.Mutex
	client string
	server string
}

// Lengths of the two halves in bytes (RFC 7873 section 4).
const (
	clientCookie    = 8
	minServerCookie = 8
	maxServerCookie = 32
)

// ours returns the cookie to send.
func (c *dnsCookies) ours() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.client == "" {
		random := make([]byte, clientCookie)
		_, _ = rand.Read(random) // which never fails
		c.client = hex.EncodeToString(random)
	}
	return c.client + c.server
}

// theirs returns the server's half in a reply, "" if there is none, and remembers it.
func (c *dnsCookies) theirs(reply *dns.Msg) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range options(reply) {
		cookie, is := o.(*dns.EDNS0_COOKIE)
		if !is {
			continue
		}
		theirs, ours := strings.CutPrefix(cookie.Cookie, c.client)
		n := hex.DecodedLen(len(theirs))
		switch {
		case !ours:
			return "", errors.New("the DNS cookie of the reply is not that of the query")
		case n < minServerCookie || n > maxServerCookie:
			return "", fmt.Errorf("the server's half of the DNS cookie has %d bytes, expected %d to %d", n, minServerCookie, maxServerCookie)
		}
		c.server = theirs
		return theirs, nil
	}
	return "", nil
}

// withCookie gives a query, and its options, the cookie to send now, and another id.
func (c *dnsCookies) withCookie(query *dns.Msg) *dns.Msg {
	again := query.Copy()
	again.Id = dns.Id()
	for _, o := range options(again) {
		if o, is := o.(*dns.EDNS0_COOKIE); is {
			o.Cookie = c.ours()
		}
	}
	return again
}
