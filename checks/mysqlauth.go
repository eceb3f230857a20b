package checks

import (
	"bytes"
	"cmp"
	"crypto/sha1" //nolint:gosec // what mysql_native_password is made of
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
)

// What a client and a server can do, of the capabilities of the protocol.
const (
	mysqlLongPassword = 1 << 0
	mysqlProtocol41   = 1 << 9
	mysqlTLS          = 1 << 11
	mysqlSaltedHash   = 1 << 15
	mysqlPlugins      = 1 << 19
)

// mysqlGreeting is the first packet of a server.
type mysqlGreeting struct {
	version string
	salt    []byte
	can     uint32
	plugin  string // of authentication
}

// readGreeting reads version 10 of the greeting, which every server since 1998 sends.
func readGreeting(packet []byte) (mysqlGreeting, error) {
	var g mysqlGreeting
	version, rest, ok := bytes.Cut(packet[1:], []byte{0})
	// The connection, 8 bytes of salt, 0, capabilities, character set, status, more
	// capabilities, the length of the salt, 10 bytes for nothing, the rest of the salt.
	const fixed = 4 + 8 + 1 + 2 + 1 + 2 + 2 + 1 + 10
	if packet[0] != 10 || !ok || len(rest) < fixed+12 {
		return g, notMySQL(packet)
	}
	g.version = string(version)
	g.can = uint32(binary.LittleEndian.Uint16(rest[13:])) | uint32(binary.LittleEndian.Uint16(rest[18:]))<<16
	g.salt = append(append(g.salt, rest[4:12]...), rest[fixed:fixed+12]...)
	if len(rest) > fixed+13 {
		plugin, _, _ := bytes.Cut(rest[fixed+13:], []byte{0})
		g.plugin = string(plugin)
	}
	if g.can&mysqlProtocol41 == 0 || g.can&mysqlSaltedHash == 0 {
		return g, fmt.Errorf("the server (version %s) is older than keepcast knows", excerpt(version))
	}
	return g, nil
}

// login reads the greeting and logs in; over TLS if secure is not nil.
func (c *mysqlConn) login(secure *tls.Config) error {
	s := sight(c.ctx)
	s.waits("the greeting")
	packet, err := c.next()
	if err != nil {
		return fmt.Errorf("greeting: %w", err)
	}
	greeting, err := readGreeting(packet)
	if err != nil {
		return fmt.Errorf("greeting: %w", err)
	}
	s.saw("greeting", "version %s", quotation(greeting.version))
	// What comes first in both, up to the reserved bytes: capabilities, the longest packet,
	// the character set (45: utf8mb4).
	can := uint32(mysqlLongPassword | mysqlProtocol41 | mysqlSaltedHash | mysqlPlugins)
	if secure != nil {
		can |= mysqlTLS
	}
	hello := binary.LittleEndian.AppendUint32(nil, can)
	hello = binary.LittleEndian.AppendUint32(hello, maxMySQLPacket)
	hello = append(append(hello, 45), make([]byte, 23)...)
	if secure != nil {
		if greeting.can&mysqlTLS == 0 {
			return errors.New("the server speaks no TLS")
		}
		if err := c.send(hello); err != nil {
			return err
		}
		conn, err := startTLS(c.ctx, c.conn, secure)
		if err != nil {
			return err
		}
		c.over(conn)
	}
	user := cmp.Or(c.user, "keepcast")
	s.waits("an answer to the login of %s", user)
	plugin := cmp.Or(greeting.plugin, nativePassword)
	proof, err := proofOf(plugin, c.password, greeting.salt)
	if err != nil { // the server will say which one it wants of this user
		plugin = nativePassword
		proof = nativeProof(c.password, greeting.salt)
	}
	hello = append(append(hello, user...), 0, byte(len(proof)))
	hello = append(append(hello, proof...), plugin...)
	if err := c.send(append(hello, 0)); err != nil {
		return err
	}
	if err := c.admission(); err != nil {
		return fmt.Errorf("logging in as %s: %w", user, err)
	}
	s.saw("answer", "lets in %s", user)
	return nil
}

// admission does what the server asks for until it lets the user in.
func (c *mysqlConn) admission() error {
	for {
		packet, err := c.next()
		if err != nil {
			return err
		}
		switch {
		case packet[0] == mysqlOK:
			return nil
		case packet[0] == mysqlMore && bytes.Equal(packet[1:], []byte{3}): // remembered: OK follows
			continue
		case packet[0] == mysqlMore && bytes.Equal(packet[1:], []byte{4}): // not remembered
			if !c.secret {
				return errors.New("the server does not remember the password, which is sent over TLS or a unix socket only")
			}
			err = c.send([]byte(c.password + "\x00"))
		case packet[0] == mysqlEOF && len(packet) > 1:
			plugin, salt, _ := bytes.Cut(packet[1:], []byte{0})
			var proof []byte
			if proof, err = proofOf(string(plugin), c.password, bytes.TrimSuffix(salt, []byte{0})); err == nil {
				err = c.send(proof)
			}
		default:
			return notMySQL(packet)
		}
		if err != nil {
			return err
		}
	}
}

// The ways of proving to know a password.
const (
	nativePassword = "mysql_native_password" //nolint:gosec // the name of a plugin
	cachingSHA2    = "caching_sha2_password"
)

// proofOf proves in the way of a plugin to know a password. Without one the proof is empty,
// and then it does not matter which plugin it is.
func proofOf(plugin, password string, salt []byte) ([]byte, error) {
	switch {
	case plugin == nativePassword, password == "":
		return nativeProof(password, salt), nil
	case plugin == cachingSHA2:
		return sha2Proof(password, salt), nil
	}
	return nil, fmt.Errorf("the server wants authentication by %s, which keepcast does not know", excerpt([]byte(plugin)))
}

// nativeProof is SHA1(password) XOR SHA1(salt, SHA1(SHA1(password))).
func nativeProof(password string, salt []byte) []byte {
	if password == "" {
		return nil
	}
	once := sha1.Sum([]byte(password))                       //nolint:gosec // see the import
	twice := sha1.Sum(once[:])                               //nolint:gosec // see the import
	mask := sha1.Sum(append(bytes.Clone(salt), twice[:]...)) //nolint:gosec // see the import
	proof := make([]byte, len(once))
	subtle.XORBytes(proof, once[:], mask[:])
	return proof
}

// sha2Proof is SHA256(password) XOR SHA256(SHA256(SHA256(password)), salt).
func sha2Proof(password string, salt []byte) []byte {
	once := sha256.Sum256([]byte(password))
	twice := sha256.Sum256(once[:])
	mask := sha256.Sum256(append(twice[:], salt...))
	proof := make([]byte, len(once))
	subtle.XORBytes(proof, once[:], mask[:])
	return proof
}
