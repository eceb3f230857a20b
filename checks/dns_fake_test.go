package checks

import (
	"net"
	"testing"

	"github.com/miekg/dns"
)

// fakeDNS serves a handler over UDP and TCP on one port of loopback.
func fakeDNS(t *testing.T, handler dns.HandlerFunc) string {
	t.Helper()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.ListenPacket("udp", tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*dns.Server{{Listener: tcp}, {PacketConn: udp}} {
		ready, ended := make(chan struct{}), make(chan error, 1)
		s.NotifyStartedFunc, s.Handler = func() { close(ready) }, handler
		go func() { ended <- s.ActivateAndServe() }()
		<-ready
		t.Cleanup(func() { s.Shutdown(); <-ended })
	}
	return tcp.Addr().String()
}

// withRecords is a reply to a query, with records.
func withRecords(q *dns.Msg, texts ...string) *dns.Msg {
	m := new(dns.Msg).SetReply(q)
	for _, text := range texts {
		rr, err := dns.NewRR(text)
		if err != nil {
			panic(err)
		}
		m.Answer = append(m.Answer, rr)
	}
	return m
}

// asksDNS is a check of one question, with its defaults.
func asksDNS(server, name string, rrtype uint16) *DNS {
	d := newDNS()
	d.Server, d.Query, d.Type, d.Class = server, name, RRType(rrtype), RRClass(dns.ClassINET)
	d.MaxSerialLag, d.EDNSSize = -1, defaultUDPSize
	return d
}
