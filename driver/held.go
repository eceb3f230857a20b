package driver

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// Held is a prefix that a neighbor may still send packets for, though this host's daemon
// or its session is gone: the neighbor waits for it to come back.
type Held struct {
	Prefix   netip.Prefix `json:"-"` // masked
	Neighbor string       `json:"neighbor"`
	// Until is when the neighbor gives up waiting. Zero: not before the daemon, which is
	// back, has told it all that is announced now.
	Until  time.Time `json:"until,omitzero"`
	Reason string    `json:"reason"` // what it waits for: "graceful restart", "dead interval"
}

// Over reports whether the neighbor has given up waiting by now.
func (h Held) Over(now time.Time) bool { return !h.Until.IsZero() && !now.Before(h.Until) }

// String is such as "10.0.0.1 until 12:34:56 (graceful restart)".
func (h Held) String() string {
	until := ""
	if !h.Until.IsZero() {
		until = " until " + h.Until.Format(time.TimeOnly)
	}
	return h.Neighbor + until + " (" + h.Reason + ")"
}

// Session is a session or an adjacency that is up: what its neighbor does once it is not.
type Session struct {
	// IPv4 and IPv6 are how long the neighbor keeps a route of the family when the
	// session ends without a word, long-lived graceful restart included; 0: not at all.
	IPv4, IPv6 time.Duration
	Reason     string // as in Held
	// Syncing: the daemon came back, and has not yet told the neighbor all that is
	// announced (End-of-RIB), or can't take back what the one before it told. Until then
	// the neighbor keeps what it had before, too.
	Syncing bool
	Until   time.Time // when that is over, zero: nobody knows beforehand
}

// keeps returns how long the neighbor keeps p.
func (s Session) keeps(p netip.Prefix) time.Duration {
	if p.Addr().Is4() {
		return s.IPv4
	}
	return s.IPv6
}

// Holders remembers what the neighbors of a daemon have, for the time after it died: then
// nobody can be asked any more. It is the one thing that an Observe may remember. Its zero
// value is ready for use.
type Holders struct{ all map[string]holder }

// holder is a neighbor that would wait.
type holder struct {
	Session
	has  map[netip.Prefix]bool
	gone time.Time // since when its session is known to be gone, zero: it is up
}

// Note takes what is known now: the sessions that are up, by the names of their neighbors,
// and what is exported to them. A daemon that is not running has no sessions. A neighbor
// whose session was closed in an orderly way, so that it does not wait, is told of by a
// zero Session. Note returns what neighbors may still hold beyond what is exported now.
//
// Don't call it if the daemon could not be asked though it runs: then nothing is known.
func (h *Holders) Note(now time.Time, sessions map[string]Session, exported map[netip.Prefix][]string) []Held {
	if h.all == nil {
		h.all = map[string]holder{}
	}
	for name, s := range sessions {
		h.up(name, s, exported)
	}
	var out []Held
	for _, name := range slices.Sorted(maps.Keys(h.all)) {
		session, up := sessions[name]
		one := h.all[name]
		if up && !session.Syncing {
			continue
		}
		if !up && one.gone.IsZero() {
			one.gone = now
			h.all[name] = one
		}
		held := one.held(name, up, now, exported)
		if len(held) == 0 && !up {
			delete(h.all, name)
		}
		out = append(out, held...)
	}
	return out
}

// up notes a session that is up.
func (h *Holders) up(name string, s Session, exported map[netip.Prefix][]string) {
	if s.IPv4 == 0 && s.IPv6 == 0 && !s.Syncing {
		delete(h.all, name)
		return
	}
	one := holder{Session: s, has: map[netip.Prefix]bool{}}
	if s.Syncing { // what it had before keepcast looked for the first time, nobody knows
		maps.Copy(one.has, h.all[name].has)
	}
	for p, to := range exported {
		if slices.Contains(to, name) {
			one.has[p] = true
		}
	}
	h.all[name] = one
}

// held returns what the neighbor may hold beyond what is exported to it.
func (o holder) held(name string, up bool, now time.Time, exported map[netip.Prefix][]string) []Held {
	var out []Held
	for p := range o.has {
		one := Held{Prefix: p, Neighbor: name, Until: o.Until, Reason: o.Reason}
		if !up {
			one.Until = o.gone.Add(o.keeps(p))
		}
		if !slices.Contains(exported[p], name) && !one.Over(now) {
			out = append(out, one)
		}
	}
	slices.SortFunc(out, func(a, b Held) int { return cmp.Or(a.Prefix.Compare(b.Prefix), a.Until.Compare(b.Until)) })
	return out
}
