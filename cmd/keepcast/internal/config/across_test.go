package config

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// service returns an entry of the list of services, on a line of its own.
func service(name, settings string) string {
	return "- {name: " + name + ", checks: [{kind: exec, command: [x]}], " + settings + "}\n"
}

// faultsOf returns what is wrong with a configuration, without the directory that it is in.
func faultsOf(t *testing.T, text string) string {
	t.Helper()
	main := files(t, text)
	_, err := Load(main)
	return strings.ReplaceAll(drivertest.ErrText(err), filepath.Dir(main)+"/", "")
}

// Faults between services, and those that are said once though they are inherited.
func TestServiceFaults(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"nobody would act": {
			"manage_addresses: false\n" + minimal,
			"keepcast.yaml: drivers: no driver, and manage_addresses is false: nothing would ever be announced or withdrawn",
		},
		"twice in one service": {
			"services:\n" + service("a", "addresses: [192.0.2.1, 192.0.2.2, 192.0.2.1]"),
			"keepcast.yaml:2:85: services[a].addresses[2]: 192.0.2.1 is taken by services[a]: an address belongs to one service",
		},
		"one address with two lengths": {
			"services:\n" + service("a", "addresses: [203.0.113.1/24]") + service("b", "addresses: [203.0.113.1]"),
			"keepcast.yaml:3:63: services[b].addresses[0]: 203.0.113.1 is taken by services[a]: an address belongs to one service",
		},
		"one prefix": {
			"drivers: [{kind: bird}]\nservices:\n" + service("a", "addresses: [192.0.2.1], prefixes: [203.0.113.0/24]") +
				service("b", "addresses: [192.0.2.2], prefixes: [203.0.113.0/24]"),
			"keepcast.yaml:4:86: services[b].prefixes[0]: 203.0.113.0/24 is announced for services[a] already: a prefix is announced for one service, once",
		},
		"nothing to announce": {
			"services:\n" + service("a", "prefixes: []") + service("b", "linger: 1s"),
			"keepcast.yaml:2:3: services[a].addresses: required, but missing: a service has addresses, prefixes, or both\n" +
				"keepcast.yaml:3:3: services[b].addresses: required, but missing: a service has addresses, prefixes, or both",
		},
		"prefixes without a daemon": {
			"services:\n" + service("a", "prefixes: [0.0.0.0/0]"),
			"keepcast.yaml:2:51: services[a].prefixes: no driver is configured, and the kernel alone announces no prefix of a daemon",
		},
		"a default route by OSPF": {
			"drivers: [{kind: bird}, {kind: frr, daemons: [bgpd, ospfd]}]\nservices:\n" + service("a", "prefixes: ['::/0', 0.0.0.0/0]") +
				service("b", "prefixes: [198.51.100.0/24]"),
			"keepcast.yaml:3:70: services[a].prefixes[1]: drivers[frr] can't announce 0.0.0.0/0: ospfd never redistributes a default route: " +
				"have bgpd of FRR or BIRD announce it, and name that driver in drivers",
		},
		"wrong addresses are not the same": {
			"services:\n" + service("a", "addresses: [x]") + service("b", "addresses: [x]"),
			`keepcast.yaml:2:63: services[a].addresses[0]: "x" is no address` + "\n" + `keepcast.yaml:3:63: services[b].addresses[0]: "x" is no address`,
		},
		"no address": {
			"services:\n" + service("a", "addresses: [~]"),
			"keepcast.yaml:2:63: services[a].addresses[0]: address[/length] expected, got nothing",
		},
		"inherited, said once": {
			"services:\n- {name: a, addresses: [192.0.2.1], rise: 0, checks: [{kind: exec, command: [x]}, {kind: tcp, address: 'x:1'}]}\n",
			"keepcast.yaml:2:37: services[a].rise: 0 is below the least value, 1",
		},
		"of all, said once": {
			"linger: 2h\nservices:\n" + service("a", "addresses: [192.0.2.1]") + service("b", "addresses: [192.0.2.2]"),
			"keepcast.yaml:1:1: linger: 2h0m0s is above the greatest value, 1h",
		},
		"a hold-down that would be cut": {
			"services:\n" + service("a", "addresses: [192.0.2.1], hold_down: 10m"),
			"keepcast.yaml:2:75: services[a].hold_down: hold_down, 10m0s, is above hold_down_max, 5m0s: a hold-down is never longer than that, so raise hold_down_max",
		},
		"the longest hold-down inherited": {
			"hold_down_max: 1m\nservices:\n" + service("a", "addresses: [192.0.2.1], hold_down: 2m"),
			"keepcast.yaml:3:75: services[a].hold_down: hold_down, 2m0s, is above hold_down_max, 1m0s: a hold-down is never longer than that, so raise hold_down_max",
		},
		"the first hold-down inherited": {
			"hold_down: 2m\nservices:\n" + service("a", "addresses: [192.0.2.1], hold_down_max: 1m") + service("b", "addresses: [192.0.2.2]"),
			"keepcast.yaml:3:75: services[a].hold_down_max: hold_down, 2m0s, is above hold_down_max, 1m0s: a hold-down is never longer than that, so raise hold_down_max",
		},
		"both inherited, said once": {
			"hold_down: 10m\nservices:\n" + service("a", "addresses: [192.0.2.1]") + service("b", "addresses: [192.0.2.2]"),
			"keepcast.yaml:1:1: hold_down: hold_down, 10m0s, is above hold_down_max, 5m0s: a hold-down is never longer than that, so raise hold_down_max",
		},
		"a hold-down above its bound, said once": {
			"services:\n" + service("a", "addresses: [192.0.2.1], hold_down: 2h"),
			"keepcast.yaml:2:75: services[a].hold_down: 2h0m0s is above the greatest value, 1h",
		},
		"name of a check": {
			"services: [{name: a, addresses: [192.0.2.1], checks: [{name: 'x y', kind: exec, command: [x]}]}]\n",
			`keepcast.yaml:1:56: services[a].checks[x y].name: "x y" is no name: letters, digits, '.', '-' and '_' only, beginning with a letter or digit`,
		},
		"rules of a kind": {
			"services: [{name: a, addresses: [192.0.2.1], checks: [{kind: systemd, unit: unbound}]}]\n",
			`keepcast.yaml:1:55: services[a].checks[systemd]: unit: "unbound" has no unit type (unbound.service?)`,
		},
		"a timeout of all that one check outlasts": {
			"defaults: {timeout: 50ms}\nservices: [{name: a, addresses: [192.0.2.1], checks: [{kind: syslog, address: '127.0.0.1:514'}]}]\n",
			"keepcast.yaml:2:55: services[a].checks[syslog]: quiet: 100ms is not less than timeout, 50ms, so that every run would time out",
		},
		"an interval of all that is too long for one check": {
			"defaults: {interval: 5m}\nservices: [{name: a, addresses: [192.0.2.1], checks: [{kind: http, url: 'http://127.0.0.1/', reuse: true}]}]\n",
			"keepcast.yaml:2:55: services[a].checks[http]: reuse: a connection is kept for less than a minute, and interval is 5m0s: leave out reuse, or lower interval",
		},
		"no group": {
			minimal + "defaults: 5s\n",
			`keepcast.yaml:2:1: defaults: a group of settings expected, got "5s"`,
		},
		"in the order of a line": {
			"{lingre: 5s, listen: 5, services: [{name: a, addresses: [192.0.2.1], checks: [{kind: exec, command: [x]}]}]}\n",
			`keepcast.yaml:1:2: lingre: no such setting (did you mean "linger"?)` + "\nkeepcast.yaml:1:14: listen: text expected, got 5: write it in quotes",
		},
		"twice, and twice": {
			minimal + "linger: 1s\nlinger: 2s\nlisten: a\nlisten: b\n",
			`keepcast.yaml:3:1: mapping key "linger" already defined at line 2` + "\n" + `keepcast.yaml:5:1: mapping key "listen" already defined at line 4`,
		},
		"where an alias was written": {
			"x: &x\n  rise: 0\n  fall: 1\nservices:\n- <<: *x\n  name: a\n  addresses: [192.0.2.1]\n  checks: [{kind: exec, command: [x]}]\n",
			"keepcast.yaml:1:1: x: no such setting\nkeepcast.yaml:2:3: services[a].rise: 0 is below the least value, 1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := faultsOf(t, tt.text); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// What looks like a fault between services and is none.
func TestServicesTogether(t *testing.T) {
	for name, text := range map[string]string{
		"addresses of one network":     "services:\n" + service("a", "addresses: [203.0.113.1/24, 203.0.113.2/24, 203.0.113.7]"),
		"prefixes alone":               "drivers: [{kind: bird}]\nservices:\n" + service("a", "prefixes: [203.0.113.0/24]") + service("b", "addresses: [], prefixes: ['::/0']"),
		"a default route, not by OSPF": "drivers: [{kind: bird}, {kind: frr, daemons: [ospfd]}]\nservices:\n" + service("a", "prefixes: [0.0.0.0/0], drivers: [bird]"),
		"the gate alone":               "manage_addresses: false\ndrivers: [{kind: bird}]\n" + minimal,
		"each raises the hold-down":    "hold_down: 10m\nservices:\n" + service("a", "addresses: [192.0.2.1], hold_down_max: 10m") + service("b", "addresses: [192.0.2.2], hold_down: 5m"),
		"a prefix around another one":  "drivers: [{kind: bird}]\nservices:\n" + service("a", "addresses: [203.0.113.1], prefixes: [203.0.113.0/24, 203.0.112.0/23]"),
	} {
		t.Run(name, func(t *testing.T) { load(t, text) })
	}
}
