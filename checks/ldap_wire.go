package checks

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// LDAP is spoken by hand. A library for it exists (go-ldap), but it reads in goroutines that
// nobody waits for, takes no context, turns the errors of the connection and of TLS into
// text, and believes a server that announces a message of 2 GiB.

// The operations (RFC 4511 section 4.2 and on). LDAP has long tags and indefinite lengths
// nowhere, so an element is a byte, a length and a value (section 5.1).
const (
	ldapBindRequest       = 0x60
	ldapBindResponse      = 0x61
	ldapUnbindRequest     = 0x42
	ldapSearchRequest     = 0x63
	ldapSearchEntry       = 0x64
	ldapSearchDone        = 0x65
	ldapSearchReference   = 0x73
	ldapExtendedRequest   = 0x77
	ldapExtendedResponse  = 0x78
	ldapIntermediateReply = 0x79
	ldapSimple            = 0x80
	ldapSASL              = 0xa3
)

// maxLDAPAnswer is how much of a server's answers is read in one run.
const maxLDAPAnswer = 1 << 20

// ldapSession is a connection to a directory, with one operation at a time.
type ldapSession struct {
	conn net.Conn
	in   *bufio.Reader
	id   int    // of the last operation
	left int    // bytes that may still be read
	hide string // a secret that no error must show
}

func newLDAPSession(conn net.Conn) *ldapSession {
	return &ldapSession{conn: conn, in: bufio.NewReader(conn), left: maxLDAPAnswer}
}

// send begins an operation.
func (s *ldapSession) send(ctx context.Context, operation []byte) error {
	s.id++
	if _, err := s.conn.Write(berTLV(berSequence, berNumber(berInteger, s.id), operation)); err != nil {
		return fmt.Errorf("sending: %w", explain(ctx, err))
	}
	return nil
}

// exchange does an operation that has one answer.
func (s *ldapSession) exchange(ctx context.Context, operation []byte, answer byte) (ldapResult, error) {
	if err := s.send(ctx, operation); err != nil {
		return ldapResult{}, err
	}
	tag, body, err := s.receive(ctx)
	if err != nil {
		return ldapResult{}, err
	}
	if tag != answer {
		return ldapResult{}, fmt.Errorf("the server answers with the operation %#02x, not %#02x", tag, answer)
	}
	result, err := s.result(body)
	if err == nil {
		sight(ctx).saw("result", "%s", result)
	}
	return result, err
}

// receive returns the next answer to the operation that was sent last.
func (s *ldapSession) receive(ctx context.Context) (tag byte, body *berReader, err error) {
	raw, err := s.message()
	if err != nil {
		return 0, nil, explain(ctx, err)
	}
	message := &berReader{rest: raw}
	id := message.number(berInteger)
	tag, value := message.next()
	if message.bad {
		return 0, nil, errMalformed
	}
	body = &berReader{rest: value}
	if id == 0 && tag == ldapExtendedResponse { // notice of disconnection (section 4.4.1)
		result, err := s.result(body)
		if err == nil {
			err = fmt.Errorf("the server ends the connection: %w", result)
		}
		return 0, nil, err
	}
	if id != s.id {
		return 0, nil, fmt.Errorf("the answer has the id %d, not %d", id, s.id)
	}
	return tag, body, nil
}

var errMalformed = errors.New("the answer is malformed")

// message reads the content of one message. Active Directory writes each length in four
// bytes, also a short one.
func (s *ldapSession) message() ([]byte, error) {
	head, err := s.in.Peek(2)
	if err != nil {
		return nil, err
	}
	if head[0] != berSequence {
		said, _ := s.in.Peek(s.in.Buffered())
		return nil, fmt.Errorf("the answer is not LDAP: %s", excerpt(said))
	}
	length := int(head[1])
	if _, err := s.in.Discard(2); err != nil {
		return nil, err
	}
	if length > 0x7f {
		wide := length & 0x7f
		var long [8]byte
		if wide > 4 {
			return nil, errMalformed
		}
		if _, err := io.ReadFull(s.in, long[8-wide:]); err != nil {
			return nil, err
		}
		length = int(binary.BigEndian.Uint64(long[:]))
	}
	if length > s.left {
		return nil, fmt.Errorf("the answer has more than %d bytes", maxLDAPAnswer)
	}
	s.left -= length
	content := make([]byte, length)
	_, err = io.ReadFull(s.in, content)
	return content, err
}

// result reads the start of an answer that ends an operation (section 4.1.9).
func (s *ldapSession) result(body *berReader) (ldapResult, error) {
	r := ldapResult{code: body.number(berEnumerated)}
	r.matched = string(body.want(berOctetString))
	r.diagnostic = strings.TrimRight(string(body.want(berOctetString)), "\x00")
	if len(s.hide) >= leastSecret {
		r.diagnostic = strings.ReplaceAll(r.diagnostic, s.hide, masked)
	}
	const referral = 0xa3
	if !body.bad && len(body.rest) > 0 && body.rest[0] == referral {
		if to := (&berReader{rest: body.want(referral)}).texts(); len(to) > 0 {
			r.referral = to[0]
		}
	}
	if body.bad {
		return ldapResult{}, errMalformed
	}
	return r, nil
}

// startTLS goes on over TLS (section 4.14).
func (s *ldapSession) startTLS(ctx context.Context, secure *tls.Config) error {
	const name, oid = 0x80, "1.3.6.1.4.1.1466.20037"
	sight(ctx).waits("the answer to StartTLS")
	result, err := s.exchange(ctx, berTLV(ldapExtendedRequest, berTLV(name, []byte(oid))), ldapExtendedResponse)
	if err != nil {
		return fmt.Errorf("starttls: %w", err)
	}
	if result.code != ldapSuccess {
		return fmt.Errorf("starttls: %w", result)
	}
	if s.in.Buffered() > 0 { // from whom, nobody knows
		return errors.New("starttls: the server goes on without TLS")
	}
	over, err := startTLS(ctx, s.conn, secure)
	if err != nil {
		return err // the connection is closed: nobody would understand an unbind
	}
	s.conn, s.in = over, bufio.NewReader(over)
	return nil
}

// unbind tells the server that the session ends, so that its log does not say that the
// connection was lost. There is no answer, and a connection that is gone needs none.
func (s *ldapSession) unbind() {
	_, _ = s.conn.Write(berTLV(berSequence, berNumber(berInteger, s.id+1), []byte{ldapUnbindRequest, 0}))
}

// ldapBind encodes a request to log in.
func ldapBind(name string, authentication []byte) []byte {
	const version = 3
	return berTLV(ldapBindRequest, berNumber(berInteger, version), berTLV(berOctetString, []byte(name)), authentication)
}

// ldapQuery is what to search for.
type ldapQuery struct {
	base       string
	scope      int
	filter     []byte
	attributes []string
	limit      int // entries
}

// encode returns the request (section 4.5.1). Aliases are not followed.
func (q ldapQuery) encode(seconds int) []byte {
	const never, none = 0, "1.1"
	var names [][]byte
	for _, name := range q.attributes {
		names = append(names, berTLV(berOctetString, []byte(name)))
	}
	if len(names) == 0 {
		names = append(names, berTLV(berOctetString, []byte(none)))
	}
	return berTLV(ldapSearchRequest, berTLV(berOctetString, []byte(q.base)),
		berNumber(berEnumerated, q.scope), berNumber(berEnumerated, never),
		berNumber(berInteger, q.limit), berNumber(berInteger, seconds),
		berTLV(berBoolean, []byte{0}), q.filter, berTLV(berSequence, names...))
}

// search does one. A size limit that is met is no error: what was found may be enough.
func (s *ldapSession) search(ctx context.Context, q ldapQuery) (found ldapFound, err error) {
	sight(ctx).waits("the entries")
	if err := s.send(ctx, q.encode(secondsLeft(ctx))); err != nil {
		return found, err
	}
	for len(found.entries) <= q.limit {
		tag, body, err := s.receive(ctx)
		if err != nil {
			return found, err
		}
		switch tag {
		case ldapSearchEntry:
			e, err := readEntry(body)
			if err != nil {
				return found, err
			}
			found.entries = append(found.entries, e)
		case ldapSearchReference:
			found.references = append(found.references, body.texts()...)
		case ldapIntermediateReply: // nothing of what was asked for
		case ldapSearchDone:
			result, err := s.result(body)
			if err == nil {
				sight(ctx).saw("result", "%s", result)
			}
			if err == nil && result.code != ldapSuccess && result.code != ldapSizeLimit {
				err = result
			}
			found.cut = result.code == ldapSizeLimit
			return found, err
		default:
			return found, fmt.Errorf("the server answers a search with the operation %#02x", tag)
		}
	}
	return found, fmt.Errorf("the server sends more than the %d entries that it was asked for", q.limit)
}

// secondsLeft returns the whole seconds that a server has for a search; 0: any.
func secondsLeft(ctx context.Context) int {
	until, ok := ctx.Deadline()
	if !ok {
		return 0
	}
	return max(1, int((time.Until(until)+time.Second-1)/time.Second))
}

// readEntry reads an entry (section 4.5.2).
func readEntry(body *berReader) (ldapEntry, error) {
	e := ldapEntry{dn: string(body.want(berOctetString)), attributes: map[string][]string{}}
	all := &berReader{rest: body.want(berSequence)}
	for !all.bad && len(all.rest) > 0 {
		one := &berReader{rest: all.want(berSequence)}
		name := bareName(string(one.want(berOctetString)))
		values := &berReader{rest: one.want(berSet)}
		e.attributes[name] = append(e.attributes[name], values.texts()...)
		all.bad = all.bad || one.bad || values.bad
	}
	if body.bad || all.bad {
		return ldapEntry{}, errMalformed
	}
	return e, nil
}
