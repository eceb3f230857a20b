package bird

import (
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

func TestSuite(t *testing.T) {
	drivertest.TestDriver(t, func(t *testing.T) drivertest.Rig {
		r := newRealBIRD(t).suiteHost()
		first := testDriver(r.Dir)
		drivertest.WriteFile(t, first.Snippet, renderRoutes(t, first))
		r.start()
		old := renderRoutes(t, first, routeOf(drivertest.V4, driver.Announced), degradedRoute(drivertest.V6))
		return drivertest.Rig{
			New:       func() driver.Driver { return testDriver(r.Dir) },
			Interface: "anycast0",
			Announces: r.announces,
			Dump:      func() []string { return strings.Split(undated(r.Say("show route all")), "\n") },
			Changes:   r.Configures,
			Whole:     true,
			Shuts:     true,
			Break: func() (string, func()) {
				conf := filepath.Join(r.Dir, "bird.conf")
				good := drivertest.ReadFile(t, conf)
				drivertest.WriteFile(t, conf, good+"nonsense;\n")
				return "bird's configuration is at fault outside of keepcast's snippet, correct it there (the old snippet is back in place): ",
					func() { drivertest.WriteFile(t, conf, good) }
			},
			Disturb: func(rnd *rand.Rand) string {
				switch rnd.IntN(3) {
				case 0:
					drivertest.WriteFile(t, first.Snippet, old)
					r.Say("configure")
					return "loads an old snippet"
				case 1:
					drivertest.WriteFile(t, first.Snippet, "edited, not loaded")
					return "edits the snippet"
				}
				drivertest.WriteFile(t, first.Snippet, old)
				r.Stop()
				r.start()
				return "restarts BIRD with an old snippet"
			},
			Stop: func() func() {
				r.Stop()
				return func() { r.start() }
			},
		}
	})
}

// suiteHost has the suite's addresses, and originates its networks.
func (r *realBIRD) suiteHost() *realBIRD {
	r.T.Helper()
	var addrs []string
	for _, a := range drivertest.Addresses() {
		if strings.Contains(a, ":") {
			a += " nodad"
		}
		addrs = append(addrs, a)
	}
	four, six := drivertest.Networks()[0], drivertest.Networks()[1]
	return r.host(birdStatics+
		"protocol static n4 { ipv4 { table keepcast4; }; route "+four+" blackhole; }\n"+
		"protocol static n6 { ipv6 { table keepcast6; }; route "+six+" blackhole; }\n", addrs...)
}

// announces returns what is in the main tables, with the MED of each.
func (r *realBIRD) announces() map[netip.Prefix]uint32 {
	out := map[netip.Prefix]uint32{}
	var last netip.Prefix
	for _, table := range []string{"master4", "master6"} {
		for line := range strings.Lines(r.Say("show route primary all table " + table)) {
			word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
			if p, err := netip.ParsePrefix(word); err == nil {
				last = p
				out[p] = 0
			} else if med, err := strconv.ParseUint(rest, 10, 32); err == nil && strings.EqualFold(strings.ReplaceAll(word, "_", "."), "bgp.med:") {
				out[last] = uint32(med)
			}
		}
	}
	return out
}

// undated leaves the times out of an answer, and the numbers that BIRD 3 gives to routes.
func undated(text string) string {
	text = regexp.MustCompile(`(?m)^\s*Internal route handling values: .*\n`).ReplaceAllString(text, "")
	return regexp.MustCompile(`\[(\S+) [^\]]*\]`).ReplaceAllString(text, "[$1]")
}
