package checks

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"

	"github.com/miekg/dns"
)

func init() {
	register(Kind{
		Name: "dns",
		Doc: "Asks a DNS server one question, over UDP, TCP, TLS (RFC 7858) or HTTPS (RFC 8484), and looks at the reply. " +
			"A reply over UDP that is truncated is asked for again over TCP.",
		Example: "server: 127.0.0.1\nquery: health.example.com\n",
		New:     func() Checker { return new(DNS) },
		AtOnce:  stopsListening,
	})
}

// DNS is fit when the reply to one query has the expected code, flags and
// answers.
type DNS struct {
	Server     string         `config:"server" required:"true" doc:"Server to ask: an address or a host, with or without a port. The port is 53, 853 or 443 by transport."`
	Transport  string         `config:"transport" default:"udp" enum:"udp|tcp|tls|https" doc:"How to ask. UDP falls back to TCP where the reply is truncated."`
	Path       string         `config:"path" default:"/dns-query" doc:"Path to ask at, for 'transport: https'."`
	Query      string         `config:"query" required:"true" doc:"Domain name to ask for."`
	Type       RRType         `config:"type" default:"A" doc:"Type of record to ask for, by name or as in 'TYPE65534'."`
	Class      RRClass        `config:"class" default:"IN" doc:"Class to ask in, by name or as in 'CLASS32'."`
	Recursion  bool           `config:"recursion" default:"true" doc:"Ask the server to look elsewhere for what it does not know itself (RD)."`
	Rcode      Rcode          `config:"rcode" default:"NOERROR" doc:"Response code of a fit service."`
	Answers    []string       `config:"answers" doc:"Regular expressions, each of which must match some record of the answer, written as 'www.example.com. 300 IN A 192.0.2.1' with single spaces."`
	MinAnswers int            `config:"min_answers" default:"0" min:"0" doc:"How many records the answer must have at least."`
	AA         bool           `config:"require_aa" doc:"The answer must be authoritative (AA)."`
	AD         bool           `config:"require_ad" doc:"The server must have validated the answer by DNSSEC (AD)."`
	NSID       *regexp.Regexp `config:"nsid" doc:"Regular expression that the name server identifier (RFC 5001) must match."`
	TLS        TLS            `config:"tls" doc:"How to speak TLS, for 'transport: tls' and 'transport: https'."`
}

// udpSize is the largest reply to accept over UDP: what passes any path
// without fragments (RFC 9715).
const udpSize = 1232

// Validate implements Validator.
func (d *DNS) Validate() error {
	if _, _, err := d.server(); err != nil {
		return err
	}
	if _, ok := dns.IsDomainName(d.Query); !ok || d.Query == "" {
		return fmt.Errorf("query: %q is no domain name", d.Query)
	}
	if t := uint16(d.Type); t == dns.TypeAXFR || t == dns.TypeIXFR || t == dns.TypeNone || t == dns.TypeOPT {
		return fmt.Errorf("type: %s can't be asked for by one query", d.Type)
	}
	if _, err := d.answers(); err != nil {
		return err
	}
	encrypted := d.Transport == "tls" || d.Transport == "https"
	if d.TLS.isSet() && !encrypted {
		return errors.New("tls: only with transport: tls or transport: https")
	}
	if d.Transport == "https" && !strings.HasPrefix(d.Path, "/") {
		return fmt.Errorf("path: %q does not begin with /", d.Path)
	}
	return d.TLS.Validate()
}

// server returns the host to ask and the same with its port.
func (d *DNS) server() (host, address string, err error) {
	port := "53"
	switch d.Transport {
	case "tls":
		port = "853"
	case "https":
		port = "443"
	}
	if host, address, err = withPort(d.Server, port); err != nil {
		return "", "", fmt.Errorf("server: %w", err)
	}
	return host, address, nil
}

// answers compiles the expected answers.
func (d *DNS) answers() ([]*regexp.Regexp, error) {
	var all []*regexp.Regexp
	for i, pattern := range d.Answers {
		re, err := regexp.Compile(pattern)
		if err != nil {
			return nil, fmt.Errorf("answers[%d]: %w", i, err)
		}
		all = append(all, re)
	}
	return all, nil
}

// Target implements Aimed.
func (d *DNS) Target() netip.Addr {
	host, _, err := d.server()
	if err != nil {
		return netip.Addr{}
	}
	return literal(host)
}

// Host implements Hosted.
func (d *DNS) Host() func() ([]string, error) { return d.TLS.host() }

// Check implements Checker.
func (d *DNS) Check(ctx context.Context) error {
	host, address, err := d.server()
	if err != nil {
		return err
	}
	query, s := d.message(), sight(ctx)
	transport := cmp.Or(d.Transport, "udp")
	reply, err := d.exchange(ctx, transport, host, address, query)
	if err == nil && transport == "udp" && reply.Truncated {
		s.saw("truncated", "asking again over TCP")
		transport = "tcp"
		reply, err = d.exchange(ctx, transport, host, address, query)
	}
	if err == nil {
		s.sawAnswers(reply)
		err = d.judge(reply)
	}
	if err != nil {
		return fmt.Errorf("asking %s over %s for %s %s %s: %w",
			address, transport, query.Question[0].Name, d.Class, d.Type, err)
	}
	return nil
}

// message returns the query.
func (d *DNS) message() *dns.Msg {
	m := new(dns.Msg)
	m.Id = dns.Id()
	m.RecursionDesired = d.Recursion
	m.AuthenticatedData = d.AD // asks for the bit without the signatures (RFC 6840 section 5.7)
	m.Question = []dns.Question{{Name: dns.Fqdn(d.Query), Qtype: uint16(d.Type), Qclass: uint16(d.Class)}}
	m.SetEdns0(udpSize, false)
	if d.NSID != nil {
		opt := m.IsEdns0()
		opt.Option = append(opt.Option, &dns.EDNS0_NSID{Code: dns.EDNS0NSID})
	}
	return m
}

// exchange sends a query and returns the reply to it.
func (d *DNS) exchange(ctx context.Context, transport, host, address string, query *dns.Msg) (*dns.Msg, error) {
	if transport == "https" {
		return d.post(ctx, host, address, query)
	}
	var secure *tls.Config
	network := transport
	if transport == "tls" {
		var err error
		if secure, err = d.TLS.config(host); err != nil {
			return nil, err
		}
		network = "tcp"
	}
	conn, err := connect(ctx, network, address, secure)
	if err != nil {
		return nil, err
	}
	defer closeWith(ctx, conn)()
	framed := &dns.Conn{Conn: conn, UDPSize: udpSize}
	if err := framed.WriteMsg(query); err != nil {
		return nil, explain(ctx, err)
	}
	s := sight(ctx)
	s.sawQuestion(query)
	for {
		packed, err := framed.ReadMsgHeader(nil)
		if err != nil {
			return nil, explain(ctx, err)
		}
		reply := new(dns.Msg)
		err = reply.Unpack(packed)
		if reply.Id != query.Id && transport == "udp" {
			continue // meant for somebody who had the port before
		}
		if err != nil {
			return nil, explain(ctx, err)
		}
		s.sawReply(reply, len(packed))
		return reply, answersTo(query, reply)
	}
}

// post exchanges a query by DNS over HTTPS (RFC 8484). The id is 0, for the
// sake of caches on the way.
func (d *DNS) post(ctx context.Context, host, address string, query *dns.Msg) (*dns.Msg, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	query.Id = 0
	packed, err := query.Pack()
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	to := url.URL{Scheme: "https", Host: net.JoinHostPort(cmp.Or(d.TLS.ServerName, host), port), Path: cmp.Or(d.Path, "/dns-query")}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	const media = "application/dns-message"
	req.Header.Set("Content-Type", media)
	req.Header.Set("Accept", media)
	w := wire{tls: d.TLS, via: func(string) string { return address }}
	s := sight(ctx)
	if s != nil {
		req = s.onceSent(req, func() { s.sawQuestion(query) })
	}
	resp, err := w.transport(ctx).RoundTrip(req)
	if err != nil {
		return nil, explain(ctx, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, dns.MaxMsgSize))
	if err != nil {
		return nil, fmt.Errorf("reading body: %w", explain(ctx, err))
	}
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); resp.StatusCode != http.StatusOK || kind != media {
		return nil, fmt.Errorf("got %s with %q, expected 200 with %s: %s", resp.Status, kind, media, excerpt(body))
	}
	reply := new(dns.Msg)
	if err := reply.Unpack(body); err != nil {
		return nil, fmt.Errorf("reading reply: %w", err)
	}
	s.sawReply(reply, len(body))
	return reply, answersTo(query, reply)
}
