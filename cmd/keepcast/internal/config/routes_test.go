package config

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/community"
)

const announcing = `
announce: {communities: [65001:100]}
degraded: {local_pref: 20}
drivers:
  - {name: inside, kind: bird}
  - {name: outside, kind: frr}
services:
  - name: dns
    addresses: [192.0.2.53]
    prefixes: [203.0.113.0/24]
    interface: anycast1
    drivers: [outside]
    announce: {prepend: 3, communities: [no-export, graceful-shutdown], large_communities: [65001:1:2]}
    degraded: {med: 7}
    checks: [{kind: exec, command: [/bin/true]}]
  - name: ldap
    addresses: [192.0.2.89]
    checks: [{kind: exec, command: [/bin/true]}]
`

// The attributes of a service are its own settings, over those of the top
// level, over the defaults, each by itself.
func TestAttributes(t *testing.T) {
	c := load(t, announcing)
	want := []driver.Attributes{
		{
			Prepend: 3, Communities: []community.Standard{{High: 65535, Low: 65281}, {High: 65535, Low: 0}},
			LargeCommunities: []community.Large{{Global: 65001, Local1: 1, Local2: 2}},
		},
		{MED: new(uint32(7)), LocalPref: new(uint32(20)), Metric: new(uint32(20000)), Prepend: 2},
		{Communities: []community.Standard{{High: 65001, Low: 100}}},
		{MED: new(uint32(1000)), LocalPref: new(uint32(20)), Metric: new(uint32(20000)), Prepend: 2},
	}
	got := []driver.Attributes{c.Services[0].Announce, c.Services[0].Degraded, c.Services[1].Announce, c.Services[1].Degraded}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// A driver has the services that name it or none, and the others as absent.
func TestState(t *testing.T) {
	c := load(t, announcing)
	routes := func(of string, p driver.Presence) []string {
		var out []string
		for _, r := range c.State(of, p).Routes {
			line := r.Prefix.String() + " " + r.Presence.String()
			if r.Interface != "" {
				line += " on " + r.Interface
			}
			if r.PrefixOnly {
				line += " prefix only"
			}
			if r.Attributes.Prepend > 0 {
				line += " prepended"
			}
			out = append(out, line)
		}
		return out
	}
	for name, tc := range map[string]struct {
		driver   string
		presence driver.Presence
		want     []string
	}{
		"named": {"outside", driver.Announced, []string{
			"192.0.2.53/32 announced on anycast1 prepended", "203.0.113.0/24 announced on anycast1 prefix only prepended", "192.0.2.89/32 announced",
		}},
		"not named": {"inside", driver.Announced, []string{
			"192.0.2.53/32 absent on anycast1", "203.0.113.0/24 absent on anycast1 prefix only", "192.0.2.89/32 announced",
		}},
		"a network is never delivered": {"outside", driver.Delivered, []string{
			"192.0.2.53/32 delivered on anycast1", "203.0.113.0/24 absent on anycast1 prefix only", "192.0.2.89/32 delivered",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(tc.want, routes(tc.driver, tc.presence), cmpopts.EquateComparable(netip.Prefix{})); d != "" {
				t.Error(d)
			}
		})
	}
}

// A degraded service is announced with its worse attributes, and says so.
func TestDegradedRoutes(t *testing.T) {
	s := load(t, announcing).Services[0]
	for _, r := range s.Routes(driver.Announced, true) {
		if !r.Degraded || !cmp.Equal(r.Attributes, s.Degraded) {
			t.Errorf("degraded: got %+v", r)
		}
	}
	for _, r := range s.Routes(driver.Delivered, true) {
		if r.Degraded || !cmp.Equal(r.Attributes, driver.Attributes{}) {
			t.Errorf("not announced: got %+v", r)
		}
	}
}

func TestAnnouncingFaults(t *testing.T) {
	entry := func(settings string) string {
		return "drivers: [{kind: bird}]\nservices:\n- {name: a, addresses: [203.0.113.1], checks: [{kind: exec, command: [x]}], " + settings + "}\n"
	}
	for name, tc := range map[string]struct{ text, want string }{
		"community":       {entry("announce: {communities: [65536:1]}"), `services[a].announce.communities[0]: "65536:1" is no community: two numbers up to 65535, such as 65001:100, or one of accept-own, blackhole, graceful-shutdown, llgr-stale, no-advertise, no-export, no-export-subconfed, no-llgr, no-peer`},
		"large community": {entry("announce: {large_communities: [1:2]}"), `services[a].announce.large_communities[0]: "1:2" is no large community: three numbers up to 4294967295, such as 65001:1:2`},
		"too much":        {entry("degraded: {med: 4294967296}"), `services[a].degraded.med: 4294967296 is not between 0 and 4294967295`},
		"negative":        {entry("degraded: {local_pref: -1}"), `services[a].degraded.local_pref: -1 is not between 0 and 4294967295`},
		"bound":           {entry("degraded: {metric: 16777215}"), `services[a].degraded.metric: 16777215 is above the greatest value, 16777214`},
		"misspelt":        {entry("degraded: {metrik: 1}"), `services[a].degraded.metrik: no such setting (did you mean "metric"?)`},
		"host bits":       {entry("prefixes: [203.0.113.1/24]"), `services[a].prefixes[0]: 203.0.113.1/24 has host bits: the prefix is 203.0.113.0/24`},
		"multicast":       {entry("prefixes: [224.0.0.0/4]"), `services[a].prefixes[0]: 224.0.0.1 is a multicast address: anycast addresses are unicast addresses (RFC 4291, 2.6)`},
		"no length":       {entry("prefixes: [203.0.113.0]"), `services[a].prefixes[0]: "203.0.113.0" is no prefix with its length, such as 203.0.113.0/24`},
		"own address":     {entry("prefixes: [203.0.113.1/32]"), `services[a].prefixes[0]: 203.0.113.1/32 is announced for services[a] already: a prefix is announced for one service, once`},
		"driver":          {entry("drivers: [brid]"), `services[a].drivers[0]: no driver "brid" (did you mean "bird"?)`},
		"interface":       {entry("interface: 'a b'"), `services[a].interface: "a b" is no name of an interface: up to 15 letters, digits, '.', '-', '_' and ':'`},
		"nobody originates": {
			strings.Replace(entry("prefixes: [203.0.113.0/24]"), "drivers: [{kind: bird}]", "drivers: []", 1),
			`services[a].prefixes: no driver is configured, and the kernel alone announces no prefix of a daemon`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Load(files(t, tc.text))
			if _, ok := errors.AsType[Faults](err); !ok {
				t.Fatalf("got %v", err)
			}
			// Where it is has tests of its own.
			if _, got, _ := strings.Cut(err.Error(), ": "); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}
