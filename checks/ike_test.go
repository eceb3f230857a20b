package checks

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"
)

// ikeAnswer answers an IKE_SA_INIT with payloads, the first of which is of the kind first.
func ikeAnswer(q []byte, first byte, payloads ...[]byte) []byte {
	body := slices.Concat(payloads...)
	out := append(slices.Clone(q[:8]), "responds"...)
	out = append(out, first, 0x20, 34, 0x20, 0, 0, 0, 0)
	return append(binary.BigEndian.AppendUint32(out, uint32(28+len(body))), body...)
}

// notification is a notify payload, the last one.
func notification(kind uint16, data ...byte) []byte {
	return payload(0, append(binary.BigEndian.AppendUint16([]byte{0, 0}, kind), data...))
}

// wantsCookie answers with a cookie first, and with 14 to a message that has it.
func wantsCookie(q []byte) []byte {
	const cookie = "a cookie"
	if q[16] == 41 && string(q[36:36+len(cookie)]) == cookie {
		return ikeAnswer(q, 41, notification(17, 0, 14))
	}
	return ikeAnswer(q, 41, notification(16390, []byte(cookie)...))
}

func TestIKE(t *testing.T) {
	answers := func(first byte, payloads ...[]byte) func([]byte) []byte {
		return func(q []byte) []byte { return ikeAnswer(q, first, payloads...) }
	}
	notifies := func(kind uint16, data ...byte) func([]byte) []byte { return answers(41, notification(kind, data...)) }
	changed := func(at int, to byte) func([]byte) []byte {
		return func(q []byte) []byte {
			out := ikeAnswer(q, 41, notification(17, 0, 14))
			out[at] = to
			return out
		}
	}
	for name, tt := range map[string]struct {
		serve func([]byte) []byte
		any   bool // whatever it proposes
		natT  bool
		err   string
	}{
		"wants another group": {serve: notifies(17, 0, 14)},
		"accepts":             {serve: answers(33, payload(41, []byte("proposal")), notification(16404))},
		"after a cookie":      {serve: wantsCookie},
		"behind the mark": {natT: true, serve: func(q []byte) []byte {
			if string(q[:4]) != "\x00\x00\x00\x00" {
				return nil
			}
			return append(make([]byte, 4), ikeAnswer(q[4:], 41, notification(17, 0, 31))...)
		}},
		"no mark": {
			natT: true, serve: func([]byte) []byte { return []byte("abcdef") },
			err: `ADDR: the answer does not begin with the mark of NAT traversal: "abcdef"`,
		},
		"no mark, too short": {
			natT: true, serve: func([]byte) []byte { return []byte{0, 0} },
			err: `ADDR: the answer does not begin with the mark of NAT traversal: "\x00\x00"`,
		},
		"no proposal": {
			serve: notifies(14),
			err: "ADDR: answers NO_PROPOSAL_CHOSEN: none of its connections takes the ciphers that keepcast offers, none is for keepcast's address, " +
				"or none is loaded",
		},
		"no proposal will do": {any: true, serve: notifies(14)},
		"unoffered group":     {serve: notifies(17, 0, 1), err: "ADDR: answers INVALID_KE_PAYLOAD and asks for group 1, which was not offered"},
		"nobody's group":      {serve: notifies(17, 255, 255), err: "ADDR: answers INVALID_KE_PAYLOAD and asks for group 65535, which was not offered"},
		"no group":            {serve: notifies(17), err: "ADDR: answers INVALID_KE_PAYLOAD without the group that it wants"},
		"unknown group":       {serve: notifies(7), err: "ADDR: answers INVALID_SYNTAX: it refuses a group that it does not know, as libreswan does, so set require_proposal: false"},
		"libreswan":           {any: true, serve: notifies(7)},
		"no major version":    {any: true, serve: notifies(5), err: "ADDR: answers INVALID_MAJOR_VERSION"},
		"unknown error":       {serve: notifies(8192), err: "ADDR: answers with error 8192"},
		"a status alone":      {serve: notifies(16404), err: "ADDR: the answer neither accepts a proposal nor says why not"},
		"nothing in it":       {serve: answers(0), err: "ADDR: the answer neither accepts a proposal nor says why not"},
		"cookie again": {
			serve: notifies(16390, 1), err: "ADDR: wants a cookie again, though it got back the one that it gave",
		},
		"cookie too long":    {serve: notifies(16390, make([]byte, 65)...), err: "ADDR: wants a cookie of 65 bytes back, which are 1 to 64"},
		"cookie of nothing":  {serve: notifies(16390), err: "ADDR: wants a cookie of 0 bytes back, which are 1 to 64"},
		"short notification": {serve: answers(41, payload(0, []byte{0, 0, 0})), err: "ADDR: a notification of the answer is too short"},
		"short, with an SPI": {serve: answers(41, payload(0, []byte{0, 8, 0, 14, 1})), err: "ADDR: a notification of the answer is too short"},
		"cut off":            {serve: answers(41), err: "ADDR: the answer ends before its last payload"},
		"payload of nothing": {serve: answers(41, []byte{0, 0, 0, 3}), err: "ADDR: payload 41 of the answer says that it has 3 bytes, of 4"},
		"payload too long":   {serve: answers(41, []byte{0, 0, 0, 9, 0, 0, 0, 14}), err: "ADDR: payload 41 of the answer says that it has 9 bytes, of 8"},
		"another SA":         {serve: func([]byte) []byte { return []byte(strings.Repeat("a", 28)) }, err: `ADDR: the answer is for another SA: "aaaaaaaaaaaaaaaa"...`},
		"garbage":            {serve: func([]byte) []byte { return []byte("what?") }, err: `ADDR: the answer is no message of IKE: "what?"`},
		"old version":        {serve: changed(17, 0x10), err: "ADDR: answers in version 1 of IKE, expected 2"},
		"another exchange": {
			serve: changed(18, 35), err: "ADDR: answers with exchange 35, flags 0x20, message 0, expected the response to IKE_SA_INIT (34, 0x20, 0)",
		},
		"a request": {
			serve: changed(19, 0), err: "ADDR: answers with exchange 34, flags 0x0, message 0, expected the response to IKE_SA_INIT (34, 0x20, 0)",
		},
		"an echo of it": {
			serve: changed(19, 0x28), err: "ADDR: answers with exchange 34, flags 0x28, message 0, expected the response to IKE_SA_INIT (34, 0x20, 0)",
		},
		"another message": {
			serve: changed(23, 1), err: "ADDR: answers with exchange 34, flags 0x20, message 1, expected the response to IKE_SA_INIT (34, 0x20, 0)",
		},
		"another length": {serve: changed(27, 39), err: "ADDR: the answer says that it has 39 bytes, and has 38"},
		"says nothing":   {serve: func([]byte) []byte { return nil }, err: "ADDR: waiting for the answer to IKE_SA_INIT: timed out"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := IKE{Address: byDatagram(t, tt.serve), NATT: tt.natT, RequireProposal: !tt.any}
			ctx := within(t)
			if strings.Contains(tt.err, "timed out") {
				ctx = shortly(t)
			}
			sameError(t, c.Check(ctx), tt.err, c.Address)
		})
	}
	t.Run("refused", func(t *testing.T) {
		c := IKE{Address: closedPort(t)}
		err := c.Check(within(t))
		if err == nil || !strings.HasSuffix(err.Error(), "connection refused") {
			t.Errorf("got %v", err)
		}
	})
}

func TestIKEValidate(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.1":     "",
		"192.0.2.1:501": "",
		"2001:db8::1":   "",
		"[2001:db8::1]": "",
		"[::1]:500":     "",
		"vpn.example":   "",
		"vpn.example:1": "",
		"":              `address: "" is no address, host or either with a port`,
		":500":          `address: ":500" is no address, host or either with a port`,
		"::1:xyz":       `address: "::1:xyz" is no address, host or either with a port`,
		"a b":           `address: "a b" is no address, host or either with a port`,
		"a:isakmp":      `address: "isakmp" is no port from 1 to 65535`,
		"a:0":           `address: "0" is no port from 1 to 65535`,
	} {
		t.Run(address, func(t *testing.T) { sameError(t, (&IKE{Address: address}).Validate(), want, "") })
	}
	for address, want := range map[string]string{"192.0.2.1": "192.0.2.1:500", "::1": "[::1]:500", "a": "a:500", "[::1]:4500": "[::1]:4500"} {
		if _, got, err := withPort("address", address, "500"); got != want || err != nil {
			t.Errorf("%s is %s, want %s (%v)", address, got, want, err)
		}
	}
}

func FuzzIKE(f *testing.F) {
	q := newInit().message()
	f.Add(ikeAnswer(q, 41, notification(17, 0, 14)))
	f.Add(ikeAnswer(q, 33, payload(41, []byte("proposal")), notification(16404)))
	f.Add(wantsCookie(q))
	f.Fuzz(func(t *testing.T, m []byte) {
		var spi [8]byte
		copy(spi[:], m)
		if a, err := parseInit(spi, m); err == nil && !a.chosen && a.notify == 0 && len(a.cookie) == 0 {
			t.Errorf("%x says nothing, and is an answer", m)
		}
	})
}
