package checks

import (
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// zone answers queries by the first label of the name.
func zone(w dns.ResponseWriter, q *dns.Msg) {
	_, overUDP := w.RemoteAddr().(*net.UDPAddr)
	m := new(dns.Msg).SetReply(q)
	label, _, _ := strings.Cut(q.Question[0].Name, ".")
	record := func(text string) {
		rr, err := dns.NewRR(q.Question[0].Name + " " + text)
		if err != nil {
			panic(err)
		}
		m.Answer = append(m.Answer, rr)
	}
	opt := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}
	switch strings.ToLower(label) {
	case "www":
		record("300 IN A 192.0.2.1")
		record("300 IN A 192.0.2.2")
	case "many":
		for _, last := range []string{"1", "2", "3", "4", "5"} {
			record("300 IN A 192.0.2." + last)
		}
	case "odd":
		record(`300 CLASS32 TYPE65534 \# 2 abcd`)
	case "chaos":
		record(`0 CH TXT "host one"`)
	case "flags":
		m.Authoritative = true
		m.AuthenticatedData = q.AuthenticatedData
		m.RecursionAvailable = q.RecursionDesired
	case "fails":
		m.Rcode = dns.RcodeServerFailure
		m.Extra = append(m.Extra, opt)
		opt.Option = append(opt.Option, &dns.EDNS0_EDE{InfoCode: dns.ExtendedErrorCodeSignatureExpired, ExtraText: "since Monday"})
	case "badvers":
		m.Extra = append(m.Extra, opt)
		m.Rcode = dns.RcodeBadVers
	case "none":
		m.Rcode = dns.RcodeNameError
	case "bare":
		m.Rcode = dns.RcodeNotImplemented
		m.Question = nil
	case "long":
		m.Truncated = overUDP
		if !overUDP {
			record("300 IN A 192.0.2.9")
		}
	case "longer":
		m.Truncated = true
	case "id":
		m.Id++
	case "late":
		wrong := m.Copy()
		wrong.Id++
		w.WriteMsg(wrong)
	case "other":
		m.Question[0].Name = "www.example.net."
	case "noquestion":
		m.Question = nil
	case "query":
		m.Response = false
	case "case":
		m.Question[0].Name = strings.ToUpper(m.Question[0].Name)
	case "silent":
		return
	case "short":
		w.Write([]byte{1, 2, 3})
		return
	case "hangup":
		w.Close()
		return
	}
	for _, o := range options(q) {
		if _, ok := o.(*dns.EDNS0_NSID); ok && label != "flags" {
			opt.Option = append(opt.Option, &dns.EDNS0_NSID{Code: dns.EDNS0NSID, Nsid: hex.EncodeToString([]byte("ams1"))})
			m.Extra = append(m.Extra, opt)
		}
	}
	w.WriteMsg(m)
}

// nameServer serves zone over UDP and TCP on one port of loopback, and over TLS.
func nameServer(t *testing.T) (addr, overTLS, ca string) {
	t.Helper()
	start := func(s *dns.Server) {
		ready, ended := make(chan struct{}), make(chan error, 1)
		s.NotifyStartedFunc = func() { close(ready) }
		s.Handler = dns.HandlerFunc(zone)
		s.MsgAcceptFunc = func(dns.Header) dns.MsgAcceptAction { return dns.MsgAccept }
		go func() { ended <- s.ActivateAndServe() }()
		<-ready
		t.Cleanup(func() { s.Shutdown(); <-ended })
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.ListenPacket("udp", tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	start(&dns.Server{Listener: tcp})
	start(&dns.Server{PacketConn: udp})
	donor, ca := secureServer(t, http.NotFoundHandler(), nil)
	config := donor.TLS.Clone()
	config.NextProtos = nil
	secure, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	start(&dns.Server{Listener: tls.NewListener(secure, config)})
	return tcp.Addr().String(), secure.Addr().String(), ca
}

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
		"tls, no trust": {dns: DNS{Server: overTLS, Query: "www.example.com", Transport: "tls"}, err: `asking ADDR over tls for www.example.com. IN A: tls handshake: tls: failed to verify certificate: x509: certificate signed by unknown authority`},
		"odd":           {dns: DNS{Query: "odd.example.com", Type: 65534, Class: 32, Answers: []string{`^odd\.example\.com\. 300 CLASS32 TYPE65534 \\# 2 abcd$`}}},
		"chaos":         {dns: DNS{Query: "chaos.example", Type: RRType(dns.TypeTXT), Class: RRClass(dns.ClassCHAOS), Answers: []string{`CH TXT "host one"`}}},
		"other answers": {dns: DNS{Query: "www.example.com", Answers: []string{`2\.1$`, `2\.3$`}}, err: `asking ADDR over udp for www.example.com. IN A: no answer matches "2\\.3$": got "www.example.com. 300 IN A 192.0.2.1", "www.example.com. 300 IN A 192.0.2.2"`},
		"no answer":     {dns: DNS{Query: "empty.example.com", Answers: []string{`.`}}, err: `asking ADDR over udp for empty.example.com. IN A: no answer matches ".": the answer is empty`},
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
		"other nsid":    {dns: DNS{Query: "www.example.com", NSID: re(`^fra`)}, err: `asking ADDR over udp for www.example.com. IN A: the NSID is "ams1", expected a match for "^fra"`},
		"no nsid":       {dns: DNS{Query: "flags.example.com", NSID: re(`x`)}, err: `asking ADDR over udp for flags.example.com. IN A: the reply has no NSID`},
		"truncated":     {dns: DNS{Query: "long.example.com", Answers: []string{`2\.9$`}}},
		"truncated no":  {dns: DNS{Query: "long.example.com", Answers: []string{`2\.8$`}}, err: `asking ADDR over tcp for long.example.com. IN A: no answer matches "2\\.8$": got "long.example.com. 300 IN A 192.0.2.9"`},
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
		"by host name":  {dns: DNS{Server: strings.Replace(addr, "127.0.0.1", "localhost", 1), Query: "www.example.com"}},
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
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	c := DNS{Server: l.LocalAddr().String(), Query: "example.com", Type: RRType(dns.TypeA), Class: RRClass(dns.ClassINET)}
	if err := c.Check(within(t)); err == nil || !strings.HasSuffix(err.Error(), "read: connection refused") {
		t.Errorf("got %v", err)
	}
}

// dohWriter lets zone answer an HTTP request.
type dohWriter struct {
	dns.ResponseWriter
	reply *dns.Msg
}

func (w *dohWriter) RemoteAddr() net.Addr          { return &net.TCPAddr{} }
func (w *dohWriter) WriteMsg(m *dns.Msg) error     { w.reply = m; return nil }
func (w *dohWriter) Write(raw []byte) (int, error) { return len(raw), nil }

// doh answers DNS over HTTPS from zone, and refuses what RFC 8484 does not allow.
func doh(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	q := new(dns.Msg)
	media := "application/dns-message"
	switch {
	case r.URL.Path == "/web":
		io.WriteString(w, "<html>welcome")
		return
	case r.URL.Path == "/garbage":
		w.Header().Set("Content-Type", media)
		io.WriteString(w, "garbage")
		return
	case r.URL.Path != "/dns-query", r.Method != http.MethodPost, r.Header.Get("Content-Type") != media:
		http.Error(w, "no such thing here", http.StatusNotFound)
		return
	case q.Unpack(body) != nil, q.Id != 0, r.ProtoMajor != 2:
		http.Error(w, "bad query", http.StatusBadRequest)
		return
	}
	answer := new(dohWriter)
	zone(answer, q)
	if answer.reply == nil {
		<-r.Context().Done()
		return
	}
	raw, err := answer.reply.Pack()
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", media)
	io.Copy(w, bytes.NewReader(raw))
}

func TestDNSOverHTTPS(t *testing.T) {
	noLeaks(t)
	names := make(chan string, 100)
	s, ca := secureServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		names <- r.TLS.ServerName + " " + r.Host
		doh(w, r)
	}), func(s *httptest.Server) {})
	addr := s.Listener.Addr().String()
	_, port, _ := net.SplitHostPort(addr)
	trust := TLS{CA: ca}
	for name, tt := range map[string]struct {
		dns  DNS
		name string
		err  string
	}{
		"answers":    {dns: DNS{Query: "www.example.com", TLS: trust, Answers: []string{`2\.2$`}, NSID: regexp.MustCompile(`^ams1$`)}, name: " " + addr},
		"name":       {dns: DNS{Query: "www.example.com", TLS: TLS{CA: ca, ServerName: "dns.example.com"}}, name: "dns.example.com dns.example.com:" + port},
		"no trust":   {dns: DNS{Query: "www.example.com"}, err: `asking ADDR over https for www.example.com. IN A: tls handshake: tls: failed to verify certificate: x509: certificate signed by unknown authority`},
		"fails":      {dns: DNS{Query: "fails.example.com", TLS: trust}, name: " " + addr, err: `asking ADDR over https for fails.example.com. IN A: got SERVFAIL, expected NOERROR: Signature Expired "since Monday"`},
		"other id":   {dns: DNS{Query: "id.example.com", TLS: trust}, name: " " + addr, err: `asking ADDR over https for id.example.com. IN A: the reply has another id`},
		"other name": {dns: DNS{Query: "other.example.com", TLS: trust}, name: " " + addr, err: `asking ADDR over https for other.example.com. IN A: the reply is to another question: www.example.net. IN A`},
		"path":       {dns: DNS{Query: "www.example.com", Path: "/x", TLS: trust}, name: " " + addr, err: `asking ADDR over https for www.example.com. IN A: got 404 Not Found with "text/plain", expected 200 with application/dns-message: "no such thing here"`},
		"web":        {dns: DNS{Query: "www.example.com", Path: "/web", TLS: trust}, name: " " + addr, err: `asking ADDR over https for www.example.com. IN A: got 200 OK with "text/html", expected 200 with application/dns-message: "<html>welcome"`},
		"garbage":    {dns: DNS{Query: "www.example.com", Path: "/garbage", TLS: trust}, name: " " + addr, err: `asking ADDR over https for www.example.com. IN A: reading reply: bad header answer count: dns: overflow unpacking uint16`},
		"silent":     {dns: DNS{Query: "silent.example.com", TLS: trust}, name: " " + addr, err: `asking ADDR over https for silent.example.com. IN A: timed out`},
	} {
		t.Run(name, func(t *testing.T) {
			c := tt.dns
			c.Server, c.Transport, c.Type, c.Class = addr, "https", RRType(dns.TypeA), RRClass(dns.ClassINET)
			if c.Path == "" {
				c.Path = "/dns-query"
			}
			if err := c.Validate(); err != nil {
				t.Fatal(err)
			}
			ctx := within(t)
			if strings.Contains(tt.err, "timed out") {
				ctx = shortly(t)
			}
			sameError(t, c.Check(ctx), tt.err, addr)
			if tt.name != "" {
				if got := <-names; got != tt.name {
					t.Errorf("asked for %q, want %q", got, tt.name)
				}
			}
		})
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

// TestDNSUnbound asks a real server for what only a real server does: NSID,
// TLS, and an answer too long for UDP.
func TestDNSUnbound(t *testing.T) {
	if _, err := exec.LookPath("unbound"); err != nil {
		if os.Getenv("KEEPCAST_REAL") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	_, port, _ := net.SplitHostPort(addr)
	free.Close()
	conf := filepath.Join(t.TempDir(), "unbound.conf")
	text := `server:
  interface: 127.0.0.1@` + port + `
  chroot: ""
  username: ""
  directory: "` + filepath.Dir(conf) + `"
  pidfile: ""
  use-syslog: no
  do-daemonize: no
  nsid: "ascii_ams1"
  max-udp-size: 512
  local-zone: "example.com." static
  local-data: "www.example.com. 60 IN A 192.0.2.1"
`
	for _, c := range "abcdefg" {
		text += `  local-data: 'long.example.com. 60 IN TXT "` + strings.Repeat(string(c), 200) + `"'` + "\n"
	}
	text += "remote-control:\n  control-enable: no\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var log head
	daemon := exec.Command("unbound", "-c", conf)
	daemon.Stdout, daemon.Stderr = &log, &log
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		daemon.Process.Kill()
		daemon.Wait()
		if t.Failed() {
			t.Log(log.kept.String())
		}
	})
	ask := DNS{Server: addr, Query: "www.example.com", Type: RRType(dns.TypeA), Class: RRClass(dns.ClassINET)}
	for ctx := within(t); ; {
		err := ask.Check(ctx)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("unbound does not start: %v", errors.Join(ctx.Err(), err))
		}
	}
	for name, tt := range map[string]struct {
		change func(*DNS)
		err    string
	}{
		"all": {change: func(d *DNS) {
			d.AA, d.NSID, d.Answers = true, regexp.MustCompile(`^ams1$`), []string{`60 IN A 192\.0\.2\.1$`}
		}},
		"tcp": {change: func(d *DNS) { d.Transport = "tcp" }},
		"truncated": {change: func(d *DNS) {
			d.Query, d.Type, d.MinAnswers, d.Answers = "long.example.com", RRType(dns.TypeTXT), 7, []string{"gggg"}
		}},
		"no such name": {
			change: func(d *DNS) { d.Query = "none.example.com" },
			err:    "asking ADDR over udp for none.example.com. IN A: got NXDOMAIN, expected NOERROR",
		},
		"not validated": {
			change: func(d *DNS) { d.AD = true },
			err:    "asking ADDR over udp for www.example.com. IN A: the answer is not validated by DNSSEC (no AD)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := ask
			tt.change(&c)
			sameError(t, c.Check(within(t)), tt.err, addr)
		})
	}
}
