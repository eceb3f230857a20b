package checks

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// answersTo says why reply is not the reply to query. The question may be
// missing where the server refused to read it.
func answersTo(query, reply *dns.Msg) error {
	switch {
	case !reply.Response:
		return errors.New("what came is a query, not a reply")
	case reply.Id != query.Id:
		return errors.New("the reply has another id")
	case reply.Opcode != query.Opcode:
		return fmt.Errorf("the reply is to opcode %d", reply.Opcode)
	case len(reply.Question) == 0 && reply.Rcode != dns.RcodeSuccess:
		return nil
	case len(reply.Question) != 1:
		return fmt.Errorf("the reply has %d questions", len(reply.Question))
	}
	asked, got := query.Question[0], reply.Question[0]
	if got.Qtype != asked.Qtype || got.Qclass != asked.Qclass || !strings.EqualFold(got.Name, asked.Name) {
		return fmt.Errorf("the reply is to another question: %s %s %s", got.Name, dns.Class(got.Qclass), dns.Type(got.Qtype))
	}
	return nil
}

// judge says what is wrong with a reply to any question.
func (d *DNS) judge(s *Sight, reply *dns.Msg) error {
	s.sawAnswers(reply)
	switch {
	case reply.Rcode != int(d.Rcode):
		return fmt.Errorf("got %s, expected %s%s", Rcode(reply.Rcode), d.Rcode, extended(reply))
	case reply.Truncated:
		return errors.New("the reply is truncated")
	case d.AA && !reply.Authoritative:
		return errors.New("the answer is not authoritative (no AA)")
	case d.AD && !reply.AuthenticatedData:
		return errors.New("the answer is not validated by DNSSEC (no AD)" + extended(reply))
	case len(reply.Answer) < d.MinAnswers:
		return fmt.Errorf("got %d answers, expected at least %d: %s", len(reply.Answer), d.MinAnswers, records(reply))
	}
	if err := d.judgeEDNS(s, reply); err != nil {
		return err
	}
	return d.judgeSignatures(s, reply, time.Now())
}

// judgeFirst says what else is wrong with the reply to the first question.
func (d *DNS) judgeFirst(reply *dns.Msg) error {
	want, err := d.answers()
	if err != nil {
		return err
	}
	for _, re := range want {
		if !anyMatches(reply.Answer, re) {
			return fmt.Errorf("no answer matches '%s': %s", re, records(reply))
		}
	}
	if d.NSID == nil {
		return nil
	}
	id, ok := nsid(reply)
	if !ok {
		return errors.New("the reply has no NSID")
	}
	if !d.NSID.MatchString(id) {
		return fmt.Errorf("the NSID is %s, expected a match for '%s'", excerpt([]byte(id)), d.NSID)
	}
	return nil
}

func anyMatches(answer []dns.RR, re *regexp.Regexp) bool {
	return slices.ContainsFunc(answer, func(rr dns.RR) bool { return re.MatchString(present(rr)) })
}

// present writes a record as RFC 1035 section 5 has it, with single spaces.
func present(rr dns.RR) string {
	return strings.ReplaceAll(rr.String(), "\t", " ")
}

// records lists the first records of an answer.
func records(reply *dns.Msg) string {
	if len(reply.Answer) == 0 {
		return "the answer is empty"
	}
	const most = 3
	var shown []string
	for _, rr := range reply.Answer[:min(most, len(reply.Answer))] {
		shown = append(shown, excerpt([]byte(present(rr))))
	}
	if more := len(reply.Answer) - most; more > 0 {
		shown = append(shown, fmt.Sprintf("and %d more", more))
	}
	return "got " + strings.Join(shown, ", ")
}

// options returns the EDNS options of a reply.
func options(reply *dns.Msg) []dns.EDNS0 {
	if opt := reply.IsEdns0(); opt != nil {
		return opt.Option
	}
	return nil
}

// nsid returns the name server identifier of a reply.
func nsid(reply *dns.Msg) (id string, ok bool) {
	for _, o := range options(reply) {
		if o, is := o.(*dns.EDNS0_NSID); is {
			raw, err := hex.DecodeString(o.Nsid)
			return string(raw), err == nil
		}
	}
	return "", false
}

// extended returns what a reply says about its error (RFC 8914).
func extended(reply *dns.Msg) string {
	var all strings.Builder
	for _, o := range options(reply) {
		if o, is := o.(*dns.EDNS0_EDE); is {
			all.WriteString(": " + cmp.Or(dns.ExtendedErrorCodeToString[o.InfoCode], "extended error "+strconv.Itoa(int(o.InfoCode))))
			if o.ExtraText != "" {
				all.WriteString(" " + excerpt([]byte(o.ExtraText)))
			}
		}
	}
	return all.String()
}

// RRType is a type of DNS record.
type RRType uint16

// String returns the name, or TYPE and the number (RFC 3597).
func (t RRType) String() string { return dns.Type(t).String() }

// MarshalText returns the name.
func (t RRType) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads a name or TYPE and a number, in any case.
func (t *RRType) UnmarshalText(text []byte) error {
	n, err := byName("record type", "TYPE", string(text), dns.StringToType)
	*t = RRType(n)
	return err
}

// RRClass is a class of DNS record.
type RRClass uint16

// String returns the name, or CLASS and the number (RFC 3597).
func (c RRClass) String() string { return dns.Class(c).String() }

// MarshalText returns the name.
func (c RRClass) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads a name or CLASS and a number, in any case.
func (c *RRClass) UnmarshalText(text []byte) error {
	n, err := byName("class", "CLASS", string(text), dns.StringToClass)
	*c = RRClass(n)
	return err
}

// Rcode is a DNS response code, with the bits that EDNS adds.
type Rcode uint16

// String returns the name, or RCODE and the number.
func (r Rcode) String() string {
	if r == dns.RcodeBadVers {
		return "BADVERS" // 16 is BADSIG in the TSIG record only
	}
	return cmp.Or(dns.RcodeToString[int(r)], "RCODE"+strconv.Itoa(int(r)))
}

// MarshalText returns the name.
func (r Rcode) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads a name or RCODE and a number, in any case.
func (r *Rcode) UnmarshalText(text []byte) error {
	if strings.EqualFold(string(text), "BADVERS") {
		*r = dns.RcodeBadVers
		return nil
	}
	n, err := byName("response code", "RCODE", string(text), dns.StringToRcode)
	*r = Rcode(n)
	return err
}

// byName looks up a name of the DNS registries, or reads prefix and a number.
func byName[N int | uint16](what, prefix, text string, known map[string]N) (uint16, error) {
	name := strings.ToUpper(strings.TrimSpace(text))
	if n, ok := known[name]; ok {
		return uint16(n), nil
	}
	if digits, ok := strings.CutPrefix(name, prefix); ok {
		if n, err := strconv.ParseUint(digits, 10, 16); err == nil {
			return uint16(n), nil
		}
	}
	return 0, fmt.Errorf("no %s %q (a name, or a number as in %s%d)", what, text, prefix, 15)
}
