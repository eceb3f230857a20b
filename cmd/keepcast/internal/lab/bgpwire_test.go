package lab

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// wire is a message with a header.
func wire(kind BGPType, body string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(body, " ", ""))
	if err != nil {
		panic(err)
	}
	size := bgpHeader + len(b)
	return append(append(bytes.Clone(bgpMarker), byte(size>>8), byte(size), byte(kind)), b...)
}

var bgpMessages = map[string]struct {
	bytes []byte
	want  BGPMessage
	err   bool
}{
	"keepalive":     {bytes: wire(BGPKeepalive, ""), want: BGPMessage{Type: BGPKeepalive}},
	"route refresh": {bytes: wire(BGPRouteRefresh, "0001 01 01"), want: BGPMessage{Type: BGPRouteRefresh}},
	"end of rib":    {bytes: wire(BGPUpdate, "0000 0000"), want: BGPMessage{Type: BGPUpdate}},
	"withdraw": {
		bytes: wire(BGPUpdate, "0005 20c6336402 0000"),
		want:  BGPMessage{Type: BGPUpdate, Withdrawn: []netip.Prefix{netip.MustParsePrefix("198.51.100.2/32")}},
	},
	"announce": { // with ORIGIN and MED, two prefixes
		bytes: wire(BGPUpdate, "0000 000b 40010100 800404000003e8 20c6336402 18c63364"),
		want: BGPMessage{Type: BGPUpdate, MED: 1000, Announced: []netip.Prefix{
			netip.MustParsePrefix("198.51.100.2/32"), netip.MustParsePrefix("198.51.100.0/24"),
		}},
	},
	"announce IPv6": {
		bytes: wire(BGPUpdate, "0000 002a 900e0026 0002 01 10 fd990001000000000000000000000001 00 7f 20010db8010000000000000000000002"),
		want:  BGPMessage{Type: BGPUpdate, Announced: []netip.Prefix{netip.MustParsePrefix("2001:db8:100::2/127")}},
	},
	"withdraw IPv6": {
		bytes: wire(BGPUpdate, "0000 000d 800f0a 0002 01 30 20010db80100"),
		want:  BGPMessage{Type: BGPUpdate, Withdrawn: []netip.Prefix{netip.MustParsePrefix("2001:db8:100::/48")}},
	},
	"no marker":     {bytes: make([]byte, 19), err: true},
	"short update":  {bytes: wire(BGPUpdate, "0000"), err: true},
	"long prefix":   {bytes: wire(BGPUpdate, "0006 2120010db801 0000"), err: true},
	"cut attribute": {bytes: wire(BGPUpdate, "0000 0003 800404"), err: true},
}

func TestBGPMessages(t *testing.T) {
	for name, c := range bgpMessages {
		t.Run(name, func(t *testing.T) {
			next := []byte{0xff, 0xff}
			got, rest, err := nextBGP(append(bytes.Clone(c.bytes), next...))
			if c.err {
				if !errors.Is(err, errBGP) {
					t.Fatalf("error %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got, cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{})); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
			if !bytes.Equal(rest, next) {
				t.Errorf("the rest is %x", rest)
			}
			part := c.bytes[:len(c.bytes)-1]
			if _, rest, err := nextBGP(part); err != nil || !bytes.Equal(rest, part) {
				t.Errorf("of a message that is not complete: rest %x, error %v", rest, err)
			}
		})
	}
}

func FuzzBGP(f *testing.F) {
	for _, c := range bgpMessages {
		f.Add(c.bytes)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, rest, err := nextBGP(b)
		if err == nil && len(rest) != len(b) && m.Type != BGPUpdate && len(m.Announced)+len(m.Withdrawn) > 0 {
			t.Errorf("prefixes in a message of type %d", m.Type)
		}
	})
}
