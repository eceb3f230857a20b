// Package community has the communities of BGP as a configuration writes them.
package community

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Standard is a BGP community (RFC 1997).
type Standard struct{ High, Low uint16 }

// wellKnown returns the communities that have a name (IANA, BGP Well-known
// Communities).
func wellKnown() map[string]Standard {
	return map[string]Standard{
		"graceful-shutdown":   {65535, 0},     // RFC 8326
		"accept-own":          {65535, 1},     // RFC 7611
		"llgr-stale":          {65535, 6},     // RFC 9494
		"no-llgr":             {65535, 7},     // RFC 9494
		"blackhole":           {65535, 666},   // RFC 7999
		"no-export":           {65535, 65281}, // RFC 1997
		"no-advertise":        {65535, 65282}, // RFC 1997
		"no-export-subconfed": {65535, 65283}, // RFC 1997
		"no-peer":             {65535, 65284}, // RFC 3765
	}
}

// Syntax names the type in the reference.
func (Standard) Syntax() string { return "community" }

// UnmarshalText reads 65001:100 or the name of a well-known community.
func (c *Standard) UnmarshalText(text []byte) error {
	s := string(text)
	if known, ok := wellKnown()[s]; ok {
		*c = known
		return nil
	}
	parts, err := numbers(s, 2, 16)
	if err != nil {
		return fmt.Errorf("%q is no community: two numbers up to 65535, such as 65001:100, or one of %s",
			s, strings.Join(slices.Sorted(maps.Keys(wellKnown())), ", "))
	}
	*c = Standard{uint16(parts[0]), uint16(parts[1])}
	return nil
}

// String returns the numeric form, which every daemon reads.
func (c Standard) String() string { return fmt.Sprintf("%d:%d", c.High, c.Low) }

// Large is a large BGP community (RFC 8092).
type Large struct{ Global, Local1, Local2 uint32 }

// Syntax names the type in the reference.
func (Large) Syntax() string { return "large community" }

// UnmarshalText reads 65001:1:2.
func (c *Large) UnmarshalText(text []byte) error {
	parts, err := numbers(string(text), 3, 32)
	if err != nil {
		return fmt.Errorf("%q is no large community: three numbers up to 4294967295, such as 65001:1:2", text)
	}
	*c = Large{uint32(parts[0]), uint32(parts[1]), uint32(parts[2])}
	return nil
}

// String returns the canonical form (RFC 8092, section 4.1).
func (c Large) String() string { return fmt.Sprintf("%d:%d:%d", c.Global, c.Local1, c.Local2) }

// numbers reads count decimal numbers of so many bits with colons between them.
func numbers(text string, count, bits int) ([]uint64, error) {
	words := strings.Split(text, ":")
	if len(words) != count {
		return nil, fmt.Errorf("%d numbers expected", count)
	}
	out := make([]uint64, count)
	for i, w := range words {
		n, err := strconv.ParseUint(w, 10, bits)
		if err != nil {
			return nil, err
		}
		out[i] = n
	}
	return out, nil
}
