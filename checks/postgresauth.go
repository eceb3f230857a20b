package checks

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // what old servers ask for
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The requests of a server for authentication, messages 'R'.
const (
	pgAdmitted      = 0
	pgPlainPassword = 3
	pgMD5           = 5
	pgSASL          = 10
	pgSASLContinue  = 11
	pgSASLFinal     = 12
)

// start asks for a session in a database. It returns false if the server asks for a password
// and there is none to give.
func (c *pgConn) start(database string) (admitted bool, err error) {
	s := sight(c.ctx)
	s.waits("an answer to the request for a session")
	begin := fmt.Appendf(nil, "\x00\x03\x00\x00user\x00%s\x00database\x00%s\x00application_name\x00keepcast\x00\x00", c.user, database)
	if err := c.send(0, begin); err != nil {
		return false, err
	}
	var proof scram
	for {
		kind, body, err := c.next()
		if err != nil {
			return false, err
		}
		if kind == 'Z' {
			if proof.begun() && !proof.mutual {
				return false, errors.New("the server did not prove that it knows the password")
			}
			s.saw("answer", "ready for queries of %s", c.user)
			return true, nil
		}
		if kind != 'R' || len(body) < 4 {
			return false, fmt.Errorf("%w: message %q", errNotPg, kind)
		}
		request := binary.BigEndian.Uint32(body)
		if request != pgAdmitted && c.password == "" {
			s.saw("answer", "asks for a password of %s", c.user)
			return false, nil
		}
		if err := c.authenticate(request, body[4:], &proof); err != nil {
			return false, fmt.Errorf("logging in as %s: %w", c.user, err)
		}
	}
}

// authenticate answers one request for authentication.
func (c *pgConn) authenticate(request uint32, data []byte, proof *scram) error {
	switch request {
	case pgAdmitted:
		return nil
	case pgPlainPassword:
		if !c.secret {
			return errors.New("the server wants the password in plain text, which is sent over TLS or a unix socket only")
		}
		return c.send('p', []byte(c.password+"\x00"))
	case pgMD5:
		return c.send('p', []byte(md5Password(c.user, c.password, data)))
	case pgSASL:
		if !slices.Contains(strings.Split(string(data), "\x00"), scramName) {
			return fmt.Errorf("the server offers no %s, but %s", scramName, excerpt(bytes.TrimRight(data, "\x00")))
		}
		first := proof.first()
		body := binary.BigEndian.AppendUint32([]byte(scramName+"\x00"), uint32(len(first)))
		return c.send('p', append(body, first...))
	case pgSASLContinue:
		final, err := proof.final(string(data), c.password)
		if err != nil {
			return err
		}
		return c.send('p', []byte(final))
	case pgSASLFinal:
		return proof.verify(string(data))
	}
	return fmt.Errorf("the server wants authentication of type %d, which keepcast does not know", request)
}

// md5Password is the answer to a server that wants MD5.
func md5Password(user, password string, salt []byte) string {
	inner := md5.Sum([]byte(password + user))                               //nolint:gosec // see the import
	outer := md5.Sum(append([]byte(hex.EncodeToString(inner[:])), salt...)) //nolint:gosec // see the import
	return "md5" + hex.EncodeToString(outer[:]) + "\x00"
}

// scram is a login by SCRAM-SHA-256 without channel binding (RFC 5802, RFC 7677). The server
// knows the user already. A password is taken as it is written, not normalised by SASLprep.
type scram struct {
	nonce     string // ours; "" before first
	signature []byte // of the server, as it has to be; nil before final
	mutual    bool   // the server has proved that it knows the password
}

const scramName = "SCRAM-SHA-256"

// maxIterations bounds the work that a server can give. PostgreSQL wants 4096 unless told.
const maxIterations = 1_000_000

// begun reports whether the server has asked for this way of logging in.
func (s *scram) begun() bool { return s.nonce != "" }

const scramUser = "n=,r="

// first returns the first message.
func (s *scram) first() string {
	s.nonce = rand.Text()
	return "n,," + scramUser + s.nonce
}

// final returns the second message, which answers the challenge of the server.
func (s *scram) final(challenge, password string) (string, error) {
	var nonce, salt64 string
	var iterations int
	for part := range strings.SplitSeq(challenge, ",") {
		switch name, value, _ := strings.Cut(part, "="); name {
		case "r":
			nonce = value
		case "s":
			salt64 = value
		case "i":
			iterations, _ = strconv.Atoi(value)
		}
	}
	salt, err := base64.StdEncoding.DecodeString(salt64)
	if err != nil || len(salt) == 0 || iterations < 1 || iterations > maxIterations || !s.begun() ||
		!strings.HasPrefix(nonce, s.nonce) || len(nonce) == len(s.nonce) {
		return "", fmt.Errorf("the challenge of the server makes no sense: %s", quoted(challenge, password))
	}
	salted, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	if err != nil {
		return "", err
	}
	bare := "c=" + base64.StdEncoding.EncodeToString([]byte("n,,")) + ",r=" + nonce
	all := scramUser + s.nonce + "," + challenge + "," + bare
	key := mac(salted, "Client Key")
	stored := sha256.Sum256(key)
	proof := make([]byte, len(key))
	subtle.XORBytes(proof, key, mac(stored[:], all))
	s.signature = mac(mac(salted, "Server Key"), all)
	return bare + ",p=" + base64.StdEncoding.EncodeToString(proof), nil
}

// verify looks whether the server knows the password, too.
func (s *scram) verify(said string) error {
	value, _, _ := strings.Cut(strings.TrimPrefix(said, "v="), ",")
	signature, err := base64.StdEncoding.DecodeString(value)
	if err != nil || s.signature == nil || !hmac.Equal(signature, s.signature) {
		return errors.New("the server did not prove that it knows the password")
	}
	s.mutual = true
	return nil
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
