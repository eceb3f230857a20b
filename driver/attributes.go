package driver

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Attributes are what a prefix is announced with. What is nil or empty is left
// to the daemon. Each protocol takes those that it has.
type Attributes struct {
	MED              *uint32          `config:"med" min:"0" max:"4294967295" doc:"MED (multi-exit discriminator) of BGP. Routers prefer the lowest; none counts as 0."`
	LocalPref        *uint32          `config:"local_pref" min:"0" max:"4294967295" doc:"Local preference towards iBGP neighbors. Routers prefer the highest; 100 is usual."`
	Prepend          int              `config:"prepend" min:"0" max:"10" doc:"How often the own AS is repeated in the path towards eBGP neighbors. Routers prefer the shortest path. The BIRD driver needs its setting as for it, FRR the route-map KEEPCAST-EBGP at the neighbors."`
	Communities      []Community      `config:"communities" doc:"BGP communities (RFC 1997), such as 65001:100, or a well-known one by its name, such as graceful-shutdown (RFC 8326) or no-export."`
	LargeCommunities []LargeCommunity `config:"large_communities" doc:"Large BGP communities (RFC 8092), such as 65001:1:2."`
	Metric           *uint32          `config:"metric" min:"0" max:"16777214" doc:"Metric in OSPF (external, type 2), IS-IS (wide) and Babel. RIP counts to 15 only and takes at most 8 of it."`
}

// PrependMax is the most that prepend may be, as its declaration says.
const PrependMax = 10

// The most that the small scales take of a metric, so that it does not mean unreachable.
const (
	RIPMetricMax   = 8     // 16 is unreachable, and each hop adds one (RFC 2453, 3.6)
	BabelMetricMax = 60000 // 65535 is unreachable, and each link adds its cost (RFC 8966, 3.5)
)

// Equal reports whether a and b are the same attributes. The order of the
// communities counts: they come from a configuration, not from a daemon.
func (a Attributes) Equal(b Attributes) bool { return reflect.DeepEqual(a, b) }

// IsZero reports whether there are none.
func (a Attributes) IsZero() bool { return a.Equal(Attributes{}) }

// Community is a BGP community (RFC 1997).
type Community struct{ High, Low uint16 }

// wellKnown returns the communities that have a name (IANA, BGP Well-known
// Communities).
func wellKnown() map[string]Community {
	return map[string]Community{
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
func (Community) Syntax() string { return "community" }

// UnmarshalText reads 65001:100 or the name of a well-known community.
func (c *Community) UnmarshalText(text []byte) error {
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
	*c = Community{uint16(parts[0]), uint16(parts[1])}
	return nil
}

// String returns the numeric form, which every daemon reads.
func (c Community) String() string { return fmt.Sprintf("%d:%d", c.High, c.Low) }

// LargeCommunity is a large BGP community (RFC 8092).
type LargeCommunity struct{ Global, Local1, Local2 uint32 }

// Syntax names the type in the reference.
func (LargeCommunity) Syntax() string { return "large community" }

// UnmarshalText reads 65001:1:2.
func (c *LargeCommunity) UnmarshalText(text []byte) error {
	parts, err := numbers(string(text), 3, 32)
	if err != nil {
		return fmt.Errorf("%q is no large community: three numbers up to 4294967295, such as 65001:1:2", text)
	}
	*c = LargeCommunity{uint32(parts[0]), uint32(parts[1]), uint32(parts[2])}
	return nil
}

// String returns the canonical form (RFC 8092, section 4.1).
func (c LargeCommunity) String() string { return fmt.Sprintf("%d:%d:%d", c.Global, c.Local1, c.Local2) }

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
