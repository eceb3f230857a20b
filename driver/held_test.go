package driver_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// A daemon with graceful restart died and its service failed: status said withdrawn
// while the router went on sending packets to this host for the restart time.
func TestHolders(t *testing.T) {
	v4, v6 := netip.MustParsePrefix(drivertest.V4), netip.MustParsePrefix(drivertest.V6)
	start := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	type exported = map[netip.Prefix][]string
	type sessions = map[string]driver.Session
	graceful := driver.Session{IPv4: 45 * time.Second, IPv6: 2 * time.Minute, Reason: "graceful restart"}
	syncing := graceful
	syncing.Syncing = true
	lasting := syncing
	lasting.Until = start.Add(30 * time.Second)
	both := exported{v4: {"up", "other"}, v6: {"up"}}
	type step struct {
		after    int // seconds from the start
		sessions sessions
		exported exported
		want     []string
	}
	up, syncingUp := sessions{"up": graceful, "other": {}}, sessions{"up": syncing}
	gone := []string{drivertest.V4 + " up until 12:00:46 (graceful restart)", drivertest.V6 + " up until 12:02:01 (graceful restart)"}
	for name, steps := range map[string][]step{
		"never seen up":      {{0, nil, nil, nil}},
		"up":                 {{0, up, both, nil}, {1, up, exported{v4: {"up"}}, nil}},
		"without":            {{0, sessions{"up": {}}, both, nil}, {1, nil, nil, nil}},
		"the daemon is gone": {{0, up, both, nil}, {1, nil, nil, gone}, {45, nil, nil, gone}, {46, nil, nil, gone[1:]}, {121, nil, nil, nil}, {1, nil, nil, nil}},
		"withdrawn before":   {{0, up, both, nil}, {1, up, exported{v6: {"up"}}, nil}, {1, nil, nil, gone[1:]}},
		"closed in order":    {{0, up, both, nil}, {1, sessions{"up": {}}, nil, nil}, {2, nil, nil, nil}},
		"back, and syncing": {
			{0, up, both, nil},
			{1, nil, nil, gone},
			{5, syncingUp, exported{v6: {"up"}}, []string{drivertest.V4 + " up (graceful restart)"}},
			{500, syncingUp, nil, []string{drivertest.V4 + " up (graceful restart)", drivertest.V6 + " up (graceful restart)"}},
			{501, up, nil, nil},
		},
		"back, can't take back": {
			{0, up, both, nil},
			{1, nil, nil, gone},
			{5, sessions{"up": lasting}, exported{v6: {"up"}}, []string{drivertest.V4 + " up until 12:00:30 (graceful restart)"}},
			{30, sessions{"up": lasting}, exported{v6: {"up"}}, nil},
			{31, up, exported{v6: {"up"}}, nil},
			{31, nil, nil, []string{drivertest.V6 + " up until 12:02:31 (graceful restart)"}},
		},
		"gone again before that": {
			{0, up, exported{v4: {"up"}}, nil},
			{1, nil, nil, gone[:1]},
			{5, sessions{"up": lasting}, exported{v6: {"up"}}, []string{drivertest.V4 + " up until 12:00:30 (graceful restart)"}},
			{10, nil, nil, []string{drivertest.V4 + " up until 12:00:55 (graceful restart)", drivertest.V6 + " up until 12:02:10 (graceful restart)"}},
		},
		"syncing when first seen": {{0, syncingUp, both, nil}, {1, up, exported{v4: {"up"}}, nil}, {1, nil, nil, gone[:1]}},
		"gone again":              {{0, up, both, nil}, {1, nil, nil, gone}, {2, up, both, nil}, {1, nil, nil, gone}},
	} {
		t.Run(name, func(t *testing.T) {
			var h driver.Holders
			for i, s := range steps {
				now := start.Add(time.Duration(s.after) * time.Second)
				var got []string
				for _, one := range h.Note(now, s.sessions, s.exported) {
					got = append(got, one.Prefix.String()+" "+one.String())
				}
				if d := cmp.Diff(s.want, got); d != "" {
					t.Errorf("step %d (-want +got):\n%s", i, d)
				}
			}
		})
	}
}
