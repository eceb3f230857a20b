package checks

import (
	"encoding/binary"
	"encoding/hex"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// resetAnswer answers a plain reset of a client as a server does.
func resetAnswer(q []byte) []byte {
	return slices.Concat([]byte{8 << 3}, []byte("a server"), []byte{1, 0, 0, 0, 0}, q[1:9], make([]byte, 4))
}

func TestOpenVPN(t *testing.T) {
	const noKey = " (a server with tls-auth or tls-crypt does not answer without its key)"
	changed := func(at int, to byte) func([]byte) []byte {
		return func(q []byte) []byte {
			out := resetAnswer(q)
			out[at] = to
			return out
		}
	}
	for name, tt := range map[string]struct {
		serve func([]byte) []byte
		err   string
	}{
		"good":         {serve: resetAnswer},
		"says nothing": {serve: func([]byte) []byte { return nil }, err: "ADDR: waiting for the answer to the reset: timed out" + noKey},
		"echo": {
			serve: func([]byte) []byte { return []byte("8aaaaaaaa\x00\x00\x00\x00\x00") },
			err:   `ADDR: answers with a packet of type 7, expected 8 (P_CONTROL_HARD_RESET_SERVER_V2): "8aaaaaaaa\x00\x00\x00\x00\x00"`,
		},
		"garbage": {serve: func([]byte) []byte { return []byte("@what?") }, err: `ADDR: the answer is no packet of OpenVPN: "@what?"`},
		"an acknowledgement": {
			serve: func([]byte) []byte { return []byte("(a server\x00") },
			err:   `ADDR: answers with a packet of type 5, expected 8 (P_CONTROL_HARD_RESET_SERVER_V2): "(a server\x00"`,
		},
		"another session":      {serve: changed(14, 0), err: "ADDR: the answer is for another session"},
		"another packet":       {serve: changed(13, 1), err: "ADDR: the answer acknowledges 00000001, expected packet 0"},
		"acknowledges nothing": {serve: changed(9, 0), err: "ADDR: the answer acknowledges , expected packet 0"},
		"acknowledges much":    {serve: changed(9, 64), err: "ADDR: the answer ends before what it acknowledges"},
		"nothing in it":        {serve: func(q []byte) []byte { return resetAnswer(q)[:9] }, err: "ADDR: the answer ends before what it acknowledges"},
		"cut off":              {serve: func(q []byte) []byte { return resetAnswer(q)[:20] }, err: "ADDR: the answer ends before what it acknowledges"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := OpenVPN{Address: byDatagram(t, tt.serve)}
			ctx := within(t)
			if strings.Contains(tt.err, "timed out") {
				ctx = shortly(t)
			}
			sameError(t, c.Check(ctx), tt.err, c.Address)
		})
	}
}

func TestOpenVPNOverTCP(t *testing.T) {
	const noKey = " (a server with tls-auth or tls-crypt does not answer without its key)"
	for name, tt := range map[string]struct {
		serve func(net.Conn)
		err   string
	}{
		"in pieces": {serve: func(c net.Conn) {
			buf := make([]byte, 16)
			if _, err := io.ReadFull(c, buf); err != nil || buf[0] != 0 || buf[1] != 14 {
				return
			}
			answer := resetAnswer(buf[2:])
			c.Write([]byte{0})
			c.Write(append([]byte{byte(len(answer))}, answer[:5]...))
			c.Write(answer[5:])
		}},
		"says nothing": {serve: func(net.Conn) {}, err: "ADDR: waiting for the answer to the reset: timed out" + noKey},
		"hangs up":     {serve: func(c net.Conn) { io.ReadFull(c, make([]byte, 16)); c.Close() }, err: "ADDR: waiting for the answer to the reset: closed by the other side" + noKey},
		"half of it": {
			serve: func(c net.Conn) { io.ReadFull(c, make([]byte, 16)); c.Write([]byte{0, 9, 1}); c.Close() },
			err:   "ADDR: waiting for the answer to the reset: closed by the other side" + noKey,
		},
		"empty": {serve: func(c net.Conn) { c.Write([]byte{0, 0}) }, err: `ADDR: the answer is no packet of OpenVPN: ""`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := OpenVPN{Transport: "tcp", Address: listen(t, tt.serve)}
			ctx := within(t)
			if strings.Contains(tt.err, "timed out") {
				ctx = shortly(t)
			}
			sameError(t, c.Check(ctx), tt.err, c.Address)
		})
	}
	t.Run("refused", func(t *testing.T) {
		for network, c := range map[string]OpenVPN{"tcp": {Transport: "tcp"}, "udp": {Transport: "udp"}} {
			c.Address = freeAddress(t)
			if err := c.Check(within(t)); err == nil || !strings.HasSuffix(err.Error(), "connection refused") {
				t.Errorf("%s: got %v", network, err)
			}
		}
	})
}

func TestOpenVPNValidate(t *testing.T) {
	const several = "tls_auth_file, tls_crypt_file, tls_crypt_v2_file: a server has only one of them"
	for name, tt := range map[string]struct {
		c   OpenVPN
		err string
	}{
		"plain":          {c: OpenVPN{Address: "a", Transport: "udp", KeyDirection: "1", Auth: "SHA1"}},
		"signed":         {c: OpenVPN{Address: "a:1", AuthFile: "/a", KeyDirection: "none", Auth: "SHA512"}},
		"no address":     {c: OpenVPN{}, err: `address: "" is no address, host or either with a port`},
		"two keys":       {c: OpenVPN{Address: "a", AuthFile: "/a", CryptFile: "/b"}, err: several},
		"two other keys": {c: OpenVPN{Address: "a", CryptV2File: "/a", CryptFile: "/b"}, err: several},
		"direction":      {c: OpenVPN{Address: "a", CryptFile: "/a", KeyDirection: "0"}, err: "key_direction: only with tls_auth_file"},
		"digest":         {c: OpenVPN{Address: "a", Auth: "SHA256"}, err: "auth: only with tls_auth_file"},
	} {
		t.Run(name, func(t *testing.T) { sameError(t, tt.c.Validate(), tt.err, "") })
	}
}

func TestOpenVPNKeys(t *testing.T) {
	write := func(text string) string {
		file := filepath.Join(t.TempDir(), "key")
		drivertest.WriteFile(t, file, text)
		return file
	}
	static := func(inside string) string {
		return "# a comment\n-----BEGIN OpenVPN Static key V1-----\n" + inside + "\n-----END OpenVPN Static key V1-----\n"
	}
	v2 := func(inside string) string {
		return "-----BEGIN OpenVPN tls-crypt-v2 client key-----\n" + inside + "\n-----END OpenVPN tls-crypt-v2 client key-----\n"
	}
	half := strings.Repeat("0f", 128)
	for name, tt := range map[string]struct {
		file, v2 string
		err      string
	}{
		"good":       {file: static(half + "\n" + half)},
		"too short":  {file: static(half), err: "tls_auth_file: the key in FILE is not 256 bytes in hexadecimal digits"},
		"no digits":  {file: static(half + half[1:] + "g"), err: "tls_auth_file: the key in FILE is not 256 bytes in hexadecimal digits"},
		"no end":     {file: "-----BEGIN OpenVPN Static key V1-----\n", err: "tls_auth_file: no '-----BEGIN OpenVPN Static key V1-----' with its end in FILE"},
		"other kind": {file: v2(""), err: "tls_auth_file: no '-----BEGIN OpenVPN Static key V1-----' with its end in FILE"},
		"v2":         {v2: v2(strings.Repeat("AAAA", 100))},
		"v2, short":  {v2: v2(strings.Repeat("AAAA", 85)), err: "tls_crypt_v2_file: the key in FILE is not a key and the same for the server, in base64"},
		"v2, digits": {v2: v2("?"), err: "tls_crypt_v2_file: the key in FILE is not a key and the same for the server, in base64"},
	} {
		t.Run(name, func(t *testing.T) {
			c, file := OpenVPN{Address: "127.0.0.1:1"}, ""
			if tt.v2 != "" {
				file = write(tt.v2)
				c.CryptV2File = file
			} else {
				file = write(tt.file)
				c.AuthFile = file
			}
			_, err := c.Host()()
			sameError(t, err, strings.ReplaceAll(tt.err, "FILE", file), "")
			if tt.err != "" {
				sameError(t, c.Check(within(t)), strings.ReplaceAll(tt.err, "FILE", file), "")
			}
		})
	}
	if (&OpenVPN{}).Host() != nil {
		t.Error("without a file there is something to look at")
	}
	missing := OpenVPN{Address: "127.0.0.1:1", CryptFile: "/nonexistent"}
	err := missing.Check(within(t))
	sameError(t, err, "tls_crypt_file: open /nonexistent: no such file or directory", "")
	if health.IsVoid(err) || health.IsCertain(err) {
		t.Error("a missing key is no plain failure")
	}
}

// Packets that come with another key, or changed, are no answers.
func TestOpenVPNForged(t *testing.T) {
	var key, other staticKey
	for i := range key {
		key[i], other[i] = byte(i), byte(i+1)
	}
	from := func(w wrapping, s session) []byte {
		return w.seal(append([]byte{8 << 3}, "a server"...), make([]byte, 8), slices.Concat([]byte{1, 0, 0, 0, 0}, s[:], make([]byte, 4)))
	}
	// The server has the keys the other way round.
	swapped := func(k staticKey) staticKey { return staticKey(slices.Concat(k[128:], k[:128])) }
	s := session{1, 2, 3}
	for name, tt := range map[string]struct {
		here, right, wrong wrapping
		cut                int
		err, short         string
	}{
		"tls-auth": {
			here: newSigned(key, "1", "SHA256"), right: newSigned(key, "0", "SHA256"), wrong: newSigned(key, "1", "SHA256"), cut: 9 + 32 + 7,
			err:   "the answer is not signed with the key of tls_auth_file, or key_direction or auth is another one",
			short: "the answer is too short to be signed (tls-auth)",
		},
		"tls-crypt": {
			here: encrypted{key: key}, right: encrypted{key: swapped(key)}, wrong: encrypted{key: swapped(other)}, cut: 9 + 8 + 31,
			err: "the answer is not encrypted with the key of the file", short: "the answer is too short to be encrypted (tls-crypt)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			good := from(tt.right, s)
			sameError(t, s.answeredBy(tt.here, good), "", "")
			sameError(t, s.answeredBy(tt.here, from(tt.wrong, s)), tt.err, "")
			sameError(t, s.answeredBy(tt.here, good[:tt.cut]), tt.short, "")
			for at := 1; at < len(good); at++ {
				bad := slices.Clone(good)
				bad[at] ^= 4
				sameError(t, s.answeredBy(tt.here, bad), tt.err, "")
			}
		})
	}
}

// The packets of a client, as OpenVPN 2.6.14 sends them.
func TestOpenVPNReset(t *testing.T) {
	s := session{1, 2, 3, 4, 5, 6, 7, 8}
	if got := hex.EncodeToString(s.reset(plain{})); got != "3801020304050607080000000000" {
		t.Errorf("got %s", got)
	}
	m := s.reset(encrypted{forServer: []byte("for the server")})
	if m[0] != 10<<3 || !strings.HasSuffix(string(m), "for the server") || binary.BigEndian.Uint32(m[9:]) != 0x0f000001 {
		t.Errorf("got %x", m)
	}
}

func FuzzOpenVPN(f *testing.F) {
	f.Add(resetAnswer(make([]byte, 9)))
	f.Add([]byte("\x40aaaaaaaa\x40"))
	f.Fuzz(func(t *testing.T, m []byte) {
		var s session
		var key staticKey
		for _, w := range []wrapping{plain{}, newSigned(key, "1", "SHA1"), encrypted{key: key}} {
			if s.answeredBy(w, m) == nil && len(m) < 22 {
				t.Errorf("%x is an answer", m)
			}
		}
	})
}
