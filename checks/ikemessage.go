package checks

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// initRequest is what is asked by IKE_SA_INIT.
type initRequest struct {
	spi    [8]byte // names the SA of the initiator
	secret [64]byte
	cookie []byte // that the responder gave; empty at first
}

func newInit() *initRequest {
	q := new(initRequest)
	rand.Read(q.spi[:]) // never fails
	rand.Read(q.secret[:])
	q.spi[0] |= 1 // zero names no SA
	return q
}

// exchange sends the message and reads the answer to it.
func (q *initRequest) exchange(ctx context.Context, conn io.ReadWriter, mark []byte) (initAnswer, error) {
	if _, err := conn.Write(append(mark, q.message()...)); err != nil {
		return initAnswer{}, fmt.Errorf("sending IKE_SA_INIT: %w", explain(ctx, err))
	}
	sight(ctx).waits("the answer to IKE_SA_INIT")
	buf := make([]byte, 1<<16)
	n, err := conn.Read(buf)
	if err != nil {
		return initAnswer{}, fmt.Errorf("waiting for the answer to IKE_SA_INIT: %w", explain(ctx, err))
	}
	if n < len(mark) || string(buf[:len(mark)]) != string(mark) {
		return initAnswer{}, fmt.Errorf("the answer does not begin with the mark of NAT traversal: %s", opening(buf[:n]))
	}
	return parseInit(q.spi, buf[len(mark):n])
}

// Numbers of RFC 7296, sections 3.1 and 3.2, 3.3.2 and 3.10.1.
const (
	payloadSA, payloadKE, payloadNonce, payloadNotify = 33, 34, 40, 41

	transformCipher, transformPRF, transformIntegrity, transformGroup = 1, 2, 3, 4

	invalidMajor, invalidSyntax, noProposalChosen, invalidKE, cookieNotify = 5, 7, 14, 17, 16390

	exchangeInit  = 34
	fromInitiator = 0x08
	isResponse    = 0x20
	headerSize    = 28
)

// nobodysGroup is of those that are left for private use. A responder has to pass over a
// group that it does not know (RFC 7296, section 3.3.6), and to name the one that it has
// chosen if the key is of another (section 1.2). libreswan refuses the message as malformed
// instead. A group that it knows is no way out: version 4.10 ends by a failed assertion when
// its own host, on which keepcast is, gets as far as a connection.
const nobodysGroup = 65535

// message returns IKE_SA_INIT: the offer, a key of nobodysGroup, and a nonce.
func (q *initRequest) message() []byte {
	key := append(binary.BigEndian.AppendUint16(nil, nobodysGroup), 0, 0)
	body := slices.Concat(
		payload(payloadKE, offer()),
		payload(payloadNonce, append(key, q.secret[:32]...)),
		payload(0, q.secret[32:]))
	first := byte(payloadSA)
	if q.cookie != nil { // before all others (section 2.6)
		notify := binary.BigEndian.AppendUint16([]byte{0, 0}, cookieNotify)
		body = append(payload(payloadSA, append(notify, q.cookie...)), body...)
		first = payloadNotify
	}
	out := append(q.spi[:], make([]byte, 8)...)
	out = append(out, first, 2<<4, exchangeInit, fromInitiator, 0, 0, 0, 0)
	return append(binary.BigEndian.AppendUint32(out, uint32(headerSize+len(body))), body...)
}

// payload puts the generic header of section 3.2 before a body.
func payload(next byte, body []byte) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{next, 0}, uint16(4+len(body))), body...)
}

// transform is one of section 3.3.2, with the length of its key in bits unless that is 0.
type transform struct {
	kind    byte
	id      uint16
	keyBits uint16
}

// ciphers are the transforms of the offer, by proposal: those that protect the integrity by
// themselves can't stand in one proposal with the others (section 3.3). The numbers are those
// that IANA has registered for IKEv2.
func ciphers() [][]transform {
	const cbc, ccm8, ccm16, gcm8, gcm12, gcm16, chacha = 12, 14, 16, 18, 19, 20, 28
	var proposals [][]transform
	plain, sealed := []transform{}, []transform{{transformCipher, chacha, 0}}
	for _, bits := range []uint16{128, 192, 256} {
		plain = append(plain, transform{transformCipher, cbc, bits})
		for _, id := range []uint16{gcm16, gcm12, gcm8, ccm16, ccm8} {
			sealed = append(sealed, transform{transformCipher, id, bits})
		}
	}
	for _, id := range []uint16{12, 13, 14, 2, 5} { // SHA2-256, -384, -512, SHA1, AES-XCBC
		plain = append(plain, transform{transformIntegrity, id, 0})
	}
	for _, p := range [][]transform{plain, sealed} {
		for _, id := range []uint16{5, 6, 7, 2, 4} { // SHA2-256, -384, -512, SHA1, AES-XCBC
			p = append(p, transform{transformPRF, id, 0})
		}
		for _, id := range groups() {
			p = append(p, transform{transformGroup, id, 0})
		}
		proposals = append(proposals, append(p, transform{transformGroup, nobodysGroup, 0}))
	}
	return proposals
}

// groups are the numbers of the groups that are offered, usual ones first.
func groups() []uint16 {
	return []uint16{31, 19, 20, 21, 32, 14, 15, 16, 17, 18, 28, 29, 30, 24, 5, 2}
}

// offered reports whether a group is one that the responder may choose.
func offered(group uint16) bool { return slices.Contains(groups(), group) }

// groupName returns a group by name where it has one that is known.
func groupName(group uint16) string {
	names := map[uint16]string{
		2: "MODP-1024", 5: "MODP-1536", 14: "MODP-2048", 15: "MODP-3072", 16: "MODP-4096", 17: "MODP-6144", 18: "MODP-8192",
		19: "P-256", 20: "P-384", 21: "P-521", 24: "MODP-2048-256", 28: "brainpoolP256r1", 29: "brainpoolP384r1",
		30: "brainpoolP512r1", 31: "x25519", 32: "x448",
	}
	return cmp.Or(names[group], fmt.Sprintf("group %d", group))
}

// offer returns the body of the SA payload (section 3.3).
func offer() []byte {
	const protocolIKE, keyLength, more, moreProposals = 1, 0x800e, 3, 2
	var out []byte
	all := ciphers()
	for n, transforms := range all {
		var body []byte
		for k, t := range transforms {
			one := binary.BigEndian.AppendUint16([]byte{t.kind, 0}, t.id)
			if t.keyBits > 0 {
				one = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(one, keyLength), t.keyBits)
			}
			body = append(body, payload(follows(k, len(transforms), more), one)...)
		}
		head := []byte{byte(n + 1), protocolIKE, 0, byte(len(transforms))}
		out = append(out, payload(follows(n, len(all), moreProposals), append(head, body...))...)
	}
	return out
}

// follows returns what marks that another follows the i-th of n; 0 of the last.
func follows(i, n int, more byte) byte {
	if i == n-1 {
		return 0
	}
	return more
}

// opening quotes the first bytes of what is as a rule no text, but the answer of another protocol.
func opening(m []byte) string {
	const most = 16
	if len(m) > most {
		return excerpt(m[:most]) + "..."
	}
	return excerpt(m)
}

// initAnswer is what a responder says to IKE_SA_INIT.
type initAnswer struct {
	chosen bool   // it has accepted a proposal, and has an SA now
	notify uint16 // the error that it says; 0: none
	group  uint16 // that it wants, with invalidKE
	cookie []byte // that it wants back; nil: none
}

// String says the answer in the words of RFC 7296, section 3.10.1.
func (a initAnswer) String() string {
	names := map[uint16]string{
		1: "UNSUPPORTED_CRITICAL_PAYLOAD", 4: "INVALID_IKE_SPI", invalidMajor: "INVALID_MAJOR_VERSION", invalidSyntax: "INVALID_SYNTAX",
		9: "INVALID_MESSAGE_ID", 11: "INVALID_SPI", noProposalChosen: "NO_PROPOSAL_CHOSEN", 24: "AUTHENTICATION_FAILED", 43: "TEMPORARY_FAILURE",
	}
	switch {
	case a.chosen:
		return "a proposal is accepted, and a half-open SA is left"
	case a.notify == invalidKE:
		return "a proposal is accepted, with " + groupName(a.group)
	}
	return cmp.Or(names[a.notify], fmt.Sprintf("with error %d", a.notify))
}

// parseInit reads the answer to a message of the initiator's SA spi.
func parseInit(spi [8]byte, m []byte) (initAnswer, error) {
	switch {
	case len(m) < headerSize:
		return initAnswer{}, fmt.Errorf("the answer is no message of IKE: %s", opening(m))
	case [8]byte(m) != spi:
		return initAnswer{}, fmt.Errorf("the answer is for another SA: %s", opening(m))
	case m[17]>>4 != 2:
		return initAnswer{}, fmt.Errorf("answers in version %d of IKE, expected 2", m[17]>>4)
	case m[18] != exchangeInit, m[19]&isResponse == 0, m[19]&fromInitiator != 0, binary.BigEndian.Uint32(m[20:]) != 0:
		return initAnswer{}, fmt.Errorf("answers with exchange %d, flags %#x, message %d, expected the response to IKE_SA_INIT (34, 0x20, 0)",
			m[18], m[19], binary.BigEndian.Uint32(m[20:]))
	case uint64(binary.BigEndian.Uint32(m[24:])) != uint64(len(m)):
		return initAnswer{}, fmt.Errorf("the answer says that it has %d bytes, and has %d", binary.BigEndian.Uint32(m[24:]), len(m))
	}
	var a initAnswer
	next, rest := m[16], m[headerSize:]
	for next != 0 {
		if len(rest) < 4 {
			return initAnswer{}, errors.New("the answer ends before its last payload")
		}
		n := int(binary.BigEndian.Uint16(rest[2:]))
		if n < 4 || n > len(rest) {
			return initAnswer{}, fmt.Errorf("payload %d of the answer says that it has %d bytes, of %d", next, n, len(rest))
		}
		if err := a.add(next, rest[4:n]); err != nil {
			return initAnswer{}, err
		}
		next, rest = rest[0], rest[n:]
	}
	if !a.chosen && a.notify == 0 && a.cookie == nil {
		return initAnswer{}, errors.New("the answer neither accepts a proposal nor says why not")
	}
	return a, nil
}

// add notes what a payload says. Those that matter to a real initiator alone are passed over.
func (a *initAnswer) add(kind byte, body []byte) error {
	const leastError, mostError = 1, 16383 // the other notifications are no errors
	switch kind {
	case payloadSA:
		a.chosen = true
		return nil
	case payloadNotify:
	default:
		return nil
	}
	if len(body) < 4 || len(body) < 4+int(body[1]) {
		return errors.New("a notification of the answer is too short")
	}
	kindOf, data := binary.BigEndian.Uint16(body[2:]), body[4+int(body[1]):]
	switch {
	case kindOf == cookieNotify:
		if len(data) < 1 || len(data) > 64 { // section 2.6
			return fmt.Errorf("wants a cookie of %d bytes back, which are 1 to 64", len(data))
		}
		a.cookie = data
	case kindOf == invalidKE && len(data) != 2:
		return errors.New("answers INVALID_KE_PAYLOAD without the group that it wants")
	case kindOf == invalidKE:
		a.notify, a.group = kindOf, binary.BigEndian.Uint16(data)
	case kindOf >= leastError && kindOf <= mostError && a.notify == 0:
		a.notify = kindOf
	}
	return nil
}
