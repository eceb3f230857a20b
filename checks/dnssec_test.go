package checks

import (
	"regexp"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// signs is a signature of a set that begins and ends so many seconds from a moment.
func signs(owner string, of uint16, at time.Time, begins, ends int64) dns.RR {
	return &dns.RRSIG{
		Hdr:         dns.RR_Header{Name: owner, Rrtype: dns.TypeRRSIG, Class: dns.ClassINET},
		TypeCovered: of, KeyTag: 7, SignerName: "example.com.",
		Inception:  uint32(at.Unix() + begins),
		Expiration: uint32(at.Unix() + ends),
	}
}

func record(t *testing.T, text string) dns.RR {
	t.Helper()
	rr, err := dns.NewRR(text)
	if err != nil {
		t.Fatal(err)
	}
	return rr
}

func TestDNSSignatures(t *testing.T) {
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	wrapped := time.Unix(1<<32-100, 0)
	const hour, day = 3600, 24 * 3600
	const www = "www.example.com."
	a := record(t, www+" 60 IN A 192.0.2.1")
	again := record(t, "WWW.example.com. 60 IN A 192.0.2.2")
	alias := record(t, www+" 60 IN CNAME www.example.net.")
	moved := record(t, "example.com. 60 IN DNAME example.net.")
	soa := record(t, "example.com. 60 IN SOA a. b. 1 2 3 4 5")
	nsec := record(t, "example.com. 60 IN NSEC www.example.com. A")
	sig := func(owner string, of uint16, begins, ends int64) dns.RR { return signs(owner, of, now, begins, ends) }
	for name, tt := range map[string]struct {
		at        time.Time
		answer    []dns.RR
		authority []dns.RR
		err       string
	}{
		"good":          {answer: []dns.RR{a, again, sig(www, dns.TypeA, -hour, 3*day)}},
		"a second less": {answer: []dns.RR{a, sig(www, dns.TypeA, -hour, 3*day-1)}, err: "the signature of www.example.com. A by example.com. key 7 expires at 2026-11-30T11:59:59Z, in 71h59m59s, expected at least 72h0m0s"},
		"expired":       {answer: []dns.RR{a, sig(www, dns.TypeA, -hour, -60)}, err: "the signature of www.example.com. A by example.com. key 7 expired at 2026-11-27T11:59:00Z, 1m0s ago"},
		"to come":       {answer: []dns.RR{a, sig(www, dns.TypeA, 1, 30*day)}, err: "the signature of www.example.com. A by example.com. key 7 is not valid before 2026-11-27T12:00:01Z"},
		"from now":      {answer: []dns.RR{a, sig(www, dns.TypeA, 0, 30*day)}},
		"backwards":     {answer: []dns.RR{a, sig(www, dns.TypeA, -hour, -2*hour)}, err: "the signature of www.example.com. A by example.com. key 7 ends before it begins"},
		"old beside":    {answer: []dns.RR{a, sig(www, dns.TypeA, -hour, -60), sig(www, dns.TypeA, -hour, 4*day), sig(www, dns.TypeA, 60, 9*day)}},
		"new first":     {answer: []dns.RR{a, sig(www, dns.TypeA, 60, 9*day), sig(www, dns.TypeA, -hour, 4*day), sig(www, dns.TypeA, -hour, day)}},
		"none":          {answer: []dns.RR{a}, err: "the answer has no signatures (RRSIG)"},
		"of another":    {answer: []dns.RR{alias, a, sig(www, dns.TypeCNAME, -hour, 4*day)}, err: "www.example.com. A has no signature (RRSIG)"},
		"of the second": {answer: []dns.RR{alias, sig(www, dns.TypeCNAME, -hour, 4*day), a, sig(www, dns.TypeA, -hour, day)}, err: "the signature of www.example.com. A by example.com. key 7 expires at 2026-11-28T12:00:00Z, in 24h0m0s, expected at least 72h0m0s"},
		"dname":         {answer: []dns.RR{moved, sig("example.com.", dns.TypeDNAME, -hour, 4*day), alias}},
		"cname":         {answer: []dns.RR{soa, sig("example.com.", dns.TypeSOA, -hour, 4*day), alias}, err: "www.example.com. CNAME has no signature (RRSIG)"},
		"asked alone":   {answer: []dns.RR{sig(www, dns.TypeA, -hour, day)}, err: "the signature of www.example.com. A by example.com. key 7 expires at 2026-11-28T12:00:00Z, in 24h0m0s, expected at least 72h0m0s"},
		"no name":       {authority: []dns.RR{soa, sig("example.com.", dns.TypeSOA, -hour, 4*day), nsec, sig("example.com.", dns.TypeNSEC, -hour, 4*day)}},
		"no name, old":  {authority: []dns.RR{soa, sig("example.com.", dns.TypeSOA, -hour, 4*day), nsec, sig("example.com.", dns.TypeNSEC, -hour, -1)}, err: "the signature of example.com. NSEC by example.com. key 7 expired at 2026-11-27T11:59:59Z, 1s ago"},
		"nothing":       {err: "the empty answer has no signatures (RRSIG)"},
		"in 2106":       {at: wrapped, answer: []dns.RR{a, signs(www, dns.TypeA, wrapped, -hour, 4*day)}},
		"in 2106, old":  {at: wrapped, answer: []dns.RR{a, signs(www, dns.TypeA, wrapped, -hour, day)}, err: "the signature of www.example.com. A by example.com. key 7 expires at 2106-02-08T06:26:36Z, in 24h0m0s, expected at least 72h0m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			at := now
			if !tt.at.IsZero() {
				at = tt.at
			}
			d := newDNS()
			d.MinSignatureLeft = 72 * time.Hour
			sameError(t, d.judgeSignatures(nil, &dns.Msg{Answer: tt.answer, Ns: tt.authority}, at), tt.err, "")
		})
	}
	sameError(t, newDNS().judgeSignatures(nil, &dns.Msg{Answer: []dns.RR{a}}, now), "", "")
}

// TestDNSKnotSigned has a server that signs by itself, for a day.
func TestDNSKnotSigned(t *testing.T) {
	zones, server := t.TempDir(), freeAddress(t)
	knotZone(t, zones+"/example.com.zone", 1)
	knotZone(t, zones+"/example.net.zone", 1)
	knot(t, server, `
policy:
  - id: day
    rrsig-lifetime: 1d
template:
  - id: default
    storage: "`+zones+`"
    zonefile-sync: -1
    zonefile-load: whole
zone:
  - domain: example.com
    dnssec-signing: on
    dnssec-policy: day
  - domain: example.net
`)
	moment := regexp.MustCompile(`key \d+|20\d\d-\S+Z|in 2\d[hms0-9]+`)
	fitAtLast(t, asksDNS(server, "www.example.com", dns.TypeA))
	fitAtLast(t, asksDNS(server, "www.example.net", dns.TypeA))
	for name, tt := range map[string]struct {
		query, err string
		rcode      int
		left       time.Duration
		sight      int
	}{
		"lasts":   {query: "www.example.com", left: 23 * time.Hour, sight: 1},
		"expires": {query: "www.example.com", left: 25 * time.Hour, sight: 1, err: "the signature of www.example.com. A by example.com. * expires at *, *, expected at least 25h0m0s"},
		"no name": {query: "none.example.com", left: 23 * time.Hour, rcode: dns.RcodeNameError, sight: 2},
		"none":    {query: "www.example.net", left: time.Second, err: "the answer has no signatures (RRSIG)"},
		"unasked": {query: "www.example.net"},
	} {
		t.Run(name, func(t *testing.T) {
			c := asksDNS(server, tt.query, dns.TypeA)
			c.Rcode, c.MinSignatureLeft = Rcode(tt.rcode), tt.left
			var s Sight
			got, want := "", ""
			if err := c.Check(WithSight(within(t), &s)); err != nil {
				got = moment.ReplaceAllString(err.Error(), "*")
			}
			if tt.err != "" {
				want = "asking " + server + " over udp for " + tt.query + ". IN A: " + tt.err
			}
			if got != want {
				t.Errorf("error\n got: %s\nwant: %s", got, want)
			}
			seen, _ := s.Seen()
			noted := 0
			for _, one := range seen {
				if one.What == "signature" {
					noted++
				}
			}
			if noted != tt.sight {
				t.Errorf("%d signatures noted: %v", noted, seen)
			}
		})
	}
}
