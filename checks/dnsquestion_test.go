package checks

import (
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

func TestDNSQuestion(t *testing.T) {
	for text, tt := range map[string]struct{ again, err string }{
		"example.com MX":        {again: "example.com MX"},
		" example.com.\taaaa ":  {again: "example.com. AAAA"},
		"www.example.com":       {again: "www.example.com A"},
		". TYPE65534":           {again: ". TYPE65534"},
		"":                      {err: `"" is no name and type, as in 'example.com MX'`},
		"example.com MX IN":     {err: `"example.com MX IN" is no name and type, as in 'example.com MX'`},
		"example.com MXX":       {err: `no record type "MXX" (a name, or a number as in TYPE15)`},
		"example.com example.g": {err: `no record type "example.g" (a name, or a number as in TYPE15)`},
	} {
		t.Run(text, func(t *testing.T) {
			var q DNSQuestion
			err := q.UnmarshalText([]byte(text))
			sameError(t, err, tt.err, "")
			if again, _ := q.MarshalText(); err == nil && string(again) != tt.again {
				t.Errorf("got %s", again)
			}
		})
	}
	for name, tt := range map[string]struct {
		q   DNSQuestion
		err string
	}{
		"good": {DNSQuestion{"a", RRType(dns.TypeMX)}, ""},
		"name": {DNSQuestion{"a..b", RRType(dns.TypeMX)}, `also[1]: "a..b" is no domain name`},
		"type": {DNSQuestion{"a", RRType(dns.TypeAXFR)}, "also[1]: AXFR can't be asked for by one query"},
	} {
		t.Run(name, func(t *testing.T) {
			c := asksDNS("127.0.0.1", "a", dns.TypeA)
			c.Also = []DNSQuestion{{"b", RRType(dns.TypeA)}, tt.q}
			sameError(t, c.Validate(), tt.err, "")
		})
	}
}

func TestDNSAlso(t *testing.T) {
	noLeaks(t)
	var mu sync.Mutex
	var names, from []string
	addr := fakeDNS(t, func(w dns.ResponseWriter, q *dns.Msg) {
		mu.Lock()
		names, from = append(names, q.Question[0].Name+" "+dns.Type(q.Question[0].Qtype).String()), append(from, w.RemoteAddr().String())
		mu.Unlock()
		zone(w, q)
	})
	for name, tt := range map[string]struct {
		also  []DNSQuestion
		with  func(*DNS)
		err   string
		names []string
	}{
		"all":       {also: []DNSQuestion{{"many.example.com", 1}, {"www.example.com.", 28}}, names: []string{"www.example.com. A", "many.example.com. A", "www.example.com. AAAA"}},
		"one fails": {also: []DNSQuestion{{"many.example.com", 1}, {"fails.example.com", 15}, {"www.example.com", 1}}, err: `asking ADDR over TRANSPORT for fails.example.com. IN MX: got SERVFAIL, expected NOERROR: Signature Expired "since Monday"`, names: []string{"www.example.com. A", "many.example.com. A", "fails.example.com. MX"}},
		"too few":   {also: []DNSQuestion{{"empty.example.com", 1}}, with: func(d *DNS) { d.MinAnswers = 1 }, err: "asking ADDR over TRANSPORT for empty.example.com. IN A: got 0 answers, expected at least 1: the answer is empty", names: []string{"www.example.com. A", "empty.example.com. A"}},
		"unsigned":  {also: []DNSQuestion{{"many.example.com", 1}}, with: func(d *DNS) { d.MinSignatureLeft = 1 }, err: "asking ADDR over TRANSPORT for www.example.com. IN A: the answer has no signatures (RRSIG)", names: []string{"www.example.com. A"}},
		"no cookie": {also: []DNSQuestion{{"many.example.com", 1}}, with: func(d *DNS) { d.RequireCookie = true }, err: "asking ADDR over TRANSPORT for www.example.com. IN A: the reply has no DNS cookie", names: []string{"www.example.com. A"}},
		"answers":   {also: []DNSQuestion{{"many.example.com", 1}}, with: func(d *DNS) { d.Answers = []string{`^www\.`} }, names: []string{"www.example.com. A", "many.example.com. A"}},
		"not first": {also: []DNSQuestion{{"www.example.com", 1}}, with: func(d *DNS) { d.Query, d.Answers = "empty.example.com", []string{`^www\.`} }, err: `asking ADDR over TRANSPORT for empty.example.com. IN A: no answer matches '^www\.': the answer is empty`, names: []string{"empty.example.com. A"}},
	} {
		for _, transport := range []string{"udp", "tcp"} {
			t.Run(name+", "+transport, func(t *testing.T) {
				mu.Lock()
				names, from = nil, nil
				mu.Unlock()
				c := asksDNS(addr, "www.example.com", dns.TypeA)
				c.Transport, c.Also = transport, tt.also
				if tt.with != nil {
					tt.with(c)
				}
				if err := c.Validate(); err != nil {
					t.Fatal(err)
				}
				want := strings.ReplaceAll(tt.err, "TRANSPORT", transport)
				sameError(t, c.Check(within(t)), want, c.Server)
				mu.Lock()
				defer mu.Unlock()
				if d := cmp.Diff(tt.names, names); d != "" {
					t.Error(d)
				}
				for _, one := range from {
					if one != from[0] {
						t.Errorf("asked from %v", from)
					}
				}
			})
		}
	}
}

// The connection to which a truncated reply leads is kept, too, and the one over UDP goes on.
func TestDNSAlsoTruncated(t *testing.T) {
	var mu sync.Mutex
	from := map[string]int{}
	c := asksDNS(fakeDNS(t, func(w dns.ResponseWriter, q *dns.Msg) {
		mu.Lock()
		from[w.RemoteAddr().Network()+" "+w.RemoteAddr().String()]++
		mu.Unlock()
		zone(w, q)
	}), "long.example.com", dns.TypeA)
	c.Also = []DNSQuestion{{"www.example.com", 1}, {"long.example.com", 1}}
	if err := c.Check(within(t)); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(from) != 2 {
		t.Errorf("asked from %v", from)
	}
}

// A server that hangs up after its first reply over TCP makes clients connect anew each time.
func TestDNSAlsoHangup(t *testing.T) {
	c := asksDNS(fakeDNS(t, func(w dns.ResponseWriter, q *dns.Msg) {
		if q.Question[0].Name == "many.example.com." {
			w.Close()
			return
		}
		zone(w, q)
	}), "www.example.com", dns.TypeA)
	c.Transport, c.Also = "tcp", []DNSQuestion{{"many.example.com", 1}}
	sameError(t, c.Check(within(t)), "asking ADDR over tcp for many.example.com. IN A: closed by the other side", c.Server)
}
