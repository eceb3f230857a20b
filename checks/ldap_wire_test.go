package checks

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/asn1"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

// spoken is a connection whose other side says just this, whatever it is asked.
type spoken struct {
	net.Conn
	io.Reader
}

func (spoken) Write(b []byte) (int, error)  { return len(b), nil }
func (s spoken) Read(b []byte) (int, error) { return s.Reader.Read(b) }
func (spoken) Close() error                 { return nil }

// asked is a search request as encoding/asn1 reads it.
type asked struct {
	Base             []byte
	Scope, Aliases   asn1.Enumerated
	Entries, Seconds int
	TypesOnly        bool
	Filter           asn1.RawValue
	Attributes       [][]byte
}

func TestLDAPQuery(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*LDAP)
		want   string
	}{
		"default":    {change: func(*LDAP) {}, want: `"" 0 0 100 7 false 8 ["1.1"]`},
		"attributes": {change: func(l *LDAP) { l.Base, l.Scope, l.Attributes = "dc=a", "one", []string{"cn", "sn=x"} }, want: `"dc=a" 1 0 100 7 false 8 ["cn" "sn"]`},
		"many":       {change: func(l *LDAP) { l.Scope, l.MinEntries = "sub", 1000 }, want: `"" 2 0 1000 7 false 8 ["1.1"]`},
	} {
		t.Run(name, func(t *testing.T) {
			l := ldapOf("a")
			l.Filter = "(c~=d)"
			tt.change(l)
			wanted, err := l.attributes()
			if err != nil {
				t.Fatal(err)
			}
			q, err := l.query(wanted)
			if err != nil {
				t.Fatal(err)
			}
			var a asked
			if rest, err := asn1.UnmarshalWithParams(q.encode(7), &a, "application,tag:3"); err != nil || len(rest) > 0 {
				t.Fatalf("%q: %v", rest, err)
			}
			if got := fmt.Sprintf("%q %d %d %d %d %t %d %q", a.Base, a.Scope, a.Aliases, a.Entries, a.Seconds, a.TypesOnly, a.Filter.Tag, a.Attributes); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		for left, want := range map[time.Duration]int{time.Millisecond: 1, 2 * time.Second: 2, 2100 * time.Millisecond: 3, -time.Second: 1} {
			ctx, cancel := context.WithTimeout(t.Context(), left)
			if got := secondsLeft(ctx); got != want {
				t.Errorf("%s: got %d, want %d", left, got, want)
			}
			cancel()
		}
	})
	if got := secondsLeft(t.Context()); got != 0 {
		t.Errorf("without end: got %d", got)
	}
}

// What is refused without a password is asked again.
func TestLDAPExternalRefused(t *testing.T) {
	l := ldapOf("/s")
	l.Bind = "external"
	err := l.bind(t.Context(), newLDAPSession(spoken{Reader: bytes.NewReader(always(ended(0x61, 49, ""))(1))}), "")
	sameError(t, err, "binding as whom the connection shows (external): invalid credentials (49): there is no such account, the password is wrong, or the account is locked", "")
	if l.refused.Load() != nil {
		t.Error("it is held")
	}
}

// closing is a connection that notes that it was closed.
type closing struct {
	spoken
	closed bool
}

func (c *closing) Close() error { c.closed = true; return nil }

// After a handshake that failed nobody would understand an unbind.
func TestLDAPHandshakeFails(t *testing.T) {
	c := &closing{spoken: spoken{Reader: io.MultiReader(bytes.NewReader(always(ended(0x78, 0, ""))(1)), strings.NewReader("no handshake"))}}
	s := newLDAPSession(c)
	s.in = bufio.NewReaderSize(iotest.OneByteReader(c), 16) // nothing of the handshake is there yet
	err := s.startTLS(t.Context(), &tls.Config{ServerName: "a"})
	sameError(t, err, "tls handshake: tls: first record does not look like a TLS handshake", "")
	if !c.closed {
		t.Error("the connection is left open")
	}
}

// FuzzLDAPAnswer has a server say anything to a search and to a bind.
func FuzzLDAPAnswer(f *testing.F) {
	f.Add([]byte(nil))
	f.Add([]byte("SSH-2.0-OpenSSH\r\n"))
	f.Add(always(controller(), ended(0x65, 0, ""))(1))
	f.Add(always(entry("a", "cn;x=b", "CN=c"), spelled(0x73, octets("ldap://b")), ended(0x65, 4, "x"))(1))
	f.Add(always(ended(0x65, 10, "x", spelled(0xa3, octets("ldap://b"))))(1))
	f.Add(reply(0, ended(0x78, 52, "bye")))
	f.Add(reply(1, ended(0x61, 49, "AcceptSecurityContext error, data 52e, v1")))
	f.Fuzz(func(t *testing.T, said []byte) {
		const limit = 3
		s := newLDAPSession(spoken{Reader: bytes.NewReader(said)})
		found, err := s.search(t.Context(), ldapQuery{limit: limit})
		if err == nil && len(found.entries) > limit {
			t.Errorf("%d entries", len(found.entries))
		}
		l := ldapOf("a")
		l.FunctionalLevel, l.GlobalCatalog = 7, true
		for _, e := range found.entries {
			if l.judgeController(e) == nil && e.values("isSynchronized")[0] != "TRUE" {
				t.Error("a domain controller that is not synchronized is fit")
			}
		}
		wanted := ldapAttribute{name: "cn", want: regexp.MustCompile("^b$")}
		if found.judge(0, []ldapAttribute{wanted}) == nil && !bytes.Contains(said, []byte("b")) {
			t.Error("a value that nobody sent is found")
		}
		s = newLDAPSession(spoken{Reader: bytes.NewReader(said)})
		if result, err := s.exchange(t.Context(), ldapBind("a", berTLV(ldapSimple)), ldapBindResponse); err == nil && result.Error() == "" {
			t.Error("a result without words")
		}
	})
}
