package checks

import (
	"bytes"
	"encoding/asn1"
	"encoding/hex"
	"strings"
	"testing"
)

func TestBER(t *testing.T) {
	for _, n := range []int{0, 1, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x10000, 1<<31 - 1} {
		var got int
		if rest, err := asn1.Unmarshal(berNumber(berInteger, n), &got); err != nil || len(rest) > 0 || got != n {
			t.Errorf("%d became %d: %v", n, got, err)
		}
		if r := (&berReader{rest: berNumber(berInteger, n)}); r.number(berInteger) != n || r.bad || len(r.rest) > 0 {
			t.Errorf("%d is not read", n)
		}
	}
	for _, n := range []int{0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x10000} {
		var got []byte
		value := bytes.Repeat([]byte("a"), n)
		if _, err := asn1.Unmarshal(berTLV(berOctetString, value), &got); err != nil || !bytes.Equal(got, value) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func TestBERReader(t *testing.T) {
	for name, tt := range map[string]struct {
		raw  string
		want string // bad: not to be read
	}{
		"short":           {raw: "0403616263", want: "abc"},
		"longer":          {raw: "04840000000161", want: "a"},
		"not as short":    {raw: "04810161", want: "a"},
		"empty":           {raw: "0400", want: ""},
		"rest":            {raw: "04016104", want: "a"},
		"other":           {raw: "020161", want: "bad"},
		"nothing":         {raw: "", want: "bad"},
		"only tag":        {raw: "04", want: "bad"},
		"ends":            {raw: "040261", want: "bad"},
		"indefinite":      {raw: "0480610000", want: "bad"},
		"length ends":     {raw: "04820001", want: "bad"},
		"length cut":      {raw: "0482", want: "bad"},
		"length too wide": {raw: "0485000000000161", want: "bad"},
		"huge":            {raw: "0484ffffffff61", want: "bad"},
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := hex.DecodeString(tt.raw)
			if err != nil {
				t.Fatal(err)
			}
			r := &berReader{rest: raw}
			got := string(r.want(berOctetString))
			if r.bad {
				got += "bad"
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	for raw, want := range map[string]int{"\x01\x05": 5, "\x02\x01\x00": 256, "\x04\x7f\xff\xff\xff": 1<<31 - 1, "\x00": -1, "\x01\xff": -1, "\x05\x00\x00\x00\x00\x01": -1} {
		r := &berReader{rest: []byte("\x02" + raw)}
		if got := r.number(berInteger); r.bad != (want < 0) || got != max(0, want) {
			t.Errorf("%q: got %d, %t", raw, got, r.bad)
		}
	}
	r := &berReader{rest: []byte("\x02\x01\x05\x04\x01a")}
	if r.texts(); !r.bad || r.want(berOctetString) != nil || r.number(berInteger) != 0 || len(r.texts()) > 0 {
		t.Error("reads on after what is bad")
	}
}

// FuzzBER compares what is read with what encoding/asn1 reads, which is stricter.
func FuzzBER(f *testing.F) {
	f.Add([]byte("0\x84\x00\x00\x00\x01a"))
	f.Add([]byte("\x04\x81\x80" + strings.Repeat("a", 0x80)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		r := &berReader{rest: raw}
		tag, value := r.next()
		var e asn1.RawValue
		rest, err := asn1.Unmarshal(raw, &e)
		if err != nil || e.Tag >= 0x1f {
			return
		}
		if r.bad || tag != raw[0] || !bytes.Equal(value, e.Bytes) || !bytes.Equal(r.rest, rest) {
			t.Errorf("%x: got %x %x", raw, tag, value)
		}
		if !bytes.Equal(berTLV(tag, value), e.FullBytes) {
			t.Errorf("%x became %x", e.FullBytes, berTLV(tag, value))
		}
	})
}
