package checks

import (
	"strings"

	"github.com/miekg/dns"
)

// sawQuestion notes a query that was sent.
func (s *Sight) sawQuestion(query *dns.Msg) {
	if s == nil {
		return
	}
	q := query.Question[0]
	s.saw("question", "%s %s %s%s", q.Name, dns.Class(q.Qclass), dns.Type(q.Qtype), headerFlags(query))
	s.waits("a reply")
}

// sawReply notes a reply of that many bytes.
func (s *Sight) sawReply(reply *dns.Msg, size int) {
	if s == nil {
		return
	}
	s.saw("reply", "%s%s%s, %d bytes: %d answers, %d authority, %d additional",
		Rcode(reply.Rcode), headerFlags(reply), extended(reply), size, len(reply.Answer), len(reply.Ns), len(reply.Extra))
	if id, ok := nsid(reply); ok {
		s.saw("nsid", "%s", quotation(id))
	}
}

// mostAnswers is how many records of an answer are noted.
const mostAnswers = 20

// sawAnswers notes the records that a reply is judged by.
func (s *Sight) sawAnswers(reply *dns.Msg) {
	if s == nil {
		return
	}
	for _, rr := range reply.Answer[:min(mostAnswers, len(reply.Answer))] {
		s.saw("answer", "%s", present(rr))
	}
	if more := len(reply.Answer) - mostAnswers; more > 0 {
		s.saw("answer", "and %d more", more)
	}
}

// headerFlags names the flags of a message, each after a space (RFC 1035 section 4.1.1,
// RFC 4035 section 3.2).
func headerFlags(m *dns.Msg) string {
	var names strings.Builder
	for _, f := range []struct {
		set  bool
		name string
	}{
		{m.Authoritative, " aa"},
		{m.Truncated, " tc"},
		{m.RecursionDesired, " rd"},
		{m.RecursionAvailable, " ra"},
		{m.AuthenticatedData, " ad"},
		{m.CheckingDisabled, " cd"},
	} {
		if f.set {
			names.WriteString(f.name)
		}
	}
	return names.String()
}
