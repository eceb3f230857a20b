package checks

import (
	"encoding/hex"
	"net/netip"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

// What is asked by default is what keepcast has always asked.
func TestDNSQueryBytes(t *testing.T) {
	const question = "0377777707" + "6578616d706c65" + "03636f6d00" + "00010001"
	for name, tt := range map[string]struct {
		change func(*DNS)
		want   string
	}{
		"default":  {func(*DNS) {}, "0000" + "0000" + "0001000000000001" + question + "00002904d0000000000000"},
		"nsid, ad": {func(d *DNS) { d.NSID, d.AD, d.Recursion = regexp.MustCompile("."), true, true }, "0000" + "0120" + "0001000000000001" + question + "00002904d0000000000004" + "00030000"},
		"no EDNS":  {func(d *DNS) { d.EDNSSize = 0 }, "0000" + "0000" + "0001000000000000" + question},
		"size":     {func(d *DNS) { d.EDNSSize = 4096 }, "0000" + "0000" + "0001000000000001" + question + "0000291000000000000000"},
		"DO":       {func(d *DNS) { d.MinSignatureLeft = 1 }, "0000" + "0000" + "0001000000000001" + question + "00002904d0000080000000"},
		"IPv4":     {func(d *DNS) { d.Subnet = netip.MustParsePrefix("192.0.2.0/24") }, "0000" + "0000" + "0001000000000001" + question + "00002904d000000000000b" + "00080007000118" + "00c00002"},
		"IPv6":     {func(d *DNS) { d.Subnet = netip.MustParsePrefix("2001:db8::/33") }, "0000" + "0000" + "0001000000000001" + question + "00002904d000000000000d" + "00080009000221" + "0020010db800"},
		"cookie": {
			func(d *DNS) {
				d.Cookie, d.cookies.client, d.cookies.server = true, "0102030405060708", "1112131415161718"
			},
			"0000" + "0000" + "0001000000000001" + question + "00002904d0000000000014" + "000a0010" + "0102030405060708" + "1112131415161718",
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := asksDNS("127.0.0.1", "www.example.com", dns.TypeA)
			tt.change(d)
			m := d.message(d.first())
			m.Id = 0
			packed, err := m.Pack()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, hex.EncodeToString(packed)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// cookieOf returns the cookie in a message.
func cookieOf(m *dns.Msg) string {
	for _, o := range options(m) {
		if o, is := o.(*dns.EDNS0_COOKIE); is {
			return o.Cookie
		}
	}
	return ""
}

// answersWith is a reply with options and a code.
func answersWith(q *dns.Msg, rcode int, o ...dns.EDNS0) *dns.Msg {
	m := withRecords(q)
	m.SetEdns0(defaultUDPSize, false)
	m.IsEdns0().Option = o
	m.Rcode = rcode
	return m
}

func cookieOption(text string) dns.EDNS0 {
	return &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: text}
}

func TestDNSCookie(t *testing.T) {
	const half = "a1a2a3a4a5a6a7a8"
	for name, tt := range map[string]struct {
		answer  func(q *dns.Msg, asked int64) *dns.Msg
		require bool
		err     string
		asked   int64
		sight   string
	}{
		"given":     {func(q *dns.Msg, _ int64) *dns.Msg { return answersWith(q, 0, cookieOption(cookieOf(q)[:16]+half)) }, true, "", 1, "cookie: 8 bytes of the server"},
		"none":      {func(q *dns.Msg, _ int64) *dns.Msg { return answersWith(q, 0) }, false, "", 1, "cookie: none"},
		"no EDNS":   {func(q *dns.Msg, _ int64) *dns.Msg { return withRecords(q) }, true, "the reply has no DNS cookie", 1, ""},
		"required":  {func(q *dns.Msg, _ int64) *dns.Msg { return answersWith(q, 0) }, true, "the reply has no DNS cookie", 1, ""},
		"another":   {func(q *dns.Msg, _ int64) *dns.Msg { return answersWith(q, 0, cookieOption(half+half)) }, false, "the DNS cookie of the reply is not that of the query", 1, ""},
		"half":      {func(q *dns.Msg, _ int64) *dns.Msg { return answersWith(q, 0, cookieOption(cookieOf(q)[:16])) }, false, "the server's half of the DNS cookie has 0 bytes, expected 8 to 32", 1, ""},
		"too short": {func(q *dns.Msg, _ int64) *dns.Msg { return answersWith(q, 0, cookieOption(cookieOf(q)[:16]+half[2:])) }, false, "the server's half of the DNS cookie has 7 bytes, expected 8 to 32", 1, ""},
		"longest": {func(q *dns.Msg, _ int64) *dns.Msg {
			return answersWith(q, 0, cookieOption(cookieOf(q)[:16]+strings.Repeat(half, 4)))
		}, true, "", 1, "cookie: 32 bytes of the server"},
		"too long": {func(q *dns.Msg, _ int64) *dns.Msg {
			return answersWith(q, 0, cookieOption(cookieOf(q)[:16]+strings.Repeat(half, 4)+"00"))
		}, false, "the server's half of the DNS cookie has 33 bytes, expected 8 to 32", 1, ""},
		"bad, short": {func(q *dns.Msg, _ int64) *dns.Msg { return answersWith(q, dns.RcodeBadCookie, cookieOption(half)) }, false, "the DNS cookie of the reply is not that of the query", 1, ""},
		"always bad": {func(q *dns.Msg, _ int64) *dns.Msg {
			return answersWith(q, dns.RcodeBadCookie, cookieOption(cookieOf(q)[:16]+half))
		}, false, "got BADCOOKIE, expected NOERROR", 2, "badcookie: asking again with the cookie of the server"},
		"bad at once": {func(q *dns.Msg, n int64) *dns.Msg {
			return answersWith(q, map[int64]int{1: dns.RcodeBadCookie}[n], cookieOption(cookieOf(q)[:16]+half))
		}, true, "", 2, "badcookie: asking again with the cookie of the server|cookie: 8 bytes of the server"},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int64
			c := asksDNS(fakeDNS(t, func(w dns.ResponseWriter, q *dns.Msg) {
				n := asked.Add(1)
				if n > 1 && cookieOf(q)[16:] != half {
					t.Errorf("query %d has %s", n, cookieOf(q))
				}
				w.WriteMsg(tt.answer(q, n))
			}), "example.com", dns.TypeA)
			c.Cookie, c.RequireCookie = !tt.require, tt.require
			want := tt.err
			if want != "" {
				want = "asking ADDR over udp for example.com. IN A: " + want
			}
			var s Sight
			sameError(t, c.Check(WithSight(within(t), &s)), want, c.Server)
			if asked.Load() != tt.asked {
				t.Errorf("asked %d times", asked.Load())
			}
			var got []string
			seen, _ := s.Seen()
			for _, one := range seen {
				if strings.HasSuffix(one.What, "cookie") {
					got = append(got, one.What+": "+one.Text)
				}
			}
			if strings.Join(got, "|") != tt.sight {
				t.Errorf("saw %q", got)
			}
			if tt.err == "" && tt.require { // the next run begins with what the server gave
				c.Cookie = true
				if sent := cookieOf(c.message(c.first())); len(sent) < 32 || sent[16:32] != half {
					t.Errorf("sends %s", sent)
				}
			}
		})
	}
}

func TestDNSSubnet(t *testing.T) {
	subnet := func(family uint16, bits, scope uint8, address string) dns.EDNS0 {
		return &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: family, SourceNetmask: bits, SourceScope: scope, Address: netip.MustParseAddr(address).AsSlice()}
	}
	for name, tt := range map[string]struct {
		of     string
		answer []dns.EDNS0
		err    string
		sight  string
	}{
		"scope":         {"192.0.2.0/24", []dns.EDNS0{subnet(1, 24, 20, "192.0.2.0")}, "", "192.0.2.0/24, the scope of the answer is /20"},
		"IPv6":          {"2001:db8::/56", []dns.EDNS0{subnet(2, 56, 0, "2001:db8::")}, "", "2001:db8::/56, the scope of the answer is /0"},
		"all":           {"0.0.0.0/0", []dns.EDNS0{subnet(1, 0, 0, "0.0.0.0")}, "", "0.0.0.0/0, the scope of the answer is /0"},
		"none":          {"192.0.2.0/24", nil, "", "the reply names none"},
		"another":       {"192.0.2.0/24", []dns.EDNS0{subnet(1, 24, 24, "198.51.100.0")}, "the reply is for the client subnet 198.51.100.0/24, asked for was 192.0.2.0/24", ""},
		"other length":  {"192.0.2.0/24", []dns.EDNS0{subnet(1, 25, 24, "192.0.2.0")}, "the reply is for the client subnet 192.0.2.0/25, asked for was 192.0.2.0/24", ""},
		"other family":  {"0.0.0.0/0", []dns.EDNS0{subnet(2, 0, 0, "::")}, "the reply is for the client subnet ::/0, asked for was 0.0.0.0/0", ""},
		"no such bytes": {"192.0.2.0/24", []dns.EDNS0{&dns.EDNS0_LOCAL{Code: dns.EDNS0SUBNET, Data: []byte{0, 9, 24}}}, "OPT.Option: dns: buffer size too small", ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := asksDNS(fakeDNS(t, func(w dns.ResponseWriter, q *dns.Msg) { w.WriteMsg(answersWith(q, 0, tt.answer...)) }), "example.com", dns.TypeA)
			c.Subnet = netip.MustParsePrefix(tt.of)
			want := tt.err
			if want != "" {
				want = "asking ADDR over udp for example.com. IN A: " + want
			}
			var s Sight
			sameError(t, c.Check(WithSight(within(t), &s)), want, c.Server)
			got := ""
			seen, _ := s.Seen()
			for _, one := range seen {
				if one.What == "subnet" {
					got = one.Text
				}
			}
			if got != tt.sight {
				t.Errorf("saw %q", got)
			}
		})
	}
}

func TestDNSEDNSValidate(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*DNS)
		err    string
	}{
		"none":      {func(d *DNS) { d.EDNSSize = 0 }, ""},
		"least":     {func(d *DNS) { d.EDNSSize = 512 }, ""},
		"size":      {func(d *DNS) { d.EDNSSize = 511 }, "edns_size: 511 is less than 512, which a server may send without EDNS"},
		"nsid":      {func(d *DNS) { d.EDNSSize, d.NSID = 0, regexp.MustCompile(".") }, "edns_size: 0 is without EDNS, which nsid needs"},
		"signature": {func(d *DNS) { d.EDNSSize, d.MinSignatureLeft = 0, time.Hour }, "edns_size: 0 is without EDNS, which min_signature_left needs"},
		"cookie":    {func(d *DNS) { d.EDNSSize, d.Cookie = 0, true }, "edns_size: 0 is without EDNS, which cookie needs"},
		"required":  {func(d *DNS) { d.EDNSSize, d.RequireCookie = 0, true }, "edns_size: 0 is without EDNS, which cookie needs"},
		"subnet":    {func(d *DNS) { d.EDNSSize, d.Subnet = 0, netip.MustParsePrefix("192.0.2.0/24") }, "edns_size: 0 is without EDNS, which client_subnet needs"},
		"bits":      {func(d *DNS) { d.Subnet = netip.MustParsePrefix("192.0.2.1/24") }, "client_subnet: 192.0.2.1/24 has bits set behind its length, did you mean 192.0.2.0/24?"},
	} {
		t.Run(name, func(t *testing.T) {
			d := asksDNS("127.0.0.1", "www.example.com", dns.TypeA)
			tt.change(d)
			sameError(t, d.Validate(), tt.err, "")
		})
	}
}

// TestDNSKnotCookie has a server that answers nobody without its cookie.
func TestDNSKnotCookie(t *testing.T) {
	zones, server := t.TempDir(), freeAddress(t)
	knotZone(t, zones+"/example.com.zone", 1)
	knot(t, server, `
mod-cookies:
  - id: strict
    badcookie-slip: 1
template:
  - id: default
    storage: "`+zones+`"
    global-module: mod-cookies/strict
zone:
  - domain: example.com
`)
	c := asksDNS(server, "www.example.com", dns.TypeA)
	c.RequireCookie, c.MinAnswers = true, 1
	fitAtLast(t, c)
	for name, tt := range map[string]struct {
		c    *DNS
		want string
	}{
		"known":   {c, "cookie: 16 bytes of the server"},
		"unknown": {asksDNS(server, "www.example.com", dns.TypeA), "badcookie: asking again with the cookie of the server|cookie: 16 bytes of the server"},
	} {
		tt.c.Cookie = true
		var s Sight
		sameError(t, tt.c.Check(WithSight(within(t), &s)), "", server)
		var got []string
		seen, _ := s.Seen()
		for _, one := range seen {
			if strings.HasSuffix(one.What, "cookie") {
				got = append(got, one.What+": "+one.Text)
			}
		}
		if strings.Join(got, "|") != tt.want {
			t.Errorf("%s: saw %q", name, got)
		}
	}
}
