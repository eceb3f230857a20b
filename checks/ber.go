package checks

import (
	"bytes"
	"encoding/binary"
)

// What LDAP and Kerberos use of the Basic Encoding Rules (X.690, as RFC 4511 section 5.1
// restricts them): an element is a tag of one byte, a definite length, and a value. What is
// written keeps to the Distinguished Encoding Rules, too, which Kerberos wants.

// The tags of the universal types.
const (
	berBoolean     = 0x01
	berInteger     = 0x02
	berOctetString = 0x04
	berEnumerated  = 0x0a
	berSequence    = 0x30
	berSet         = 0x31
)

// berTLV encodes an element whose value is the parts, one after the other.
func berTLV(tag byte, parts ...[]byte) []byte {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	out := []byte{tag, byte(n)}
	if n > 0x7f {
		long := bytes.TrimLeft(binary.BigEndian.AppendUint32(nil, uint32(n)), "\x00")
		out = append([]byte{tag, 0x80 | byte(len(long))}, long...)
	}
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// berNumber encodes a number from 0 to 1<<31-1.
func berNumber(tag byte, n int) []byte {
	value := []byte{byte(n)}
	for n >= 0x80 { // the highest bit is the sign
		n >>= 8
		value = append([]byte{byte(n)}, value...)
	}
	return berTLV(tag, value)
}

// berReader reads elements one after the other. Once one is not as it has to be, bad stays
// true, and all that is read is empty.
type berReader struct {
	rest []byte
	bad  bool
}

// next returns the next element, of which the value is a part of what is read.
func (r *berReader) next() (tag byte, value []byte) {
	if r.bad || len(r.rest) < 2 {
		r.bad = true
		return 0, nil
	}
	tag, length, rest := r.rest[0], uint64(r.rest[1]), r.rest[2:]
	if length > 0x7f {
		wide := int(length & 0x7f)
		if wide == 0 || wide > 4 || wide > len(rest) {
			r.bad = true
			return 0, nil
		}
		length = 0
		for _, b := range rest[:wide] {
			length = length<<8 | uint64(b)
		}
		rest = rest[wide:]
	}
	if length > uint64(len(rest)) {
		r.bad = true
		return 0, nil
	}
	r.rest = rest[length:]
	return tag, rest[:length]
}

// want returns the value of the next element, which must have that tag.
func (r *berReader) want(tag byte) []byte {
	got, value := r.next()
	if got != tag {
		r.bad = true
		return nil
	}
	return value
}

// number returns the next element as a number, which must not be negative.
func (r *berReader) number(tag byte) int {
	value := r.want(tag)
	if r.bad || len(value) == 0 || len(value) > 4 || value[0] > 0x7f {
		r.bad = true
		return 0
	}
	n := 0
	for _, b := range value {
		n = n<<8 | int(b)
	}
	return n
}

// texts returns the values of all elements that are left, which must be strings.
func (r *berReader) texts() []string {
	var all []string
	for !r.bad && len(r.rest) > 0 {
		if value := r.want(berOctetString); !r.bad {
			all = append(all, string(value))
		}
	}
	return all
}
