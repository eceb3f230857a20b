package driver

import (
	"encoding/json"
	"reflect"

	"github.com/keepcast/keepcast/driver/community"
)

// Attributes are what a prefix is announced with. What is nil or empty is left
// to the daemon. Each protocol takes those that it has.
type Attributes struct {
	MED              *uint32              `config:"med" min:"0" max:"4294967295" doc:"MED (multi-exit discriminator) of BGP. Routers prefer the lowest; none counts as 0."`
	LocalPref        *uint32              `config:"local_pref" min:"0" max:"4294967295" doc:"Local preference towards iBGP neighbors. Routers prefer the highest; 100 is usual."`
	Prepend          int                  `config:"prepend" min:"0" max:"10" doc:"How often the own AS is repeated in the path towards eBGP neighbors. Routers prefer the shortest path. BIRD: set 'as' in the driver. FRR: give the neighbors 'route-map KEEPCAST-EBGP out'. Quagga: both."`
	Communities      []community.Standard `config:"communities" doc:"BGP communities (RFC 1997), such as 65001:100, or a well-known one by its name, such as graceful-shutdown (RFC 8326) or no-export."`
	LargeCommunities []community.Large    `config:"large_communities" doc:"Large BGP communities (RFC 8092), such as 65001:1:2."`
	Metric           *uint32              `config:"metric" min:"0" max:"16777214" doc:"Metric in OSPF (external, type 2), IS-IS (wide) and Babel. RIP counts to 15 only and takes at most 8 of it."`
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

// Key returns a text that equal attributes have in common, and no others have.
func (a Attributes) Key() string {
	text, _ := json.Marshal(a) // never fails: they are numbers and lists of them
	return string(text)
}

// IsZero reports whether there are none.
func (a Attributes) IsZero() bool { return a.Equal(Attributes{}) }
