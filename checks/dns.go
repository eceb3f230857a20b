package checks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"github.com/miekg/dns"
)

func init() {
	register(Kind{
		Name: "dns",
		Doc: "Asks a DNS server a question, or several, over UDP, TCP, TLS (RFC 7858) or HTTPS (RFC 8484), and looks at the reply. " +
			"A reply over UDP that is truncated is asked for again over TCP.",
		Example: "server: 127.0.0.1\nquery: health.example.com\n",
		New:     func() Checker { return newDNS() },
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
	Also       []DNSQuestion  `config:"also" doc:"More to ask for, as in 'example.com MX', each a name and a type (A if left out). They are asked one after the other, in the same class: over UDP, TCP and TLS by the same connection, which the server has to keep, over HTTPS each by its own unless there is 'reuse'. For each holds what is set of 'rcode', 'min_answers', 'require_aa', 'require_ad', 'min_signature_left', the cookie and 'client_subnet'. The rest is about the first question only. All have to be answered within the timeout."`
	Recursion  bool           `config:"recursion" default:"true" doc:"Ask the server to look elsewhere for what it does not know itself (RD)."`
	Rcode      Rcode          `config:"rcode" default:"NOERROR" doc:"Response code of a fit service."`
	Answers    []string       `config:"answers" doc:"Regular expressions, each of which must match some record of the answer, written as 'www.example.com. 300 IN A 192.0.2.1' with single spaces."`
	MinAnswers int            `config:"min_answers" default:"0" min:"0" doc:"How many records the answer must have at least."`
	AA         bool           `config:"require_aa" doc:"The answer must be authoritative (AA)."`
	AD         bool           `config:"require_ad" doc:"The server must have validated the answer by DNSSEC (AD)."`
	NSID       *regexp.Regexp `config:"nsid" doc:"Regular expression that the name server identifier (RFC 5001) must match."`
	dnsEDNS
	dnsSigned
	dnsSerial
	dnsLatency
	Reuse bool `config:"reuse" doc:"Keep the connection to the server for the next run, as far as the server does, over TCP, TLS and HTTPS. All questions of 'also' go by it. This costs both sides less, above all with TLS; 'max_latency' is then without the handshakes. After a failure, when the service stops listening on this host, and after a minute in any case, the next run makes a new one. Until then it is not seen what only a new connection shows: another address of a name, a certificate that has run out, a server that accepts nobody any more. Where a kept connection ends instead of bringing the answer, the query is sent again over a new one. One that stays silent, as behind a firewall that forgets it, takes the whole timeout and fails. The connection is one of those that the server has room for (in unbound 'incoming-num-tcp', 10 if not set). What is asked of 'primary' is asked anew each time."`
	TLS   TLS  `config:"tls" doc:"How to speak TLS, for 'transport: tls' and 'transport: https'."`

	kept *kept // nil: it keeps none
}

func newDNS() *DNS {
	d := new(DNS)
	d.known, d.took, d.cookies, d.kept = new(dnsKnown), new(dnsTimes), new(dnsCookies), new(kept)
	return d
}

// Validate implements Validator.
func (d *DNS) Validate() error {
	if _, _, err := d.server(); err != nil {
		return err
	}
	if err := cmp.Or(d.validateQuestions(), d.validateEDNS(), d.validateSerial()); err != nil {
		return err
	}
	if _, err := d.answers(); err != nil {
		return err
	}
	encrypted := d.Transport == "tls" || d.Transport == "https"
	if d.TLS.isSet() && !encrypted {
		return errors.New("tls: only with transport: tls or transport: https")
	}
	if d.Reuse && networkOf(d.Transport) == "udp" {
		return errors.New("reuse: only with transport: tcp, tls or https, over UDP there is no connection to keep")
	}
	if d.Transport == "https" && !strings.HasPrefix(d.Path, "/") {
		return fmt.Errorf("path: %q does not begin with /", d.Path)
	}
	return d.TLS.Validate()
}

// server returns the host to ask and the same with its port.
func (d *DNS) server() (host, address string, err error) {
	switch d.Transport {
	case "tls":
		return withPort("server", d.Server, "853")
	case "https":
		return withPort("server", d.Server, "443")
	}
	return withPort("server", d.Server, "53")
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
func (d *DNS) Check(ctx context.Context) error { return d.kept.after(d.check(ctx)) }

func (d *DNS) check(ctx context.Context) error {
	host, address, err := d.server()
	if err != nil {
		return err
	}
	primary := d.askPrimary(ctx)
	defer primary.leave()
	run := &dnsRun{DNS: d, ctx: ctx, host: host, address: address, transport: cmp.Or(d.Transport, "udp")}
	defer run.close()
	begin := time.Now()
	reply, err := run.ask(d.message(d.first()))
	took, transport := time.Since(begin), run.transport
	if err == nil {
		err = d.judge(sight(ctx), reply)
	}
	if err == nil {
		err = d.judgeFirst(reply)
	}
	if err == nil {
		err = primary.judge(ctx, reply)
	}
	if err != nil {
		return d.about(d.first(), transport, err)
	}
	for _, q := range d.Also {
		reply, err := run.ask(d.message(q))
		if err == nil {
			err = d.judge(sight(ctx), reply)
		}
		if err != nil {
			return d.about(q, run.transport, err)
		}
	}
	return d.about(d.first(), transport, d.judgeLatency(sight(ctx), took))
}

// about says what an error is about: a question that was asked.
func (d *DNS) about(q DNSQuestion, transport string, err error) error {
	if err == nil {
		return nil
	}
	_, address, _ := d.server()
	return fmt.Errorf("asking %s over %s for %s %s %s: %w", address, transport, dns.Fqdn(q.Name), d.Class, q.Type, err)
}

// message returns the query for a question.
func (d *DNS) message(q DNSQuestion) *dns.Msg {
	m := new(dns.Msg)
	m.Id = dns.Id()
	m.RecursionDesired = d.Recursion
	m.AuthenticatedData = d.AD // asks for the bit without the signatures (RFC 6840 section 5.7)
	m.Question = []dns.Question{{Name: dns.Fqdn(q.Name), Qtype: uint16(q.Type), Qclass: uint16(d.Class)}}
	d.addEDNS(m)
	return m
}
