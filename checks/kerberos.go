package checks

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"time"
)

func init() {
	register(Kind{
		Name: "kerberos",
		Doc: "Asks a Kerberos KDC for a ticket of a principal (AS-REQ, RFC 4120), and does not prove who asks. A KDC that wants a proof " +
			"(KDC_ERR_PREAUTH_REQUIRED), or has a ticket for anybody, found the principal in its database. Nothing is sent that counts as a failed " +
			"login, so nobody is locked out. The KDC logs each request.",
		Example: "server: 127.0.0.1\nrealm: EXAMPLE.COM\nprincipal: keepcast\n",
		New:     func() Checker { return new(Kerberos) },
		AtOnce:  stopsListening,
	})
}

// Kerberos is fit when a KDC answers for a principal from its database.
type Kerberos struct {
	Server    string        `config:"server" required:"true" doc:"KDC to ask: an address or a host, with or without a port. The port is 88."`
	Transport string        `config:"transport" default:"udp" enum:"udp|tcp" doc:"How to ask. UDP falls back to TCP where the answer is too long (KRB_ERR_RESPONSE_TOO_BIG)."`
	Realm     string        `config:"realm" required:"true" doc:"Realm that the KDC serves, mostly in capitals."`
	Principal string        `config:"principal" default:"keepcast" doc:"Principal to ask for, without the realm, as in 'keepcast' or 'host/ams1.example.com'."`
	Expect    string        `config:"expect" default:"known" enum:"known|answer" doc:"'known': the KDC must know the principal; make one for it that requires pre-authentication and has a random key. 'answer': that the KDC knows none of that name (KDC_ERR_C_PRINCIPAL_UNKNOWN) will do. That is also what a KDC of another realm says, one with an empty database, and one of Heimdal that has lost its database."`
	MaxSkew   time.Duration `config:"max_skew" default:"5m" min:"0s" doc:"How far the clock of the KDC may be off the one of this host. Most clients and servers accept 5m. 0: any. An answer with a ticket does not tell the time."`
}

// maxKDC is how long an answer of a KDC may be: as long as a datagram.
const maxKDC = 64 << 10

// Validate implements Validator.
func (k *Kerberos) Validate() error {
	if _, _, err := withPort("server", k.Server, "88"); err != nil {
		return err
	}
	if k.Realm == "" || !isKerberosName(k.Realm) || strings.ContainsAny(k.Realm, "@/:") {
		return fmt.Errorf("realm: %q is no realm, as in EXAMPLE.COM", k.Realm)
	}
	if !isKerberosName(k.Principal) || strings.Contains(k.Principal, "@") {
		return fmt.Errorf("principal: %q is no principal without realm, as in keepcast or host/ams1.example.com", k.Principal)
	}
	for part := range strings.SplitSeq(k.Principal, "/") {
		if part == "" {
			return fmt.Errorf("principal: %q has an empty part", k.Principal)
		}
	}
	return nil
}

// isKerberosName reports whether all implementations take a name for the same: printable
// ASCII (RFC 4120, section 5.2.1) of which no client makes an escape.
func isKerberosName(name string) bool {
	const longest = 255
	return len(name) <= longest && !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || r == '\\' })
}

// Target implements Aimed.
func (k *Kerberos) Target() netip.Addr { return targetWithPort(k.Server) }

// Check implements Checker.
func (k *Kerberos) Check(ctx context.Context) error {
	_, address, err := withPort("server", k.Server, "88")
	if err != nil {
		return err
	}
	transport := cmp.Or(k.Transport, "udp")
	answer, err := k.exchange(ctx, transport, address)
	if err == nil && transport == "udp" && answer.code == kdcTooBig {
		transport = "tcp"
		answer, err = k.exchange(ctx, transport, address)
	}
	if err == nil {
		err = k.judge(ctx, answer, time.Now())
	}
	if err != nil {
		return fmt.Errorf("asking %s over %s for %s@%s: %w", address, transport, k.Principal, k.Realm, err)
	}
	return nil
}

// exchange sends a request and returns the answer to it.
func (k *Kerberos) exchange(ctx context.Context, transport, address string) (kdcAnswer, error) {
	conn, err := connect(ctx, transport, address, nil)
	if err != nil {
		return kdcAnswer{}, err
	}
	defer closeWith(ctx, conn)()
	request := asRequest(k.Realm, k.Principal, int(rand.Int32())) // a nonce of 31 bits: some read it with a sign
	if transport == "tcp" {
		request = append(binary.BigEndian.AppendUint32(nil, uint32(len(request))), request...)
	}
	if _, err := conn.Write(request); err != nil {
		return kdcAnswer{}, fmt.Errorf("sending: %w", explain(ctx, err))
	}
	sight(ctx).waits("an answer of the KDC")
	raw, err := readKDC(conn, transport)
	if err != nil {
		return kdcAnswer{}, explain(ctx, err)
	}
	answer, err := parseKDC(raw)
	if err != nil {
		return kdcAnswer{}, fmt.Errorf("what came is no answer of a KDC, %w: %s", err, excerpt(raw))
	}
	return answer, nil
}

// readKDC reads an answer. Over TCP its length, in four bytes, goes before it (RFC 4120,
// section 7.2.2).
func readKDC(conn net.Conn, transport string) ([]byte, error) {
	if transport == "udp" {
		buf := make([]byte, maxKDC)
		n, err := conn.Read(buf)
		return buf[:n], err
	}
	var head [4]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > maxKDC {
		return nil, fmt.Errorf("what came is no answer of a KDC: %s", excerpt(head[:]))
	}
	raw := make([]byte, size)
	_, err := io.ReadFull(conn, raw)
	return raw, err
}

// judge says what is wrong with an answer that came at now.
func (k *Kerberos) judge(ctx context.Context, answer kdcAnswer, now time.Time) error {
	s := sight(ctx)
	s.saw("answer", "%s", answer)
	switch {
	case answer.code == kdcWrongRealm: // names that one
	case !strings.EqualFold(answer.realm, k.Realm):
		return fmt.Errorf("the answer is for the realm %s", excerpt([]byte(answer.realm)))
	case answer.principal != "" && answer.principal != k.Principal:
		return fmt.Errorf("the answer is for the principal %s", excerpt([]byte(answer.principal)))
	}
	if answer.ticket {
		return nil // what tells the time is encrypted
	}
	if answer.code != kdcPreauthRequired && (answer.code != kdcUnknown || k.Expect != "answer") {
		return fmt.Errorf("got %s", answer)
	}
	// An MIT KDC counts the microseconds up only to tell its answers apart.
	s.saw("clock", "%s, %s off the one of this host", answer.time.Format(time.RFC3339), answer.time.Sub(now).Round(time.Second))
	if k.MaxSkew > 0 && answer.time.Sub(now).Abs() > k.MaxSkew {
		return fmt.Errorf("the clock of the KDC is at %s, more than %s (max_skew) off the one of this host", answer.time.Format(time.RFC3339), k.MaxSkew)
	}
	return nil
}
