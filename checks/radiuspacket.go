package checks

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // RADIUS knows nothing else
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Codes of packets (RFC 2865 section 3, RFC 2866 section 3, RFC 5997).
const (
	radiusAccess     = 1
	radiusAccept     = 2
	radiusReject     = 3
	radiusAccounting = 5 // Accounting-Response
	radiusChallenge  = 11
	radiusStatus     = 12
)

// radiusCode is the code of a packet.
type radiusCode byte

// String returns the name.
func (c radiusCode) String() string {
	names := map[radiusCode]string{
		radiusAccess: "Access-Request", radiusAccept: "Access-Accept", radiusReject: "Access-Reject",
		radiusAccounting: "Accounting-Response", radiusChallenge: "Access-Challenge", radiusStatus: "Status-Server",
		52: "Protocol-Error", // RFC 7930
	}
	if name, ok := names[c]; ok {
		return name
	}
	return "code " + strconv.Itoa(int(c))
}

// Types of attributes (RFC 2865 section 5, RFC 3579 section 3.2).
const (
	radiusUser     = 1
	radiusPassword = 2
	radiusText     = 18 // Reply-Message
	radiusNAS      = 32 // NAS-Identifier
	radiusSigned   = 80 // Message-Authenticator
)

// Lengths in bytes (RFC 2865 sections 3 and 5).
const (
	radiusHead   = 20
	maxRadius    = 4096
	maxAttribute = 253
	maxPassword  = 128
)

// radiusAttribute encodes an attribute, whose value is not longer than maxAttribute.
func radiusAttribute(kind byte, value []byte) []byte {
	return append([]byte{kind, byte(2 + len(value))}, value...)
}

// radiusRequest encodes a request with a Message-Authenticator. That goes first, as the
// remedy for Blast-RADIUS has it.
func radiusRequest(code, id byte, authenticator, secret []byte, attributes ...[]byte) []byte {
	packet := append([]byte{code, id, 0, 0}, authenticator...)
	packet = append(packet, radiusAttribute(radiusSigned, make([]byte, md5.Size))...)
	packet = append(packet, bytes.Join(attributes, nil)...)
	binary.BigEndian.PutUint16(packet[2:], uint16(len(packet)))
	copy(packet[radiusHead+2:], signRadius(packet, secret))
	return packet
}

// signRadius returns the Message-Authenticator of a packet in which that is zero.
func signRadius(packet, secret []byte) []byte {
	mac := hmac.New(md5.New, secret)
	mac.Write(packet)
	return mac.Sum(nil)
}

// hidePassword encodes a User-Password (RFC 2865 section 5.2): each block is hidden by a
// hash of the one before.
func hidePassword(password, secret, authenticator []byte) []byte {
	blocks := (len(password) + md5.Size - 1) / md5.Size
	hidden := make([]byte, blocks*md5.Size)
	before := authenticator
	for at := 0; at < len(hidden); at += md5.Size {
		mask := md5.Sum(append(bytes.Clone(secret), before...)) //nolint:gosec // as above
		block := hidden[at : at+md5.Size]
		copy(block, password[at:])
		subtle.XORBytes(block, block, mask[:])
		before = block
	}
	return hidden
}

// radiusAnswer is what a check reads of an answer.
type radiusAnswer struct {
	code       byte
	signed     bool // has a Message-Authenticator, which is right
	attributes []byte
}

// parseRadius reads the answer to a request, and says why it can't be trusted.
func parseRadius(raw, request, secret []byte) (radiusAnswer, error) {
	if len(raw) < radiusHead {
		return radiusAnswer{}, fmt.Errorf("no RADIUS: %s", excerpt(raw))
	}
	size := int(binary.BigEndian.Uint16(raw[2:]))
	if size < radiusHead || size > len(raw) {
		return radiusAnswer{}, fmt.Errorf("no RADIUS: %s", excerpt(raw))
	}
	if raw[1] != request[1] {
		return radiusAnswer{}, errors.New("the answer is to another request")
	}
	// What is behind the length is padding (RFC 2865 section 3).
	packet := bytes.Clone(raw[:size])
	said := bytes.Clone(packet[4:radiusHead])
	copy(packet[4:], request[4:radiusHead])
	sum := md5.Sum(append(bytes.Clone(packet), secret...)) //nolint:gosec // as above
	if !hmac.Equal(sum[:], said) {
		return radiusAnswer{}, errors.New("the Response Authenticator is wrong: the server has another secret, or somebody else answers")
	}
	signed, err := checkSigned(packet, secret)
	if err != nil {
		return radiusAnswer{}, err
	}
	return radiusAnswer{code: packet[0], signed: signed, attributes: packet[radiusHead:]}, nil
}

// eachAttribute calls each with every attribute.
func eachAttribute(attributes []byte, each func(kind byte, value []byte)) error {
	for rest := attributes; len(rest) > 0; {
		if len(rest) < 2 || rest[1] < 2 || int(rest[1]) > len(rest) {
			return errors.New("the attributes of the answer are broken")
		}
		each(rest[0], rest[2:rest[1]])
		rest = rest[rest[1]:]
	}
	return nil
}

// checkSigned reports whether a packet with the authenticator of its request has a
// Message-Authenticator (RFC 3579 section 3.2), and says what is wrong with it.
func checkSigned(packet, secret []byte) (signed bool, err error) {
	var values [][]byte
	if err := eachAttribute(packet[radiusHead:], func(kind byte, value []byte) {
		if kind == radiusSigned {
			values = append(values, value)
		}
	}); err != nil || len(values) == 0 {
		return false, err
	}
	said := bytes.Clone(values[0])
	clear(values[0]) // in the packet
	if len(values) > 1 || !hmac.Equal(signRadius(packet, secret), said) {
		return false, errors.New("the Message-Authenticator of the answer is wrong")
	}
	return true, nil
}

// says words the answer, with what the server tells the user. That may repeat the password.
func (a radiusAnswer) says(password string) string {
	var text strings.Builder
	_ = eachAttribute(a.attributes, func(kind byte, value []byte) { // they were read once
		if kind == radiusText {
			text.Write(value)
		}
	})
	if text.Len() == 0 {
		return radiusCode(a.code).String()
	}
	return radiusCode(a.code).String() + ": " + quoted(text.String(), password)
}
