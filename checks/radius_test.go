package checks

import (
	"bytes"
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"
)

// radiusReply encodes the answer of a server to a request. A value of attribute 80 that is
// all zero is replaced by the right one.
func radiusReply(code byte, request []byte, secret string, attributes ...[]byte) []byte {
	packet := append([]byte{code, request[1], 0, 0}, request[4:radiusHead]...)
	packet = append(packet, bytes.Join(attributes, nil)...)
	binary.BigEndian.PutUint16(packet[2:], uint16(len(packet)))
	if at := bytes.Index(packet, toSign()); at >= 0 {
		copy(packet[at+2:], signRadius(packet, []byte(secret)))
	}
	return sealRadius(packet, secret)
}

// toSign is a Message-Authenticator that radiusReply replaces.
func toSign() []byte { return radiusAttribute(radiusSigned, make([]byte, 16)) }

// sealRadius replaces the authenticator of the request by that of the answer.
func sealRadius(packet []byte, secret string) []byte {
	sum := md5.Sum(append(bytes.Clone(packet), secret...))
	copy(packet[4:], sum[:])
	return packet
}

func TestRadius(t *testing.T) {
	const status, access = "ADDR: waiting for an answer to Status-Server: ", "ADDR: waiting for an answer to Access-Request: "
	const dropped = "timed out, and what came was dropped: "
	secret, password := secretFile(t, "shared"), secretFile(t, "geheim")
	login := Radius{Send: "access", User: "keepcast", PasswordFile: password, Expect: "accept", Signed: true}
	either := login
	either.Expect = "answer"
	message := func(text string) []byte { return radiusAttribute(radiusText, []byte(text)) }
	for name, tt := range map[string]struct {
		radius Radius
		serve  func(asked []byte) []byte
		err    string
	}{
		"accept":     {serve: func(q []byte) []byte { return radiusReply(2, q, "shared", toSign()) }},
		"at the end": {serve: func(q []byte) []byte { return radiusReply(2, q, "shared", message("hello"), toSign()) }},
		"padded":     {serve: func(q []byte) []byte { return append(radiusReply(2, q, "shared", toSign()), "padding"...) }},
		"accounting": {serve: func(q []byte) []byte { return radiusReply(5, q, "shared", toSign()) }},
		"reject":     {serve: func(q []byte) []byte { return radiusReply(3, q, "shared", toSign()) }, err: "ADDR: got Access-Reject, expected Access-Accept"},
		"protocol":   {serve: func(q []byte) []byte { return radiusReply(52, q, "shared", toSign()) }, err: "ADDR: got Protocol-Error, expected Access-Accept"},
		"odd code":   {serve: func(q []byte) []byte { return radiusReply(77, q, "shared", toSign()) }, err: "ADDR: got code 77, expected Access-Accept"},
		"login":      {radius: login, serve: func(q []byte) []byte { return radiusReply(2, q, "shared", toSign()) }},
		"no login":   {radius: login, serve: func(q []byte) []byte { return radiusReply(5, q, "shared", toSign()) }, err: "ADDR: got Accounting-Response, expected Access-Accept"},
		"echoes": {radius: login, serve: func(q []byte) []byte {
			return radiusReply(3, q, "shared", toSign(), message("geheim is "), message("wrong"))
		}, err: `ADDR: got Access-Reject: "xxxxx is wrong", expected Access-Accept`},
		"challenge":     {radius: login, serve: func(q []byte) []byte { return radiusReply(11, q, "shared", toSign(), message("code?")) }, err: `ADDR: got Access-Challenge: "code?", expected Access-Accept`},
		"any reject":    {radius: either, serve: func(q []byte) []byte { return radiusReply(3, q, "shared", toSign()) }},
		"any challenge": {radius: either, serve: func(q []byte) []byte { return radiusReply(11, q, "shared", toSign()) }},
		"any other":     {radius: either, serve: func(q []byte) []byte { return radiusReply(5, q, "shared", toSign()) }, err: "ADDR: got Accounting-Response, expected an answer to a login"},
		"not signed":    {radius: login, serve: func(q []byte) []byte { return radiusReply(2, q, "shared") }, err: access + "it has no Message-Authenticator: update the server, or set require_message_authenticator: false"},
		"forged":        {serve: func(q []byte) []byte { return radiusReply(2, q, "guess", toSign()) }, err: status + dropped + "the Response Authenticator is wrong: the server has another secret, or somebody else answers"},
		"forged sign": {serve: func(q []byte) []byte {
			return radiusReply(2, q, "shared", radiusAttribute(radiusSigned, []byte("0123456789abcdef")))
		}, err: status + dropped + "the Message-Authenticator of the answer is wrong"},
		"short sign":      {serve: func(q []byte) []byte { return radiusReply(2, q, "shared", radiusAttribute(radiusSigned, nil)) }, err: status + dropped + "the Message-Authenticator of the answer is wrong"},
		"two signs":       {serve: func(q []byte) []byte { return radiusReply(2, q, "shared", toSign(), toSign()) }, err: status + dropped + "the Message-Authenticator of the answer is wrong"},
		"attribute":       {serve: func(q []byte) []byte { return radiusReply(2, q, "shared", toSign(), []byte{1, 3}) }, err: status + dropped + "the attributes of the answer are broken"},
		"attribute of 0":  {serve: func(q []byte) []byte { return radiusReply(2, q, "shared", []byte{1, 0, 0}) }, err: status + dropped + "the attributes of the answer are broken"},
		"half attribute":  {serve: func(q []byte) []byte { return radiusReply(2, q, "shared", []byte{1}) }, err: status + dropped + "the attributes of the answer are broken"},
		"another request": {serve: func(q []byte) []byte { q[1]++; return radiusReply(2, q, "shared", toSign()) }, err: status + dropped + "the answer is to another request"},
		"echo":            {serve: func(q []byte) []byte { return q }, err: status + dropped + "the Response Authenticator is wrong: the server has another secret, or somebody else answers"},
		"garbage":         {serve: func([]byte) []byte { return []byte("hello") }, err: status + dropped + `no RADIUS: "hello"`},
		"one byte":        {serve: func([]byte) []byte { return []byte("h") }, err: status + dropped + `no RADIUS: "h"`},
		"longer garbage":  {serve: func([]byte) []byte { return []byte("hello, I am no RADIUS") }, err: status + dropped + `no RADIUS: "hello, I am no RADIUS"`},
		"length of 0":     {serve: func([]byte) []byte { return make([]byte, 20) }, err: status + dropped + `no RADIUS: "` + strings.Repeat(`\x00`, 20) + `"`},
		"hangs":           {serve: func([]byte) []byte { return nil }, err: status + "timed out: a server is silent, too, where it has another secret for this host, or none, or does not tell its status"},
		"login hangs":     {radius: login, serve: func([]byte) []byte { return nil }, err: access + "timed out: a server is silent, too, where it has another secret for this host, or none"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := tt.radius
			if c.Send == "" {
				c = Radius{Send: "status", Expect: "accept", Signed: true}
			}
			c.SecretFile = secret
			c.Address = byDatagram(t, tt.serve)
			if err := c.Validate(); err != nil {
				t.Fatal(err)
			}
			ctx := within(t)
			if strings.Contains(tt.err, "timed out") {
				ctx = shortly(t)
			}
			sameError(t, c.Check(ctx), tt.err, c.Address)
		})
	}
}

// What can't be trusted does not keep the check from an answer that can.
func TestRadiusDrops(t *testing.T) {
	at := datagrams(t, func(asked string) []string {
		return []string{"hello", string(radiusReply(3, []byte(asked), "guess")), string(radiusReply(2, []byte(asked), "shared", toSign()))}
	})
	c := Radius{Address: at, SecretFile: secretFile(t, "shared"), Send: "status", Signed: true}
	var s Sight
	sameError(t, c.Check(WithSight(within(t), &s)), "", "")
	if seen, _ := s.Seen(); len(seen) != 2 || seen[1].Text != "Access-Accept" {
		t.Errorf("saw %v", seen)
	}
}

func TestRadiusRefused(t *testing.T) {
	c := Radius{Address: freeAddress(t), SecretFile: secretFile(t, "shared")}
	if err := c.Check(within(t)); err == nil || !strings.HasSuffix(err.Error(), ": connection refused") {
		t.Errorf("got %v", err)
	}
}

func TestRadiusValidate(t *testing.T) {
	login := Radius{Address: "[2001:db8::18]:1645", SecretFile: "/s", Send: "access", User: "a", PasswordFile: "/p"}
	for name, tt := range map[string]struct {
		radius Radius
		change func(*Radius)
		err    string
	}{
		"good":         {radius: Radius{Address: "192.0.2.18", Send: "status", Expect: "accept"}},
		"login":        {radius: login, change: func(r *Radius) { r.Expect = "answer" }},
		"address":      {radius: Radius{Address: "a:b:c"}, err: `address: "a:b:c" is no address, host or either with a port`},
		"port":         {radius: Radius{Address: "a:0"}, err: `address: "0" is no port from 1 to 65535`},
		"user":         {radius: login, change: func(r *Radius) { r.Send = "status" }, err: "user: only with send: access"},
		"password":     {radius: login, change: func(r *Radius) { r.Send, r.User = "status", "" }, err: "password_file: only with send: access"},
		"answer":       {radius: Radius{Address: "a", Send: "status", Expect: "answer"}, err: "expect: answer is only for send: access"},
		"no user":      {radius: login, change: func(r *Radius) { r.User = "" }, err: "user: needed for send: access"},
		"long user":    {radius: login, change: func(r *Radius) { r.User = strings.Repeat("a", 254) }, err: "user: longer than 253 bytes"},
		"no password":  {radius: login, change: func(r *Radius) { r.PasswordFile = "" }, err: "password_file: needed for send: access"},
		"longest user": {radius: login, change: func(r *Radius) { r.User = strings.Repeat("a", 253) }},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.change != nil {
				tt.change(&tt.radius)
			}
			sameError(t, tt.radius.Validate(), tt.err, "")
		})
	}
}

// TestRadiusSecrets reads the files as doctor, and as a check does.
func TestRadiusSecrets(t *testing.T) {
	for name, tt := range map[string]struct{ secret, password, err string }{
		"good":          {secret: "shared", password: strings.Repeat("a", 128)},
		"CR LF":         {secret: "shared\r\nmore", password: "b\r"},
		"no secret":     {secret: "\nshared", err: "secret_file: the first line of SECRET is empty"},
		"no password":   {secret: "shared", err: "password_file: the first line of PASSWORD is empty"},
		"NUL":           {secret: "shared", password: "a\x00b", err: "password_file: the first line of PASSWORD has a NUL"},
		"long password": {secret: "shared", password: strings.Repeat("a", 129), err: "password_file: the first line of PASSWORD is longer than 128 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			c := Radius{Address: "127.0.0.1:1", SecretFile: secretFile(t, tt.secret), Send: "access", User: "a", PasswordFile: secretFile(t, tt.password)}
			want := strings.NewReplacer("SECRET", c.SecretFile, "PASSWORD", c.PasswordFile).Replace(tt.err)
			_, err := c.Host()()
			sameError(t, err, want, "")
			if want != "" {
				sameError(t, c.Check(within(t)), "127.0.0.1:1: "+want, "")
			}
		})
	}
	c := Radius{Address: "127.0.0.1", SecretFile: "/nonexistent"}
	sameError(t, c.Check(within(t)), "127.0.0.1:1812: secret_file: open /nonexistent: no such file or directory", "")
	c = Radius{Address: "127.0.0.1", SecretFile: secretFile(t, "a"), Send: "access", PasswordFile: "/nonexistent"}
	sameError(t, c.Check(within(t)), "127.0.0.1:1812: password_file: open /nonexistent: no such file or directory", "")
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// The examples of RFC 2865 section 7.1 and RFC 5997 section 6.1.
func TestRadiusExamples(t *testing.T) {
	secret := []byte("xyzzy5461")
	login := unhex(t, "010000380f403f9473978057bd83d5cb98f4227a01066e656d6f02120dbe708d93d413ce3196e43f782a0aee0406c0a8011005060000"+"0003")
	if got := hidePassword([]byte("arctangent"), secret, login[4:20]); !bytes.Equal(got, login[28:44]) {
		t.Errorf("the password is hidden as %x", got)
	}
	answer, err := parseRadius(unhex(t, "0200002686fe220e7624ba2a1005f6bf9b55e0b20606000000010f06000000000e06c0a80103"), login, secret)
	if err != nil || answer.code != radiusAccept || answer.signed {
		t.Errorf("got %+v, %v", answer, err)
	}
	status := unhex(t, "0cda00268a54f4686fb394c52866e302185d062350125a665e2e1e8411f3e243822097c84fa3")
	if got := radiusRequest(radiusStatus, 0xda, status[4:20], secret); !bytes.Equal(got, status) {
		t.Errorf("got %x", got)
	}
	answer, err = parseRadius(unhex(t, "02da0014ef0d552a4bf2d693ec2b6fe8b5411d66"), status, secret)
	if err != nil || answer.code != radiusAccept || answer.signed {
		t.Errorf("got %+v, %v", answer, err)
	}
}

// FuzzParseRadius looks for answers that make the reader panic, and for a signature that is
// not looked at. An answer is sealed as by the server, to be read to its end.
func FuzzParseRadius(f *testing.F) {
	request := radiusRequest(radiusStatus, 7, make([]byte, 16), []byte("shared"))
	f.Add(radiusReply(2, request, "shared", toSign(), radiusAttribute(radiusText, []byte("hello"))))
	f.Add(radiusReply(3, request, "guess", toSign()))
	f.Add([]byte{2, 7, 0, 20})
	f.Fuzz(func(t *testing.T, raw []byte) {
		parseRadius(raw, request, []byte("shared"))
		if len(raw) < radiusHead || len(raw) > maxRadius {
			return
		}
		sealed := append([]byte{raw[0], 7, 0, 0}, request[4:radiusHead]...)
		sealed = append(sealed, raw[radiusHead:]...)
		binary.BigEndian.PutUint16(sealed[2:], uint16(len(sealed)))
		answer, err := parseRadius(sealRadius(sealed, "shared"), request, []byte("shared"))
		if err != nil {
			return
		}
		answer.says("geheim")
		signed := false
		if err := eachAttribute(raw[radiusHead:], func(kind byte, _ []byte) { signed = signed || kind == radiusSigned }); err != nil || signed != answer.signed {
			t.Errorf("read as %+v, %v", answer, err)
		}
	})
}
