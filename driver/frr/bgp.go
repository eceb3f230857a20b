package frr

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// frrBGP is what bgpd of FRR is asked, and how its JSON is read.
func frrBGP() *bgpAnswers {
	return &bgpAnswers{
		path: func(p netip.Prefix) string {
			return "show bgp " + strings.TrimPrefix(familyHeader(p.Addr()), "address-family ") + " " + p.String() + " json"
		},
		readPath: frrPath, readPeers: frrPeers, grace: 5 * time.Second, importCheck: true,
	}
}

// frrPeer is a neighbor in `show bgp neighbors json`.
type frrPeer struct {
	State        string `json:"bgpState"`
	LocalAS      uint32 `json:"localAs"`
	RemoteAS     uint32 `json:"remoteAs"`
	Shut         bool   `json:"adminShutDown"`
	Reset        string `json:"lastResetDueTo"`
	Notification string `json:"lastNotificationReason"`
	Up           int64  `json:"bgpTimerUpMsec"`                     // how long, in milliseconds
	Hold         int64  `json:"bgpTimerHoldTimeMsecs"`              // in milliseconds
	Interval     int64  `json:"minBtwnAdvertisementRunsTimerMsecs"` // in milliseconds
	BFD          *struct {
		Status string `json:"status"`
	} `json:"peerBfdInfo"`
	Families map[string]frrPolicy `json:"addressFamilyInfo"` // those activated here, under ipv4Unicast and so on
	Restart  struct {
		Mode string          `json:"localGrMode"`  // "Restart*", with an asterisk if it comes from router bgp
		Sent map[string]bool `json:"endOfRibSend"` // by family
		Time struct {
			Own int64 `json:"configuredRestartTimer"` // in seconds
		} `json:"timers"`
	} `json:"gracefulRestartInfo"`
	Capabilities struct {
		Restart   string `json:"gracefulRestart"`
		LongLived string `json:"longLivedGracefulRestart"`
		Families  map[string]struct {
			Both     bool `json:"advertisedAndReceived"`
			Received bool `json:"received"`
		} `json:"multiprotocolExtensions"`
	} `json:"neighborCapabilities"`
}

// frrPolicy is what a neighbor lets out of one address family.
type frrPolicy struct {
	Missing  string `json:"outboundEbgpRequiresPolicy"` // set if RFC 8212 holds everything back
	RouteMap string `json:"routeMapForOutgoingAdvertisements"`
	Filtered bool   `json:"outboundPathPolicyConfig"` // by a route-map, a list or the like
}

// frrPeers reads `show bgp neighbors json`.
func frrPeers(text string) []peer {
	var raw map[string]json.RawMessage
	if err := json.NewDecoder(strings.NewReader(text)).Decode(&raw); err != nil {
		return nil
	}
	var out []peer
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		var p frrPeer
		_ = json.Unmarshal(raw[name], &p) // what is of another type than known is left out
		if p.State != "" {
			out = append(out, p.peer(name))
		}
	}
	return out
}

func (p frrPeer) peer(name string) peer {
	out := peer{
		name: name, state: p.State, shut: p.Shut, reset: p.Reset, notification: p.Notification,
		localAS: strconv.FormatUint(uint64(p.LocalAS), 10), remoteAS: strconv.FormatUint(uint64(p.RemoteAS), 10),
		upFor: time.Duration(p.Up) * time.Millisecond, hold: time.Duration(p.Hold) * time.Millisecond, interval: time.Duration(p.Interval) * time.Millisecond,
		active: map[string]policy{}, both: map[string]bool{}, restart: p.gracefulRestart(),
	}
	if p.BFD != nil {
		out.bfd = cmp.Or(p.BFD.Status, "unknown")
	}
	for family, f := range p.Families {
		out.active[frrFamilyName(family)] = policy{missing: f.Missing != "", routeMap: f.RouteMap, filtered: f.Filtered}
	}
	for family, c := range p.Capabilities.Families {
		if c.Both || c.Received {
			out.both[frrFamilyName(family)] = c.Both
		}
		out.restart.syncing = out.restart.syncing || c.Both && !p.Restart.Sent[family]
	}
	return out
}

// gracefulRestart returns what the neighbor was asked for. One that the session is not up
// with is taken to agree.
func (p frrPeer) gracefulRestart() gracefulRestart {
	agreed := func(capability string) bool { return p.State != established || capability == "advertisedAndReceived" }
	return gracefulRestart{
		asked:     strings.HasPrefix(p.Restart.Mode, "Restart") && agreed(p.Capabilities.Restart),
		longLived: agreed(p.Capabilities.LongLived),
		wait:      time.Duration(p.Restart.Time.Own) * time.Second,
	}
}

// frrFamilyName returns the words for FRR's name of a family in JSON.
func frrFamilyName(name string) string {
	switch name {
	case "ipv4Unicast":
		return "IPv4"
	case "ipv6Unicast":
		return "IPv6"
	}
	return name
}

// frrPath reads `show bgp AFI unicast P json`.
func frrPath(text string) bgpPath {
	var said struct {
		To    map[string]any `json:"advertisedTo"`
		Paths []struct {
			Valid, Local bool
			Since        struct {
				Epoch int64 `json:"epoch"`
			} `json:"lastUpdate"`
		} `json:"paths"`
	}
	_ = json.NewDecoder(strings.NewReader(text)).Decode(&said) // without such a prefix it is {}
	out := bgpPath{to: slices.Sorted(maps.Keys(said.To))}
	for _, path := range said.Paths {
		out.own = out.own || path.Local
		if path.Local && path.Valid && !out.valid {
			out.valid, out.since = true, time.Unix(path.Since.Epoch, 0)
		}
	}
	return out
}
