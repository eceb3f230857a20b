package frr

import (
	"slices"
	"strings"
	"time"

	"github.com/keepcast/keepcast/driver"
)

// The reasons for which a neighbor goes on sending to a host whose daemon is gone.
const (
	gracefully   = "graceful restart"
	deadInterval = "dead interval"
	holdTime     = "hold time"
	ripTimedOut  = "timeout"
	babelExpiry  = "expiry time"
)

// What holds where a daemon does not tell it.
const (
	ospfDead  = 40 * time.Second
	ospfGrace = 120 * time.Second
	isisHold  = 30 * time.Second
	ripHold   = 180 * time.Second // RFC 2453, 3.8
	babelHold = 70 * time.Second

	// computing is what a router takes after that to compute its routes anew. One of FRR has
	// taken 1 s.
	computing = 2 * time.Second
	// quaggaRestart is the restart time of bgpd of Quagga, which has no setting for it.
	quaggaRestart = 120 * time.Second
)

// hold is how long the neighbors of a daemon that floods go on sending to this host once it
// is gone without a word. OSPF and Babel ask for it by settings that both sides share or
// send, IS-IS sends it, and routers with RIP are taken to be set as this host is.
type hold struct {
	reason string // as in driver.Held
	// lasting: a daemon that is back does not take back what the one before it has told.
	lasting  bool
	preset   time.Duration                              // of an interface that nothing is told of
	question string                                     // empty: what it says of its neighbors tells this, too
	read     func(text string) map[string]time.Duration // by interface, "" for each
}

// sessions returns what the neighbors that are up do, as Holders.Note wants it. Grace is how
// long they were asked to wait for a graceful restart: nobody tells afterwards whether there
// is one. Back is since when a daemon that was gone is back, zero if it never was.
func (h hold) sessions(neighbors []neighbor, text string, grace time.Duration, back time.Time) map[string]driver.Session {
	told := h.read(text)
	out := map[string]driver.Session{}
	for _, n := range neighbors {
		if !n.Up {
			continue
		}
		lasts, known := told[n.iface]
		if !known {
			lasts = h.preset
		}
		lasts += computing
		s := driver.Session{IPv4: lasts, IPv6: lasts, Reason: h.reason}
		if grace > lasts {
			s = driver.Session{IPv4: grace, IPv6: grace, Reason: gracefully}
		}
		if h.lasting && !back.IsZero() && time.Since(back) < lasts {
			s.Syncing, s.Until = true, back.Add(lasts)
		}
		out[n.Name] = s
	}
	return out
}

// addGrace takes in the words of "graceful-restart [grace-period SECONDS]" of OSPF.
func (c *config) addGrace(vrf string, words []string) {
	grace := ospfGrace
	if i := slices.Index(words, "grace-period"); i >= 0 && i+1 < len(words) {
		grace = time.Duration(firstNumber(words[i+1])) * time.Second
	} else if len(words) > 1 { // about helping others
		return
	}
	if c.graces == nil {
		c.graces = map[string]time.Duration{}
	}
	c.graces[vrf] = grace
}

// ospfHolds reads `show ip ospf interface json`.
func ospfHolds(text string) map[string]time.Duration { return jsonHolds(text, "timerDeadSecs") }

// ospf6Holds reads `show ipv6 ospf6 interface json`.
func ospf6Holds(text string) map[string]time.Duration {
	return jsonHolds(text, "timerIntervalsConfigDead")
}

// jsonHolds reads objects under the names of interfaces, each with a number of seconds.
func jsonHolds(text, key string) map[string]time.Duration {
	out := map[string]time.Duration{}
	eachObject(text, func(o map[string]any) {
		for iface, v := range o {
			inner, _ := v.(map[string]any)
			if seconds, ok := inner[key].(float64); ok {
				out[iface] = time.Duration(seconds) * time.Second
			}
		}
	})
	return out
}

// isisHolds reads `show isis interface detail`, where an interface has for each level
// "Hello interval: 3, Holddown count: 10 (pad)".
func isisHolds(text string) map[string]time.Duration {
	out := map[string]time.Duration{}
	iface := ""
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) > 1 && words[0] == "Interface:" {
			iface = isisValue(line, "Interface")
		}
		if strings.Contains(line, "Hello interval: ") {
			hello, count := firstNumber(isisValue(line, "Hello interval")), firstNumber(isisValue(line, "Holddown count"))
			out[iface] = max(out[iface], time.Duration(hello*count)*time.Second)
		}
	}
	return out
}

// ripHolds reads `show ip rip status` and `show ipv6 ripng status`.
func ripHolds(text string) map[string]time.Duration {
	return map[string]time.Duration{"": ripTimeout(text)}
}

// babelHolds reads `show babel interface`: neighbors keep a route for three and a half
// update intervals.
func babelHolds(text string) map[string]time.Duration {
	return textHolds(text, "Update interval is ", time.Millisecond*7/2)
}

// quaggaOSPFHolds reads `show ip ospf interface`: "Timer intervals configured, Hello 1s,
// Dead 4s, Wait 4s".
func quaggaOSPFHolds(text string) map[string]time.Duration {
	return textHolds(text, ", Dead ", time.Second)
}

// textHolds reads paragraphs that begin with the name of an interface. Behind key, each has
// a number of that unit.
func textHolds(text, key string, unit time.Duration) map[string]time.Duration {
	out := map[string]time.Duration{}
	iface := ""
	for line := range strings.Lines(text) {
		if line[0] != ' ' {
			iface, _, _ = strings.Cut(line, " ")
		}
		if _, value, found := strings.Cut(line, key); found {
			out[iface] = time.Duration(firstNumber(value)) * unit
		}
	}
	return out
}
