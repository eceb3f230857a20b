package checks

import (
	"net/netip"
	"regexp"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// FuzzDNSReply judges what a server may say, by all that can be looked at.
func FuzzDNSReply(f *testing.F) {
	query := new(dns.Msg).SetQuestion("example.com.", dns.TypeSOA)
	now := time.Unix(1<<32-1, 0)
	for _, m := range []*dns.Msg{
		withRecords(query, "example.com. 300 IN SOA a. b. 4294967295 1 2 3 4"),
		answersWith(query, dns.RcodeBadCookie, cookieOption("01020304050607081112131415161718"), &dns.EDNS0_NSID{Code: dns.EDNS0NSID, Nsid: "61"}),
		answersWith(query, 0, &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 2, SourceNetmask: 32, Address: netip.MustParseAddr("2001:db8::").AsSlice()}),
		{Answer: []dns.RR{signs("example.com.", dns.TypeSOA, now, -1, 1)}},
	} {
		packed, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packed)
	}
	f.Fuzz(func(t *testing.T, packed []byte) {
		reply := new(dns.Msg)
		if reply.Unpack(packed) != nil {
			return
		}
		d := asksDNS("127.0.0.1", "example.com", dns.TypeSOA)
		d.MinSignatureLeft, d.Cookie, d.Subnet = time.Hour, true, netip.MustParsePrefix("2001:db8::/32")
		d.NSID, d.Answers = regexp.MustCompile("a"), []string{"SOA"}
		d.cookies.client = "0102030405060708"
		s := new(Sight)
		s.sawReply(reply, len(packed))
		for _, err := range []error{d.judge(s, reply), d.judgeFirst(reply), d.judgeEDNS(s, reply), d.judgeSignatures(s, reply, now)} {
			if err != nil && err.Error() == "" {
				t.Error("an error without a word")
			}
		}
		if n := len(d.cookies.ours()); n > 2*(clientCookie+maxServerCookie) {
			t.Errorf("sends a cookie of %d digits", n)
		}
		if serial, err := soaSerial(reply); err == nil {
			d.known.said(0, nil)
			_ = d.known.judge(s, dnsSerial{Primary: "p", MaxSerialLag: 5, MaxSerialAge: 1}, serial, now)
		}
	})
}
