package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/checks"
	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/driver/kinds"
)

// files writes a main file and drop-ins, named in the text by lines "-- name --".
func files(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	path, main := filepath.Join(dir, "keepcast.yaml"), filepath.Join(dir, "keepcast.yaml")
	var content strings.Builder
	flush := func() {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		content.Reset()
	}
	for _, line := range strings.SplitAfter(text, "\n") {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "-- "); ok {
			flush()
			path = filepath.Join(dir, strings.TrimSuffix(name, " --"))
			continue
		}
		content.WriteString(line)
	}
	flush()
	return main
}

const whole = `
interface: any0
linger: 30s
defaults: {interval: 2s, fall: 3}
drivers:
  - {kind: bird, socket: /run/bird/bird.ctl}
services:
  - name: DNS
    addresses: [192.0.2.53, "2001:db8:53::53", 203.0.113.1/24]
    rise: 5
    require: any
    checks:
      - {name: answers, kind: tcp, address: "192.0.2.53:53", interval: 1s}
      - {kind: systemd, unit: unbound.service, on_failure: degrade}
      - {name: script, kind: exec, command: [/bin/true]}
`

func load(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Load(files(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestLoad(t *testing.T) {
	c := load(t, whole)
	if c.Interface != "any0" || c.Listen != "127.0.0.1:9911" || !c.ManageAddresses {
		t.Errorf("got %+v", c.Main)
	}
	s := c.Services[0]
	if s.Name != "DNS" || len(s.Addresses) != 3 || s.Addresses[2].String() != "203.0.113.1/24" || s.Linger != 30*time.Second || s.Require.Needed(2) != 1 {
		t.Errorf("got %+v", s)
	}
	want := []health.Schedule{
		{Interval: time.Second, FastInterval: 250 * time.Millisecond, Timeout: 500 * time.Millisecond, Jitter: 0.1, Rise: 5, Fall: 3},
		{Interval: 2 * time.Second, FastInterval: 250 * time.Millisecond, Timeout: 500 * time.Millisecond, Jitter: 0.1, Rise: 5, Fall: 3},
	}
	if diff := cmp.Diff(want, []health.Schedule{s.Checks[0].Schedule, s.Checks[1].Schedule}); diff != "" {
		t.Error(diff)
	}
	if s.Checks[1].Name != "systemd" || !s.Checks[1].Degrades() {
		t.Errorf("got %+v", s.Checks[1])
	}
	if c.Drivers[0].Name != "bird" {
		t.Errorf("got %+v", c.Drivers[0])
	}
}

func TestDropIns(t *testing.T) {
	c := load(t, whole+`
-- conf.d/10-ldap.yaml --
services:
  - {name: ldap, addresses: [192.0.2.89], checks: [{kind: tcp, address: "192.0.2.89:389"}]}
-- conf.d/20-slower.yaml --
linger: 5s
services:
  - name: DNS
    checks:
      - {name: answers, interval: 10s}
      - {name: more, kind: exec, command: [/bin/false]}
-- conf.d/ignored.txt --
this: is not read
`)
	if len(c.Services) != 2 || len(c.Services[0].Checks) != 4 || c.Services[0].Checks[0].Interval != 10*time.Second {
		t.Errorf("got %+v", c.Services)
	}
	if c.Services[1].Linger != 5*time.Second || len(c.Files) != 3 {
		t.Errorf("got %+v of %v", c.Services[1], c.Files)
	}
}

const minimal = `services: [{name: a, addresses: [192.0.2.1], checks: [{kind: exec, command: [/bin/true]}]}]` + "\n"

func TestFaults(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"unknown key":    {minimal + "lingre: 5s\n", `keepcast.yaml:2:1: lingre: no such setting (did you mean "linger"?)`},
		"bare number":    {minimal + "linger: 5\n", `keepcast.yaml:2:1: linger: duration with a unit expected, such as 500ms or 2s, got 5`},
		"bound":          {minimal + "defaults: {interval: 1ms}\n", `keepcast.yaml:2:12: defaults.interval: 1ms is below the least value, 10ms`},
		"greatest":       {minimal + "defaults: {interval: 2h}\n", `keepcast.yaml:2:12: defaults.interval: 2h0m0s is above the greatest value, 1h`},
		"same name":      {minimal + "drivers: [{kind: bird}, {kind: bird, socket: /x}]\n", `keepcast.yaml:2:25: drivers[bird]: the name "bird" is taken (line 2): names must differ within a list`},
		"type":           {minimal + "defaults: {rise: true}\n", `keepcast.yaml:2:12: defaults.rise: whole number expected, got true`},
		"fraction":       {minimal + "defaults: {rise: 2.5}\n", `keepcast.yaml:2:12: defaults.rise: whole number expected, got 2.5`},
		"enum":           {minimal + "on_stop: wait\n", `keepcast.yaml:2:1: on_stop: "wait" is none of auto, withdraw, keep`},
		"map":            {minimal + "linger: {a: 1}\n", `keepcast.yaml:2:1: linger: duration with a unit expected, such as 500ms or 2s, got settings`},
		"list":           {minimal + "drivers: bird\n", `keepcast.yaml:2:1: drivers: a list of settings (- name: ...) expected, got "bird"`},
		"entries":        {minimal + "drivers: [bird]\n", `keepcast.yaml:2:11: drivers[0]: settings (name: value) expected, got "bird"`},
		"twice":          {minimal + "linger: 1s\nLinger: 2s\n", `keepcast.yaml:3:1: Linger: written twice (first in line 2)`},
		"syntax":         {minimal + "a: [\n", `keepcast.yaml:2:1: did not find expected node content`},
		"unknown alias":  {minimal + "linger: *x\n", `keepcast.yaml: yaml: unknown anchor 'x' referenced`},
		"endless":        {"a: &x {b: *x}\n", `keepcast.yaml: yaml: anchor 'x' value contains itself`},
		"top level":      {"- a\n", "keepcast.yaml:1:1: settings (name: value) expected at the top level"},
		"nothing":        {"", "keepcast.yaml: services: no service is configured"},
		"no list":        {"services: {a: {b: 1}}\n", `keepcast.yaml:1:1: services: a list of settings (- name: ...) expected, got settings`},
		"empty services": {"services: []\n", `keepcast.yaml:1:1: services: no service is configured`},
		"no list of it":  {"services: [{name: a, addresses: 192.0.2.1, checks: [{kind: exec, command: [x]}]}]\n", `keepcast.yaml:1:22: services[a].addresses: list of address[/length] expected, got "192.0.2.1"`},
		"no list of it, either": {
			"services: [{name: a, prefixes: 192.0.2.0/24, checks: [x, {kind: exec, command: [x]}], require: 2}]\n",
			`keepcast.yaml:1:22: services[a].prefixes: list of prefix/length expected, got "192.0.2.0/24"` + "\n" +
				`keepcast.yaml:1:55: services[a].checks[0]: settings (name: value) expected, got "x"`,
		},
		"driver kind":       {minimal + "drivers: [{kind: brid}]\n", `keepcast.yaml:2:12: drivers[brid].kind: no kind "brid" (did you mean "bird"?)`},
		"another driver":    {minimal + "drivers: [{kind: gobgpd}]\n", `keepcast.yaml:2:12: drivers[gobgpd].kind: no driver kind "gobgpd" (known: ` + driverKinds() + `)`},
		"check kind":        {"services: [{name: a, addresses: [192.0.2.1], checks: [{kind: pnig}]}]\n", `keepcast.yaml:1:56: services[a].checks[pnig].kind: no kind "pnig" (did you mean "ping"?)`},
		"another check":     {"services: [{name: a, addresses: [192.0.2.1], checks: [{kind: memcached}]}]\n", `keepcast.yaml:1:56: services[a].checks[memcached].kind: no check kind "memcached" (known: ` + checkKinds() + `)`},
		"a secret":          {"services: [{name: a, addresses: [192.0.2.1], checks: [{kind: imap, address: 'a:143', password: x}]}]\n", `keepcast.yaml:1:86: services[a].checks[imap].password: no such setting (did you mean "password_file"? A secret stands in a file of its own)`},
		"no server":         {"services: [{name: a, addresses: [192.0.2.1], checks: [{kind: tftp, server: a, address: 'a:69', file: f}]}]\n", `keepcast.yaml:1:68: services[a].checks[tftp].server: no such setting (did you mean "address"?)`},
		"the default route": {"services: [{name: a, addresses: [192.0.2.1], checks: [{kind: route, destination: default}]}]\n", `keepcast.yaml:1:69: services[a].checks[route].destination: "default" is no prefix with its length, such as 192.0.2.0/24 or, for a default route, 0.0.0.0/0 or ::/0`},
		"no kind":           {"services: [{name: a, addresses: [192.0.2.1], checks: [{name: x}]}]\n", `keepcast.yaml:1:55: services[a].checks[x].kind: required, but missing`},
		"no checks":         {"services: [{name: a, addresses: [192.0.2.1]}]\n", `keepcast.yaml:1:12: services[a].checks: required, but missing: without a check the service could never be announced`},
		"required": {
			"services: [{name: a, addresses: [192.0.2.1], checks: [{kind: tcp}]}]\n",
			`keepcast.yaml:1:55: services[a].checks[tcp].address: required, but missing`,
		},
		"only degrades": {
			"services: [{name: a, addresses: [192.0.2.1], checks: [{kind: exec, command: [x], on_failure: degrade}]}]\n",
			`keepcast.yaml:1:46: services[a].checks: no check withdraws the service when it fails: add one, or leave out on_failure: degrade`,
		},
		"require": {
			"services: [{name: a, addresses: [192.0.2.1], require: 2, checks: [{kind: exec, command: [x]}]}]\n",
			`keepcast.yaml:1:46: services[a].require: 2 checks required, but only 1 with on_failure: withdraw`,
		},
		"name": {
			"services: [{name: 'a b', addresses: [192.0.2.1], checks: [{kind: exec, command: [x]}]}]\n",
			`keepcast.yaml:1:13: services[a b].name: "a b" is no name: letters, digits, '.', '-' and '_' only, beginning with a letter or digit`,
		},
		"drop-in": {
			minimal + "-- conf.d/x.yaml --\n\nservices: [{name: b, addresses: [192.0.2.1], checks: [{kind: exec, command: [x]}]}]\n",
			`conf.d/x.yaml:2:34: services[b].addresses[0]: 192.0.2.1/32 is taken by services[a]: an address belongs to one service`,
		},
		"one network": {
			"services:\n- {name: a, addresses: [203.0.113.1/24], checks: [{kind: exec, command: [x]}]}\n- {name: b, addresses: [203.0.113.2/24], checks: [{kind: exec, command: [x]}]}\n",
			`keepcast.yaml:3:25: services[b].addresses[0]: 203.0.113.0/24 is taken by services[a]: an address belongs to one service`,
		},
		"empty list": {
			"services: [{name: a, addresses: [], checks: [{kind: exec, command: [x]}]}]\n",
			`keepcast.yaml:1:22: services[a].addresses: required, but the list is empty`,
		},
		"one daemon": {
			minimal + "drivers:\n- {kind: bird}\n- {name: b, kind: bird, snippet: /x.conf}\n",
			`keepcast.yaml:4:3: drivers[b]: /run/bird/bird.ctl is the socket of drivers[bird] already: a daemon has one driver`,
		},
		"two sockets that are none": {
			minimal + "drivers: [{kind: bird, socket: 5}, {name: b, kind: bird, socket: 6, snippet: /b.conf}]\n",
			"keepcast.yaml:2:24: drivers[bird].socket: text expected, got 5: write it in quotes\nkeepcast.yaml:2:58: drivers[b].socket: text expected, got 6: write it in quotes",
		},
		"one file": {
			minimal + "drivers:\n- {kind: bird}\n- {name: b, kind: bird, socket: /b.ctl, snippet: /var/lib/keepcast/../keepcast/bird.conf}\n",
			`keepcast.yaml:4:3: drivers[b]: /var/lib/keepcast/bird.conf is written by drivers[bird] already: each driver has a file of its own`,
		},
		"one daemon and one file": {
			minimal + "drivers: [{name: a, kind: bird}, {name: b, kind: bird}]\n",
			"keepcast.yaml:2:34: drivers[b]: /var/lib/keepcast/bird.conf is written by drivers[a] already: each driver has a file of its own\n" +
				"keepcast.yaml:2:34: drivers[b]: /run/bird/bird.ctl is the socket of drivers[a] already: a daemon has one driver",
		},
		"one daemon of several": {
			minimal + "drivers: [{kind: frr, daemons: [bgpd, ospfd]}]\n-- conf.d/x.yaml --\ndrivers:\n- {name: b, kind: frr, daemons: [ospf6d, ospfd], snippet: /x.conf}\n",
			`conf.d/x.yaml:2:3: drivers[b]: /run/frr/ospfd.vty is the socket of drivers[frr] already: a daemon has one driver`,
		},
		"one daemon, two kinds": {
			minimal + "drivers: [{kind: quagga}, {kind: frr, directory: /run/quagga}]\n",
			`keepcast.yaml:2:27: drivers[frr]: /run/quagga/bgpd.vty is the socket of drivers[quagga] already: a daemon has one driver`,
		},
		"a file of any driver": {
			minimal + "drivers: [{kind: bird}, {kind: template, template: /etc/hostname, output: /var/lib/keepcast/bird.conf, reload: [x]}]\n",
			`keepcast.yaml:2:25: drivers[template]: /var/lib/keepcast/bird.conf is written by drivers[bird] already: each driver has a file of its own`,
		},
		"all in one go": {
			minimal + "lingre: 5s\nlisten: 5\n-- conf.d/x.yaml --\nfoo: 1\n",
			"keepcast.yaml:2:1: lingre: no such setting (did you mean \"linger\"?)\nkeepcast.yaml:3:1: listen: text expected, got 5: write it in quotes\nconf.d/x.yaml:1:1: foo: no such setting",
		},
	} {
		t.Run(name, func(t *testing.T) {
			main := files(t, tc.text)
			_, err := Load(main)
			if _, ok := errors.AsType[Faults](err); !ok {
				t.Fatalf("got %v", err)
			}
			got := strings.ReplaceAll(err.Error(), filepath.Dir(main)+"/", "")
			if got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

// Two drivers may share an FRR, not a daemon of it, and have nothing else in common.
func TestDriversApart(t *testing.T) {
	c := load(t, minimal+`drivers:
- {kind: frr, daemons: [bgpd]}
- {name: igp, kind: frr, daemons: [ospfd, ospf6d], snippet: /var/lib/keepcast/igp.conf}
- {name: blue, kind: frr, directory: /run/frr/blue, daemons: [bgpd], snippet: /var/lib/keepcast/blue.conf}
- {kind: quagga}
- {kind: bird}
- {name: bird2, kind: bird, socket: /run/bird/two.ctl, snippet: /var/lib/keepcast/two.conf}
`)
	if len(c.Drivers) != 6 {
		t.Errorf("got %+v", c.Drivers)
	}
}

func TestMissingFile(t *testing.T) {
	if _, err := Load(filepath.Join(t.TempDir(), "keepcast.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(whole)
	f.Add("a: &x {b: 1}\nc: *x\n<<: *x\n")
	f.Add("a: &x {b: *x}\n")
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "keepcast.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if c, err := Load(path); (c == nil) == (err == nil) {
			t.Errorf("got %v, %v", c, err)
		}
	})
}

// checkKinds returns the names of all kinds of checks, as an error lists them.
func checkKinds() string {
	var names []string
	for _, k := range checks.Kinds() {
		names = append(names, k.Name)
	}
	return strings.Join(names, ", ")
}

// driverKinds returns the names of all kinds of drivers, as an error lists them.
func driverKinds() string {
	var names []string
	for _, k := range kinds.All() {
		names = append(names, k.Name)
	}
	return strings.Join(names, ", ")
}
