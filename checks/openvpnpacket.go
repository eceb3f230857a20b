package checks

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // the server's default; HMAC-SHA1 is not broken
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strings"
	"time"
)

// The packets of the control channel are those of ssl_pkt.h and tls_crypt.h of OpenVPN:
//
//	plain      head | body
//	tls-auth   head | HMAC of (id, head, body) | id | body
//	tls-crypt  head | id | tag, an HMAC of (head, id, body) | body, encrypted
//
// The head is the type of the packet and the session of the sender. The id is a number and
// the time, against replays. The body is what the packet acknowledges, and its own number.
const (
	headLength = 9
	idLength   = 8
	tagLength  = sha256.Size

	resetClient2, resetServer2, resetClient3 = 7, 8, 10
)

// wrapping is how the packets of the control channel are protected.
type wrapping interface {
	// opens returns the type of the packet by which a client begins.
	opens() byte
	// seal returns a packet. What it gives is no secret.
	seal(head, id, body []byte) []byte
	// open returns the body of a packet that is at least as long as a head.
	open(packet []byte) (body []byte, err error)
}

// wrapping reads the key that the settings name.
func (o *OpenVPN) wrapping() (wrapping, error) {
	switch {
	case o.AuthFile != "":
		key, err := readStaticKey(o.AuthFile)
		if err != nil {
			return nil, fmt.Errorf("tls_auth_file: %w", err)
		}
		return newSigned(key, o.KeyDirection, o.Auth), nil
	case o.CryptFile != "":
		key, err := readStaticKey(o.CryptFile)
		if err != nil {
			return nil, fmt.Errorf("tls_crypt_file: %w", err)
		}
		return encrypted{key: key}, nil
	case o.CryptV2File != "":
		key, forServer, err := readClientKey(o.CryptV2File)
		if err != nil {
			return nil, fmt.Errorf("tls_crypt_v2_file: %w", err)
		}
		return encrypted{key, forServer}, nil
	}
	return plain{}, nil
}

// staticKey has two keys of 64 bytes to encrypt and 64 to sign.
type staticKey [256]byte

// of returns the i-th key.
func (k staticKey) of(i int) (encrypt, sign []byte) {
	one := k[i*128:][:128]
	return one[:64], one[64:]
}

// readStaticKey reads what `openvpn --genkey secret` writes.
func readStaticKey(file string) (staticKey, error) {
	text, err := between(file, "OpenVPN Static key V1")
	if err != nil {
		return staticKey{}, err
	}
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != len(staticKey{}) {
		return staticKey{}, fmt.Errorf("the key in %s is not 256 bytes in hexadecimal digits", file)
	}
	return staticKey(raw), nil
}

// readClientKey reads what `openvpn --genkey tls-crypt-v2-client` writes: the key, and the
// same encrypted for the server, which stores none.
func readClientKey(file string) (key staticKey, forServer []byte, err error) {
	text, err := between(file, "OpenVPN tls-crypt-v2 client key")
	if err != nil {
		return staticKey{}, nil, err
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(raw) <= len(key) || len(raw) > 2*1024 {
		return staticKey{}, nil, fmt.Errorf("the key in %s is not a key and the same for the server, in base64", file)
	}
	return staticKey(raw), raw[len(key):], nil
}

// between returns what stands in a file between the marks of a kind of key, without space.
func between(file, kind string) (string, error) {
	text, err := readFile(file)
	if err != nil {
		return "", unreadable(err)
	}
	_, after, begins := strings.Cut(string(text), "-----BEGIN "+kind+"-----")
	inside, _, ends := strings.Cut(after, "-----END "+kind+"-----")
	if !begins || !ends {
		return "", fmt.Errorf("no '-----BEGIN %s-----' with its end in %s", kind, file)
	}
	return strings.Join(strings.Fields(inside), ""), nil
}

// plain packets are not protected.
type plain struct{}

func (plain) opens() byte                        { return resetClient2 }
func (plain) seal(head, _, body []byte) []byte   { return slices.Concat(head, body) }
func (plain) open(packet []byte) ([]byte, error) { return packet[headLength:], nil }

// signed packets have the HMAC of tls-auth.
type signed struct {
	digest  func() hash.Hash
	out, in []byte // the keys for what is sent and what is received
}

func newSigned(key staticKey, direction, digest string) signed {
	_, first := key.of(0)
	_, second := key.of(1)
	s := signed{digest: sha1.New}
	switch digest {
	case "SHA256":
		s.digest = sha256.New
	case "SHA384":
		s.digest = sha512.New384
	case "SHA512":
		s.digest = sha512.New
	}
	switch direction {
	case "0":
		s.out, s.in = first, second
	case "none":
		s.out, s.in = first, first
	default:
		s.out, s.in = second, first
	}
	size := s.digest().Size()
	s.out, s.in = s.out[:size], s.in[:size]
	return s
}

func (signed) opens() byte { return resetClient2 }

func (s signed) seal(head, id, body []byte) []byte {
	return slices.Concat(head, sign(s.digest, s.out, id, head, body), id, body)
}

func (s signed) open(packet []byte) ([]byte, error) {
	size := s.digest().Size()
	if len(packet) < headLength+size+idLength {
		return nil, errors.New("the answer is too short to be signed (tls-auth)")
	}
	head, mac, rest := packet[:headLength], packet[headLength:][:size], packet[headLength+size:]
	id, body := rest[:idLength], rest[idLength:]
	if !hmac.Equal(mac, sign(s.digest, s.in, id, head, body)) {
		return nil, errors.New("the answer is not signed with the key of tls_auth_file, or key_direction or auth is another one")
	}
	return body, nil
}

// encrypted packets are those of tls-crypt, and of its version 2 where there is a key for
// the server.
type encrypted struct {
	key       staticKey
	forServer []byte
}

func (e encrypted) opens() byte {
	if e.forServer != nil {
		return resetClient3
	}
	return resetClient2
}

// A client sends with the second key and receives with the first.
func (e encrypted) seal(head, id, body []byte) []byte {
	secret, signs := e.key.of(1)
	tag := sign(sha256.New, signs[:tagLength], head, id, body)
	return slices.Concat(head, id, tag, crypted(secret, tag, body), e.forServer)
}

func (e encrypted) open(packet []byte) ([]byte, error) {
	const begin = headLength + idLength + tagLength
	if len(packet) < begin {
		return nil, errors.New("the answer is too short to be encrypted (tls-crypt)")
	}
	secret, signs := e.key.of(0)
	tag := packet[begin-tagLength : begin]
	body := crypted(secret, tag, packet[begin:])
	if !hmac.Equal(tag, sign(sha256.New, signs[:tagLength], packet[:begin-tagLength], body)) {
		return nil, errors.New("the answer is not encrypted with the key of the file")
	}
	return body, nil
}

// crypted encrypts or decrypts by AES-256 in counter mode, which begins at the tag.
func crypted(key, tag, text []byte) []byte {
	block, err := aes.NewCipher(key[:32])
	if err != nil {
		panic(err) // 32 bytes are a key
	}
	out := make([]byte, len(text))
	cipher.NewCTR(block, tag[:aes.BlockSize]).XORKeyStream(out, text)
	return out
}

func sign(digest func() hash.Hash, key []byte, parts ...[]byte) []byte {
	mac := hmac.New(digest, key)
	for _, part := range parts {
		mac.Write(part)
	}
	return mac.Sum(nil)
}

// session is how a client names one.
type session [8]byte

func newSession() session {
	var s session
	rand.Read(s[:]) // never fails
	s[0] |= 1       // zero names none
	return s
}

// staysStateless is the number of the first packet by which a client says that it can send
// its key of tls-crypt-v2 once more, so that the server may forget the first one.
const staysStateless = 0x0f000001

// reset returns the packet by which a client begins.
func (s session) reset(w wrapping) []byte {
	number := uint32(1)
	if w.opens() == resetClient3 {
		number = staysStateless
	}
	id := binary.BigEndian.AppendUint32(nil, number)
	id = binary.BigEndian.AppendUint32(id, uint32(time.Now().Unix()))
	acknowledgesNone, firstNumber := []byte{0}, make([]byte, 4)
	return w.seal(append([]byte{w.opens() << 3}, s[:]...), id, append(acknowledgesNone, firstNumber...))
}

// answeredBy says why a packet is not the server's answer to the reset.
func (s session) answeredBy(w wrapping, packet []byte) error {
	if len(packet) < headLength {
		return fmt.Errorf("the answer is no packet of OpenVPN: %s", excerpt(packet))
	}
	if kind := packet[0] >> 3; kind != resetServer2 {
		return fmt.Errorf("answers with a packet of type %d, expected 8 (P_CONTROL_HARD_RESET_SERVER_V2): %s", kind, excerpt(packet))
	}
	body, err := w.open(packet)
	if err != nil {
		return err
	}
	if len(body) < 1 || len(body) < 1+4*int(body[0])+len(s) {
		return errors.New("the answer ends before what it acknowledges")
	}
	end := 1 + 4*int(body[0])
	acknowledged, of := body[1:end], body[end:][:len(s)]
	if !bytes.Equal(acknowledged, make([]byte, 4)) {
		return fmt.Errorf("the answer acknowledges %x, expected packet 0", acknowledged)
	}
	if session(of) != s {
		return errors.New("the answer is for another session")
	}
	return nil
}
