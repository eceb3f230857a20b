package checks

import (
	"testing"

	"github.com/miekg/dns"
)

func TestDNSReuseValidate(t *testing.T) {
	for transport, want := range map[string]string{
		"":      "reuse: only with transport: tcp, tls or https, over UDP there is no connection to keep",
		"udp":   "reuse: only with transport: tcp, tls or https, over UDP there is no connection to keep",
		"tcp":   "",
		"tls":   "",
		"https": "",
	} {
		c := asksDNS("127.0.0.1", "a", dns.TypeA)
		c.Transport, c.Reuse, c.Path = transport, true, "/"
		sameError(t, c.Validate(), want, "")
	}
}

// All questions go by the connection that is kept, over HTTPS, too.
func TestDNSReuseAlso(t *testing.T) {
	for _, transport := range []string{"TCP", "TLS", "HTTPS"} {
		t.Run(transport, func(t *testing.T) {
			noLeaks(t)
			f := newFickle(t)
			c, _, _ := reusers["dns over "+transport](t, f)
			d := c.(*DNS)
			d.Also = []DNSQuestion{{"many.example.com", 1}, {"www.example.com", 28}}
			f.fit(t, d, 3, 1)
			f.hangUp()
			f.fit(t, d, 3, 1)
			_ = d.Close()
			f.wantsNone(t)
		})
	}
}

// A server that answers twice is asked over a new connection for what the kept one has left.
func TestDNSReuseAnswersTwice(t *testing.T) {
	noLeaks(t)
	f := newFickle(t)
	serveDNSBy(t, f, func(w dns.ResponseWriter, q *dns.Msg) {
		f.treats(w.RemoteAddr().String())
		zone(w, q)
		zone(w, q)
	})
	c, _, _ := dnsReusing(f, "tcp")
	f.fit(t, c, 5, 5)
	_ = c.(*DNS).Close()
	f.wantsNone(t)
}
