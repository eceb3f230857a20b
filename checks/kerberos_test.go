package checks

import (
	"bytes"
	"encoding/asn1"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// kerberosError encodes a KRB-ERROR, whose fields a test may change.
func kerberosError(code int, change func(fields map[byte][]byte)) []byte {
	fields := map[byte][]byte{
		0: berNumber(berInteger, 5), 1: berNumber(berInteger, 30),
		4: berTLV(berGeneralizedTime, []byte(time.Now().UTC().Format("20060102150405Z"))), 5: berNumber(berInteger, 123456),
		6: berNumber(berInteger, code), 9: berTLV(berGeneralString, []byte("EXAMPLE.COM")), 10: kdcName(2, "krbtgt", "EXAMPLE.COM"),
	}
	if change != nil {
		change(fields)
	}
	return berTLV(0x7e, berTLV(berSequence, inOrder(fields)))
}

// kerberosTicket encodes an AS-REP, whose fields a test may change.
func kerberosTicket(change func(fields map[byte][]byte)) []byte {
	fields := map[byte][]byte{
		0: berNumber(berInteger, 5), 1: berNumber(berInteger, 11), 3: berTLV(berGeneralString, []byte("EXAMPLE.COM")), 4: kdcName(1, "keepcast"),
		5: berTLV(0x61, berTLV(berSequence)), 6: berTLV(berSequence),
	}
	if change != nil {
		change(fields)
	}
	return berTLV(0x6b, berTLV(berSequence, inOrder(fields)))
}

func inOrder(fields map[byte][]byte) []byte {
	var all []byte
	for tag := range byte(20) {
		if value, ok := fields[tag]; ok {
			all = append(all, berTLV(berContext+tag, value)...)
		}
	}
	return all
}

// fakeKDC answers over UDP and TCP on one port. An answer that is nil is none; one over TCP is
// sent as it is, and the connection closed behind it.
func fakeKDC(t *testing.T, overUDP, overTCP []byte) string {
	t.Helper()
	tcp := listen(t, func(c net.Conn) {
		var head [4]byte
		io.ReadFull(c, head[:])
		io.ReadFull(c, make([]byte, binary.BigEndian.Uint32(head[:])))
		if overTCP != nil {
			c.Write(overTCP)
			c.Close()
		}
	})
	return datagramsAt(t, tcp, func(string) []string {
		if overUDP == nil {
			return nil
		}
		return []string{string(overUDP)}
	})
}

// kdcFrame puts the length before an answer, as over TCP.
func kdcFrame(answer []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(answer))), answer...)
}

func TestKerberos(t *testing.T) {
	const asked = "asking ADDR over udp for keepcast@EXAMPLE.COM: "
	preauth := kerberosError(kdcPreauthRequired, nil)
	at := func(when time.Time) []byte {
		return kerberosError(kdcPreauthRequired, func(f map[byte][]byte) {
			f[4] = berTLV(berGeneralizedTime, []byte(when.UTC().Format("20060102150405Z")))
		})
	}
	y2k := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	more := append(bytes.Clone(preauth), "more"...)
	old := kerberosTicket(func(f map[byte][]byte) { f[0] = berNumber(berInteger, 4) })
	field := func(code int, tag byte, value []byte) []byte {
		return kerberosError(code, func(f map[byte][]byte) { f[tag] = value })
	}
	other := field(25, 1, berNumber(berInteger, 31))
	for name, tt := range map[string]struct {
		udp, tcp []byte
		kerberos Kerberos
		err      string
	}{
		"preauth": {udp: preauth},
		"ticket":  {udp: kerberosTicket(nil), kerberos: Kerberos{Expect: "known"}},
		"all fields": {udp: kerberosError(25, func(f map[byte][]byte) {
			f[2], f[3], f[7], f[8], f[11], f[12] = f[4], f[5], f[9], kdcName(1, "keepcast"), berTLV(berGeneralString, []byte("wants\x00")), berTLV(0x04, []byte("x"))
		})},
		"other case":    {udp: field(25, 9, berTLV(berGeneralString, []byte("example.com")))},
		"unknown":       {udp: kerberosError(kdcUnknown, nil), kerberos: Kerberos{Expect: "answer"}},
		"known":         {udp: kerberosError(kdcUnknown, nil), kerberos: Kerberos{Expect: "known"}, err: asked + "got KDC_ERR_C_PRINCIPAL_UNKNOWN (6), the database has no such principal"},
		"too big":       {udp: kerberosError(kdcTooBig, nil), tcp: kdcFrame(preauth)},
		"still too big": {udp: kerberosError(kdcTooBig, nil), tcp: kdcFrame(kerberosError(kdcTooBig, nil)), err: "asking ADDR over tcp for keepcast@EXAMPLE.COM: got KRB_ERR_RESPONSE_TOO_BIG (52), the answer is too long for UDP"},
		"unavailable":   {udp: kerberosError(29, nil), err: asked + "got KDC_ERR_SVC_UNAVAILABLE (29), the KDC lacks what it needs, such as its database"},
		"none":          {udp: kerberosError(0, nil), err: asked + "got KDC_ERR_NONE (0), an error that is none"},
		"skew":          {udp: kerberosError(37, nil), err: asked + "got KRB_AP_ERR_SKEW (37), the KDC thinks that the clock of this host is wrong"},
		"odd error":     {udp: field(1234, 11, berTLV(berGeneralString, []byte("oh\nno\x00"))), err: asked + `got error 1234: "oh\nno"`},
		"wrong realm": {udp: kerberosError(kdcWrongRealm, func(f map[byte][]byte) {
			f[7], f[9] = berTLV(berGeneralString, []byte("EXAMPLE.NET")), berTLV(berGeneralString, []byte("EXAMPLE.NET"))
		}), err: asked + `got KDC_ERR_WRONG_REALM (68), the KDC serves another realm, perhaps "EXAMPLE.NET"`},
		"realm":         {udp: field(25, 9, berTLV(berGeneralString, []byte("EXAMPLE.NET"))), err: asked + `the answer is for the realm "EXAMPLE.NET"`},
		"principal":     {udp: field(25, 8, kdcName(1, "root")), err: asked + `the answer is for the principal "root"`},
		"ticket, realm": {udp: kerberosTicket(func(f map[byte][]byte) { f[3] = berTLV(berGeneralString, []byte("A")) }), err: asked + `the answer is for the realm "A"`},
		"ticket, name":  {udp: kerberosTicket(func(f map[byte][]byte) { f[4] = kdcName(1, "a", "b") }), err: asked + `the answer is for the principal "a/b"`},
		"slow clock":    {udp: at(y2k), err: asked + "the clock of the KDC is at 2000-01-01T00:00:00Z, more than 5m0s (max_skew) off the one of this host"},
		"fast clock":    {udp: at(y2k.AddDate(99, 0, 0)), err: asked + "the clock of the KDC is at 2099-01-01T00:00:00Z, more than 5m0s (max_skew) off the one of this host"},
		"within":        {udp: at(time.Now().Add(-4 * time.Minute))},
		"any clock":     {udp: at(y2k), kerberos: Kerberos{MaxSkew: -1}},
		"garbage":       {udp: []byte("hello"), err: asked + `what came is no answer of a KDC, neither AS-REP nor KRB-ERROR: "hello"`},
		"empty":         {udp: []byte{}, err: asked + `what came is no answer of a KDC, neither AS-REP nor KRB-ERROR: ""`},
		"cut":           {udp: []byte("\x7e\x04abc"), err: asked + `what came is no answer of a KDC, broken ASN.1: "~\x04abc"`},
		"more":          {udp: more, err: asked + "what came is no answer of a KDC, 4 bytes too many: " + excerpt(more)},
		"version":       {udp: old, err: asked + "what came is no answer of a KDC, version 4, type 11: " + excerpt(old)},
		"type":          {udp: other, err: asked + "what came is no answer of a KDC, version 5, type 31: " + excerpt(other)},
		"hangs":         {err: asked + "timed out"},
		"hangs, tcp":    {kerberos: Kerberos{Transport: "tcp"}, err: "asking ADDR over tcp for keepcast@EXAMPLE.COM: timed out"},
		"hangs up":      {tcp: []byte{}, kerberos: Kerberos{Transport: "tcp"}, err: "asking ADDR over tcp for keepcast@EXAMPLE.COM: closed by the other side"},
		"short":         {tcp: kdcFrame(preauth)[:9], kerberos: Kerberos{Transport: "tcp"}, err: "asking ADDR over tcp for keepcast@EXAMPLE.COM: closed by the other side"},
		"web server":    {tcp: []byte("HTTP/1.1 400 Bad Request\r\n"), kerberos: Kerberos{Transport: "tcp"}, err: `asking ADDR over tcp for keepcast@EXAMPLE.COM: what came is no answer of a KDC: "HTTP"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := tt.kerberos
			c.Server, c.Realm, c.Principal = fakeKDC(t, tt.udp, tt.tcp), "EXAMPLE.COM", "keepcast"
			switch c.MaxSkew {
			case 0:
				c.MaxSkew = 5 * time.Minute
			case -1:
				c.MaxSkew = 0
			}
			ctx := within(t)
			if strings.Contains(tt.err, "timed out") {
				ctx = shortly(t)
			}
			sameError(t, c.Check(ctx), tt.err, c.Server)
		})
	}
}

// TestKerberosRequest reads a request as RFC 4120 has it. That the names are of type
// GeneralString and the tags are right, TestKerberosMIT proves.
func TestKerberosRequest(t *testing.T) {
	type request struct {
		Version int `asn1:"explicit,tag:1"`
		Type    int `asn1:"explicit,tag:2"`
		Body    struct {
			Options     asn1.BitString `asn1:"explicit,tag:0"`
			Client      principalName  `asn1:"explicit,tag:1"`
			Realm       string         `asn1:"explicit,tag:2"`
			Server      principalName  `asn1:"explicit,tag:3"`
			Till        time.Time      `asn1:"explicit,generalized,tag:5"`
			Nonce       int            `asn1:"explicit,tag:7"`
			Encryptions []int          `asn1:"explicit,tag:8"`
		} `asn1:"explicit,tag:4"`
	}
	for _, name := range []string{"keepcast", "host/" + strings.Repeat("a", 250)} {
		for _, nonce := range []int{0, 1, 127, 128, 255, 256, 1<<31 - 1} {
			var got request
			if err := parseDER(asRequest("EXAMPLE.COM", name, nonce), &got, "application,explicit,tag:10"); err != nil {
				t.Fatal(err)
			}
			b := got.Body
			if got.Version != 5 || got.Type != 10 || b.Options.BitLength != 32 || !b.Till.Equal(time.Unix(0, 0)) || b.Nonce != nonce {
				t.Errorf("got %+v", got)
			}
			drivertest.Same(t, "names", []string{name, "EXAMPLE.COM", "krbtgt/EXAMPLE.COM"},
				[]string{strings.Join(b.Client.Parts, "/"), b.Realm, strings.Join(b.Server.Parts, "/")})
		}
	}
}

func TestKerberosRefused(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		c := Kerberos{Server: freeAddress(t), Transport: transport, Realm: "EXAMPLE.COM", Principal: "keepcast"}
		if err := c.Check(within(t)); err == nil || !strings.HasSuffix(err.Error(), ": connection refused") {
			t.Errorf("%s: got %v", transport, err)
		}
	}
}

func TestKerberosSight(t *testing.T) {
	c := Kerberos{Server: fakeKDC(t, kerberosError(kdcPreauthRequired, nil), nil), Realm: "EXAMPLE.COM", Principal: "keepcast"}
	var s Sight
	sameError(t, c.Check(WithSight(within(t), &s)), "", "")
	seen, _ := s.Seen()
	if len(seen) != 3 || seen[1].Text != "KDC_ERR_PREAUTH_REQUIRED (25), the KDC wants a proof" || !strings.HasSuffix(seen[2].Text, "s off the one of this host") {
		t.Errorf("saw %v", seen)
	}
}

func TestKerberosValidate(t *testing.T) {
	for name, tt := range map[string]struct {
		kerberos Kerberos
		err      string
	}{
		"good":       {kerberos: Kerberos{Server: "192.0.2.88", Realm: "EXAMPLE.COM", Principal: "keepcast"}},
		"parts":      {kerberos: Kerberos{Server: "[2001:db8::88]:8088", Realm: "EXAMPLE.COM", Principal: "host/ams1.example.com"}},
		"server":     {kerberos: Kerberos{Server: "a:b:c"}, err: `server: "a:b:c" is no address, host or either with a port`},
		"port":       {kerberos: Kerberos{Server: "a:0"}, err: `server: "0" is no port from 1 to 65535`},
		"no realm":   {kerberos: Kerberos{Server: "a"}, err: `realm: "" is no realm, as in EXAMPLE.COM`},
		"realm":      {kerberos: Kerberos{Server: "a", Realm: "@EXAMPLE.COM"}, err: `realm: "@EXAMPLE.COM" is no realm, as in EXAMPLE.COM`},
		"realm, ü":   {kerberos: Kerberos{Server: "a", Realm: "BÜRO"}, err: `realm: "BÜRO" is no realm, as in EXAMPLE.COM`},
		"with realm": {kerberos: Kerberos{Server: "a", Realm: "A", Principal: "a@A"}, err: `principal: "a@A" is no principal without realm, as in keepcast or host/ams1.example.com`},
		"blank":      {kerberos: Kerberos{Server: "a", Realm: "A", Principal: "a b"}, err: `principal: "a b" is no principal without realm, as in keepcast or host/ams1.example.com`},
		"escape":     {kerberos: Kerberos{Server: "a", Realm: "A", Principal: `a\/b`}, err: `principal: "a\\/b" is no principal without realm, as in keepcast or host/ams1.example.com`},
		"empty part": {kerberos: Kerberos{Server: "a", Realm: "A", Principal: "host/"}, err: `principal: "host/" has an empty part`},
		"none":       {kerberos: Kerberos{Server: "a", Realm: "A"}, err: `principal: "" has an empty part`},
	} {
		t.Run(name, func(t *testing.T) { sameError(t, tt.kerberos.Validate(), tt.err, "") })
	}
	long := Kerberos{Server: "a", Realm: strings.Repeat("A", 256), Principal: "a"}
	sameError(t, long.Validate(), `realm: "`+long.Realm+`" is no realm, as in EXAMPLE.COM`, "")
}

// FuzzParseKDC looks for answers that make the reader or what follows it panic.
func FuzzParseKDC(f *testing.F) {
	f.Add(kerberosError(kdcPreauthRequired, nil))
	f.Add(kerberosError(kdcWrongRealm, func(f map[byte][]byte) { f[7], f[8], f[11] = f[9], f[10], f[9] }))
	f.Add(kerberosTicket(nil))
	f.Fuzz(func(t *testing.T, raw []byte) {
		answer, err := parseKDC(raw)
		k := Kerberos{Realm: "EXAMPLE.COM", Principal: "keepcast", MaxSkew: time.Minute}
		if err == nil && k.judge(t.Context(), answer, time.Now()) == nil && !bytes.Contains(bytes.ToUpper(raw), []byte("EXAMPLE.COM")) {
			t.Errorf("fit: %+v", answer)
		}
	})
}
