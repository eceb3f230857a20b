package checks

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

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
		"no trust":   {dns: DNS{Query: "www.example.com"}, err: `asking ADDR over https for www.example.com. IN A: tls handshake: tls: failed to verify certificate: x509: certificate signed by unknown authority; tls.ca sets whom to trust`},
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
			c.MaxSerialLag, c.EDNSSize = -1, defaultUDPSize
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

func TestDNSOverHTTPSAlso(t *testing.T) {
	s, ca := secureServer(t, http.HandlerFunc(doh), func(*httptest.Server) {})
	c := asksDNS(s.Listener.Addr().String(), "www.example.com", dns.TypeA)
	c.Transport, c.TLS = "https", TLS{CA: ca}
	c.Also = []DNSQuestion{{"many.example.com", 1}}
	sameError(t, c.Check(within(t)), "", c.Server)
	c.Also = append(c.Also, DNSQuestion{"none.example.com", 1})
	sameError(t, c.Check(within(t)), "asking ADDR over https for none.example.com. IN A: got NXDOMAIN, expected NOERROR", c.Server)
}
