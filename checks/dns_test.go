package checks

import (
	"regexp"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func TestDNS(t *testing.T) {
	addr, overTLS, ca := nameServer(t)
	re := regexp.MustCompile
	for name, tt := range map[string]struct {
		dns DNS
		err string
	}{
		"empty answer":  {dns: DNS{Query: "empty.example.com"}},
		"answers":       {dns: DNS{Query: "www.example.com.", Answers: []string{`^www\.example\.com\. 300 IN A 192\.0\.2\.2$`, `2\.1$`}, MinAnswers: 2}},
		"tcp":           {dns: DNS{Query: "www.example.com", Transport: "tcp", Answers: []string{`2\.1$`}}},
		"tls":           {dns: DNS{Server: overTLS, Query: "www.example.com", Transport: "tls", TLS: TLS{CA: ca}, Answers: []string{`2\.1$`}}},
		"tls, no trust": {dns: DNS{Server: overTLS, Query: "www.example.com", Transport: "tls"}, err: `asking ADDR over tls for www.example.com. IN A: tls handshake: tls: failed to verify certificate: x509: certificate signed by unknown authority; tls.ca sets whom to trust`},
		"odd":           {dns: DNS{Query: "odd.example.com", Type: 65534, Class: 32, Answers: []string{`^odd\.example\.com\. 300 CLASS32 TYPE65534 \\# 2 abcd$`}}},
		"chaos":         {dns: DNS{Query: "chaos.example", Type: RRType(dns.TypeTXT), Class: RRClass(dns.ClassCHAOS), Answers: []string{`CH TXT "host one"`}}},
		"other answers": {dns: DNS{Query: "www.example.com", Answers: []string{`2\.1$`, `2\.3$`}}, err: `asking ADDR over udp for www.example.com. IN A: no answer matches '2\.3$': got "www.example.com. 300 IN A 192.0.2.1", "www.example.com. 300 IN A 192.0.2.2"`},
		"no answer":     {dns: DNS{Query: "empty.example.com", Answers: []string{`.`}}, err: `asking ADDR over udp for empty.example.com. IN A: no answer matches '.': the answer is empty`},
		"too few":       {dns: DNS{Query: "many.example.com", MinAnswers: 6}, err: `asking ADDR over udp for many.example.com. IN A: got 5 answers, expected at least 6: got "many.example.com. 300 IN A 192.0.2.1", "many.example.com. 300 IN A 192.0.2.2", "many.example.com. 300 IN A 192.0.2.3", and 2 more`},
		"none":          {dns: DNS{Query: "none.example.com"}, err: `asking ADDR over udp for none.example.com. IN A: got NXDOMAIN, expected NOERROR`},
		"none expected": {dns: DNS{Query: "none.example.com", Rcode: Rcode(dns.RcodeNameError)}},
		"fails":         {dns: DNS{Query: "fails.example.com"}, err: `asking ADDR over udp for fails.example.com. IN A: got SERVFAIL, expected NOERROR: Signature Expired "since Monday"`},
		"extended code": {dns: DNS{Query: "badvers.example.com"}, err: `asking ADDR over udp for badvers.example.com. IN A: got BADVERS, expected NOERROR`},
		"bare refusal":  {dns: DNS{Query: "bare.example.com"}, err: `asking ADDR over udp for bare.example.com. IN A: got NOTIMP, expected NOERROR`},
		"aa":            {dns: DNS{Query: "flags.example.com", AA: true}},
		"no aa":         {dns: DNS{Query: "www.example.com", AA: true}, err: `asking ADDR over udp for www.example.com. IN A: the answer is not authoritative (no AA)`},
		"ad":            {dns: DNS{Query: "flags.example.com", AD: true}},
		"no ad":         {dns: DNS{Query: "www.example.com", AD: true}, err: `asking ADDR over udp for www.example.com. IN A: the answer is not validated by DNSSEC (no AD)`},
		"nsid":          {dns: DNS{Query: "www.example.com", NSID: re(`^ams\d$`)}},
		"other nsid":    {dns: DNS{Query: "www.example.com", NSID: re(`^fra`)}, err: `asking ADDR over udp for www.example.com. IN A: the NSID is "ams1", expected a match for '^fra'`},
		"no nsid":       {dns: DNS{Query: "flags.example.com", NSID: re(`x`)}, err: `asking ADDR over udp for flags.example.com. IN A: the reply has no NSID`},
		"truncated":     {dns: DNS{Query: "long.example.com", Answers: []string{`2\.9$`}}},
		"truncated no":  {dns: DNS{Query: "long.example.com", Answers: []string{`2\.8$`}}, err: `asking ADDR over tcp for long.example.com. IN A: no answer matches '2\.8$': got "long.example.com. 300 IN A 192.0.2.9"`},
		"still cut":     {dns: DNS{Query: "longer.example.com"}, err: `asking ADDR over tcp for longer.example.com. IN A: the reply is truncated`},
		"other id":      {dns: DNS{Query: "id.example.com"}, err: `asking ADDR over udp for id.example.com. IN A: timed out`},
		"id over tcp":   {dns: DNS{Query: "id.example.com", Transport: "tcp"}, err: `asking ADDR over tcp for id.example.com. IN A: the reply has another id`},
		"id, then good": {dns: DNS{Query: "late.example.com"}},
		"other name":    {dns: DNS{Query: "other.example.com"}, err: `asking ADDR over udp for other.example.com. IN A: the reply is to another question: www.example.net. IN A`},
		"no question":   {dns: DNS{Query: "noquestion.example.com"}, err: `asking ADDR over udp for noquestion.example.com. IN A: the reply has 0 questions`},
		"echoed":        {dns: DNS{Query: "query.example.com"}, err: `asking ADDR over udp for query.example.com. IN A: what came is a query, not a reply`},
		"other case":    {dns: DNS{Query: "case.example.com"}},
		"silent":        {dns: DNS{Query: "silent.example.com"}, err: `asking ADDR over udp for silent.example.com. IN A: timed out`},
		"silent tcp":    {dns: DNS{Query: "silent.example.com", Transport: "tcp"}, err: `asking ADDR over tcp for silent.example.com. IN A: timed out`},
		"short":         {dns: DNS{Query: "short.example.com"}, err: `asking ADDR over udp for short.example.com. IN A: dns: short read`},
		"hangup":        {dns: DNS{Query: "hangup.example.com", Transport: "tcp"}, err: `asking ADDR over tcp for hangup.example.com. IN A: closed by the other side`},
		"root":          {dns: DNS{Query: ".", Type: RRType(dns.TypeNS)}},
		"by host name":  {dns: DNS{Server: strings.Replace(addr, "127.0.0.1", "localhost", 1), Transport: "tcp", Query: "www.example.com"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := tt.dns
			if c.Server == "" {
				c.Server = addr
			}
			if c.Type == 0 {
				c.Type = RRType(dns.TypeA)
			}
			if c.Class == 0 {
				c.Class = RRClass(dns.ClassINET)
			}
			c.MaxSerialLag, c.EDNSSize = -1, defaultUDPSize
			if err := c.Validate(); err != nil {
				t.Fatal(err)
			}
			ctx := within(t)
			if strings.Contains(tt.err, "timed out") {
				ctx = shortly(t)
			}
			sameError(t, c.Check(ctx), tt.err, c.Server)
		})
	}
}

func TestDNSRefused(t *testing.T) {
	c := DNS{Server: closedPort(t), Query: "example.com", Type: RRType(dns.TypeA), Class: RRClass(dns.ClassINET)}
	if err := c.Check(within(t)); err == nil || !strings.HasSuffix(err.Error(), "read: connection refused") {
		t.Errorf("got %v", err)
	}
}

func TestDNSValidate(t *testing.T) {
	for name, tt := range map[string]struct {
		dns DNS
		err string
	}{
		"good":         {dns: DNS{Server: "192.0.2.53"}},
		"IPv6":         {dns: DNS{Server: "2001:db8::53"}},
		"no server":    {dns: DNS{}, err: `server: "" is no address, host or either with a port`},
		"server":       {dns: DNS{Server: "a:b:c"}, err: `server: "a:b:c" is no address, host or either with a port`},
		"server url":   {dns: DNS{Server: "https://a/"}, err: `server: "//a/" is no port from 1 to 65535`},
		"server path":  {dns: DNS{Server: "a/dns-query"}, err: `server: "a/dns-query" is no address, host or either with a port`},
		"port":         {dns: DNS{Server: "a:0"}, err: `server: "0" is no port from 1 to 65535`},
		"no address":   {dns: DNS{Server: "192.0.2.530"}, err: `server: "192.0.2.530" is no address`},
		"and port":     {dns: DNS{Server: "192.0.2:53"}, err: `server: "192.0.2" is no address`},
		"query":        {dns: DNS{Server: "a", Query: "a..b"}, err: `query: "a..b" is no domain name`},
		"transfer":     {dns: DNS{Server: "a", Type: RRType(dns.TypeAXFR)}, err: `type: AXFR can't be asked for by one query`},
		"answers":      {dns: DNS{Server: "a", Answers: []string{"a", "("}}, err: "answers[1]: error parsing regexp: missing closing ): `(`"},
		"path":         {dns: DNS{Server: "a", Transport: "https", Path: "x"}, err: `path: "x" does not begin with /`},
		"tls unused":   {dns: DNS{Server: "a", TLS: TLS{SkipVerify: true}}, err: `tls: only with transport: tls or transport: https`},
		"tls":          {dns: DNS{Server: "a", Transport: "tls", TLS: TLS{SkipVerify: true}}},
		"cert of none": {dns: DNS{Server: "a", Transport: "tls", TLS: TLS{Key: "x"}}, err: `tls: cert and key go together, only one is set`},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.dns.Query == "" {
				tt.dns.Query = "example.com"
			}
			if tt.dns.Type == 0 {
				tt.dns.Type = RRType(dns.TypeA)
			}
			tt.dns.MaxSerialLag, tt.dns.EDNSSize = -1, defaultUDPSize
			sameError(t, tt.dns.Validate(), tt.err, "")
		})
	}
}

func TestDNSServer(t *testing.T) {
	for name, tt := range map[string]struct{ server, transport, want string }{
		"IPv4":          {"192.0.2.53", "udp", "192.0.2.53:53"},
		"IPv4 and port": {"192.0.2.53:5353", "tls", "192.0.2.53:5353"},
		"IPv6":          {"2001:db8::53", "tcp", "[2001:db8::53]:53"},
		"brackets":      {"[2001:db8::53]", "tls", "[2001:db8::53]:853"},
		"IPv6 and port": {"[2001:db8::53]:5353", "udp", "[2001:db8::53]:5353"},
		"zone":          {"fe80::1%eth0", "udp", "[fe80::1%eth0]:53"},
		"host":          {"dns.example.com", "https", "dns.example.com:443"},
		"host and port": {"dns.example.com:8443", "https", "dns.example.com:8443"},
	} {
		t.Run(name, func(t *testing.T) {
			d := DNS{Server: tt.server, Transport: tt.transport}
			if _, got, err := d.server(); got != tt.want || err != nil {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

func TestDNSNames(t *testing.T) {
	type text interface {
		UnmarshalText([]byte) error
		MarshalText() ([]byte, error)
	}
	for name, tt := range map[string]struct {
		as        text
		in, again string
		err       string
	}{
		"type":            {as: new(RRType), in: "aaaa", again: "AAAA"},
		"type by number":  {as: new(RRType), in: "TYPE65534", again: "TYPE65534"},
		"known by number": {as: new(RRType), in: "type28", again: "AAAA"},
		"no type":         {as: new(RRType), in: "AAAAA", err: `no record type "AAAAA" (a name, or a number as in TYPE15)`},
		"type too big":    {as: new(RRType), in: "TYPE65536", err: `no record type "TYPE65536" (a name, or a number as in TYPE15)`},
		"class":           {as: new(RRClass), in: "CH", again: "CH"},
		"class number":    {as: new(RRClass), in: "class32", again: "CLASS32"},
		"no class":        {as: new(RRClass), in: "INN", err: `no class "INN" (a name, or a number as in CLASS15)`},
		"rcode":           {as: new(Rcode), in: "nxdomain", again: "NXDOMAIN"},
		"rcode number":    {as: new(Rcode), in: "RCODE3841", again: "RCODE3841"},
		"rcode of EDNS":   {as: new(Rcode), in: "BADVERS", again: "BADVERS"},
		"no rcode":        {as: new(Rcode), in: "", err: `no response code "" (a name, or a number as in RCODE15)`},
	} {
		t.Run(name, func(t *testing.T) {
			err := tt.as.UnmarshalText([]byte(tt.in))
			sameError(t, err, tt.err, "")
			if again, _ := tt.as.MarshalText(); err == nil && string(again) != tt.again {
				t.Errorf("got %s, want %s", again, tt.again)
			}
		})
	}
}
