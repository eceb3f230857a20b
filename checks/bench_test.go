package checks

import (
	"regexp"
	"testing"

	"github.com/miekg/dns"
)

// BenchmarkDNSReply measures reading and judging a reply of two records, by a check that
// asks for one of them and for an NSID.
func BenchmarkDNSReply(b *testing.B) {
	d := asksDNS("127.0.0.1", "www.example.com", dns.TypeA)
	d.Answers, d.NSID = []string{`A 192\.0\.2\.2$`}, regexp.MustCompile(`^ams\d$`)
	query := d.message(d.first())
	reply := new(dns.Msg).SetReply(query)
	for _, text := range []string{"www.example.com. 300 IN A 192.0.2.1", "www.example.com. 300 IN A 192.0.2.2"} {
		rr, err := dns.NewRR(text)
		if err != nil {
			b.Fatal(err)
		}
		reply.Answer = append(reply.Answer, rr)
	}
	reply.SetEdns0(defaultUDPSize, false)
	reply.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_NSID{Code: dns.EDNS0NSID, Nsid: "616d7331"}}
	packed, err := reply.Pack()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(packed)))
	for b.Loop() {
		var got dns.Msg
		if err := got.Unpack(packed); err != nil {
			b.Fatal(err)
		}
		if err := answersTo(query, &got); err != nil {
			b.Fatal(err)
		}
		if err := d.judge(nil, &got); err != nil {
			b.Fatal(err)
		}
		if err := d.judgeFirst(&got); err != nil {
			b.Fatal(err)
		}
	}
}
