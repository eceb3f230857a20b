package bird

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/bird/ctl"
	"github.com/keepcast/keepcast/driver/drivertest"
)

func TestAreas(t *testing.T) {
	for name, tc := range map[string]struct {
		version, prefixes string
		want              []string
	}{
		"BIRD 2":            {"2.17.6", "192.0.2.53/32 192.0.2.54/32", []string{"192.0.2.53/32", "192.0.2.54/32"}},
		"BIRD 2, from git":  {"v2.14", "192.0.2.53/32 192.0.2.54/32", []string{"192.0.2.53/32", "192.0.2.54/32"}},
		"none":              {"3.3.2", "", nil},
		"one":               {"3.3.2", "192.0.2.53/32", []string{"192.0.2.53/32"}},
		"neighbors":         {"3.3.2", "192.0.2.53/32 192.0.2.54/32", []string{"in 192.0.2.52/30"}},
		"one in another":    {"v3.0.5", "192.0.2.0/24 192.0.2.54/32", []string{"in 192.0.2.0/24"}},
		"far from others":   {"3.3.2", "10.0.0.1/32 192.0.2.53/32 192.168.0.1/32", []string{"10.0.0.1/32", "in 192.0.0.0/8"}},
		"the default route": {"3.3.2", "0.0.0.0/0 10.0.0.1/32", []string{"0.0.0.0/0", "10.0.0.1/32"}},
		"IPv6":              {"3.3.2", "2001:db8::1/128 2001:db8:8000::/48 2a00::1/128", []string{"2a00::1/128", "in 2001:db8::/32"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := &Driver{ctl: &ctl.Client{Version: tc.version}}
			var prefixes []netip.Prefix
			for word := range strings.FieldsSeq(tc.prefixes) {
				prefixes = append(prefixes, netip.MustParsePrefix(word))
			}
			if d := cmp.Diff(tc.want, b.areas(prefixes)); d != "" {
				t.Error(d)
			}
		})
	}
}

// upAnswers is the driver of a fake BIRD of that version that has the recorded protocols.
// State and route are asked for the fingerprint and for the replies to "show route".
func upAnswers(t *testing.T, version string, state func() string, route func(which string) string) *Driver {
	t.Helper()
	protocols := drivertest.ReadFile(t, "testdata/protocols-2.0.12.txt")
	_, c := newFakeBIRD(t, func(_ int, command string) string {
		switch which, ok := strings.CutPrefix(command, "show route "); {
		case command == "":
			return "0001 BIRD " + version + " ready.\n"
		case ok:
			return route(which)
		case command == "eval keepcast_state":
			return "0023 " + state() + "\n"
		case command == "show protocols all":
			return protocols
		case strings.HasPrefix(command, "show protocols"):
			return "8003 No protocols match\n"
		}
		return "0000 \n"
	})
	b := testDriver(filepath.Dir(c.Socket))
	t.Cleanup(func() { b.Close() })
	return b
}

// routesAnswer is a reply to "show route".
func routesAnswer(prefixes ...string) string {
	if len(prefixes) == 0 {
		return "8001 Network not found\n"
	}
	var out strings.Builder
	for i, p := range prefixes {
		fmt.Fprintf(&out, "%s%s unicast [keepcast 18:58:12.725] * (241)\n", [...]string{"1007-", " "}[min(i, 1)], p)
	}
	return out.String() + "0000 \n"
}

// In BIRD 3 each question about a table of 100,000 routes took milliseconds, and keepcast
// asked about each prefix and neighbor every 5 s: 100 services took a sixth of a processor
// from BIRD.
func TestObserveAsksAtOnce(t *testing.T) {
	const many = 20
	var all []string
	var routes []driver.Route
	for i := range many {
		all = append(all, fmt.Sprintf("192.0.2.%d/32", i))
		routes = append(routes, routeOf(all[i], driver.Announced))
	}
	var asked []string
	var b *Driver
	b = upAnswers(t, "3.3.2", func() string { return b.state }, func(which string) string {
		asked = append(asked, which)
		return routesAnswer(all...)
	})
	drivertest.WriteFile(t, b.Snippet, renderRoutes(t, b, routes...))
	applyRoutes(t, b, routes...)
	s, err := b.Observe(t.Context())
	if err != nil || len(s.Routes) != many || len(s.Routes[0].ExportedTo) == 0 {
		t.Fatalf("%+v %v", s, err)
	}
	up := map[string]bool{}
	for _, n := range s.Neighbors {
		if n.Up && n.IPv4 {
			name, _, _ := strings.Cut(n.Name, " ")
			up[name] = true
		}
	}
	if len(asked) != 1+len(up) {
		t.Errorf("%d questions about %d prefixes and %d protocols:\n%s", len(asked), many, len(up), strings.Join(asked, "\n"))
	}
}

// Services that failed together were in BIRD when keepcast asked for them, and gone when it
// asked to whom they are sent: up to 111 warnings said that an export filter is wrong.
func TestObserveGoneMeanwhile(t *testing.T) {
	for name, tc := range map[string]struct {
		still bool // in BIRD when asked again
		want  []string
	}{
		"gone":  {false, nil},
		"there": {true, []string{"not-exported error bird 192.0.2.54/32"}},
	} {
		t.Run(name, func(t *testing.T) {
			var b *Driver
			looks := 0
			b = upAnswers(t, "2.0.12", func() string { return b.state }, func(which string) string {
				going := strings.HasPrefix(which, "192.0.2.54/32 ")
				if going && strings.Contains(which, " primary ") {
					if looks++; looks > 1 && !tc.still {
						return routesAnswer()
					}
				} else if going {
					return routesAnswer()
				}
				p, _, _ := strings.Cut(which, " ")
				return routesAnswer(p)
			})
			both := []driver.Route{routeOf("192.0.2.53/32", driver.Announced), routeOf("192.0.2.54/32", driver.Announced)}
			drivertest.WriteFile(t, b.Snippet, renderRoutes(t, b, both...))
			applyRoutes(t, b, both...)
			s, err := b.Observe(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range namesOf(s.Findings) {
				if !strings.HasPrefix(f, "session-down") {
					got = append(got, f)
				}
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
			if _, there := s.Managed()[netip.MustParsePrefix("192.0.2.54/32")]; there != tc.still {
				t.Errorf("observed: %v", there)
			}
		})
	}
}
