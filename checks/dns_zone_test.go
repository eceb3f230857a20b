package checks

import (
	"crypto/tls"
	"encoding/hex"
	"net"
	"net/http"
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
