package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keepcast/keepcast/driver/drivertest"
	"github.com/keepcast/keepcast/driver/pace"
)

// Each of these was valid, and the check or driver that needs it failed from the first run
// to the last: nobody was told before the service was expected to be announced.
func TestHost(t *testing.T) {
	for entry, want := range map[string]string{
		`{kind: exec, command: [DIR/none]}`:                                                      "command: DIR/none does not exist",
		`{kind: exec, command: [DIR/keepcast.yaml]}`:                                             "command: DIR/keepcast.yaml may not be executed: chmod +x DIR/keepcast.yaml",
		`{kind: exec, command: [no-such-program]}`:                                               `command: "no-such-program" is in no directory of PATH: give its whole path`,
		`{kind: exec, command: [sh], dir: DIR/none}`:                                             "dir: stat DIR/none: no such file or directory",
		`{kind: exec, command: [./none], dir: DIR}`:                                              "command: DIR/none does not exist",
		`{kind: http, url: 'https://a/', tls: TLS}`:                                              "tls.ca: open DIR/none: no such file or directory",
		`{kind: http, url: 'https://a/', tls: PLAIN}`:                                            "tls.ca: no PEM certificate in DIR/keepcast.yaml",
		`{kind: tcp, address: 'a:1', transport: tls, tls: {cert: DIR/none, key: DIR/none}}`:      "tls.cert: open DIR/none: no such file or directory",
		`{kind: dns, server: a, query: a, transport: tls, tls: TLS}`:                             "tls.ca: open DIR/none: no such file or directory",
		`{kind: dns, server: a, query: a, transport: https, tls: {cert: DIR/none, key: DIR/no}}`: "tls.cert: open DIR/none: no such file or directory",
		`{kind: exec, command: [sh]}`:                                                            "",
		`{kind: exec, command: [/bin/sh], dir: DIR}`:                                             "",
		`{kind: systemd, unit: a.service}`:                                                       "",
		`{kind: dns, server: a, query: a}`:                                                       "",
	} {
		entry := strings.NewReplacer("TLS", "{ca: DIR/none}", "PLAIN", "{ca: DIR/keepcast.yaml}").Replace(entry)
		c, got := loadIn(t, "services: [{name: a, addresses: [192.0.2.1], checks: ["+entry+"]}]\n")
		if want != "" {
			want = "DIR/keepcast.yaml:1:55: services[a].checks[" + c.Services[0].Checks[0].Name + "]: " + want
		}
		if got != want {
			t.Errorf("%s\ngot  %s\nwant %s", entry, got, want)
		}
	}
}

// What a check of the top level needs is looked at once, however many use it.
func TestHostOfUsed(t *testing.T) {
	_, got := loadIn(t, "checks: [{kind: exec, command: [DIR/none]}]\nservices: [{name: a, addresses: [192.0.2.1], checks: [{use: exec}, {use: exec, name: b}]}]\n")
	want := "DIR/keepcast.yaml:1:10: checks[exec]: command: DIR/none does not exist"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// loadIn loads a configuration that names its directory DIR, and returns what LoadStrict
// finds wrong with it.
func loadIn(t *testing.T, text string) (c *Config, faults string) {
	t.Helper()
	main := files(t, "")
	dir := filepath.Dir(main)
	drivertest.WriteFile(t, main, strings.ReplaceAll(text, "DIR", dir))
	c, err := Load(main)
	if err != nil {
		t.Fatal(err)
	}
	_, err = LoadStrict(main)
	return c, strings.ReplaceAll(drivertest.ErrText(err), dir, "DIR")
}

// The commands of a driver are looked at, too; all that is missing is said.
func TestHostOfDriver(t *testing.T) {
	_, got := loadIn(t, minimal+"drivers:\n- {kind: template, template: /etc/hostname, output: /o, check: [DIR/none], observe: [sh], reload: [none-either]}\n")
	want := "DIR/keepcast.yaml:3:3: drivers[template]: check: DIR/none does not exist\n" +
		`reload: "none-either" is in no directory of PATH: give its whole path`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Whoever validates corrects all faults in one go: a socket path, a check without a program or
// a count of checks was judged only once every other fault was mended.
func TestAllInOneGo(t *testing.T) {
	main := files(t, `lingre: 5s
on_stop: wait
hold_down: 5
while_withdrawn: absent
listen: ":99171"
control_socket: `+strings.Repeat("/x", 60)+`
runtime_directory: 5
state_directory: /etc/hostname
interface: any/0
defaults: {rise: 0, fall: x, interval: 1s}
drivers: [{kind: template, template: /etc/hostname, output: /o, reload: [no-such-program]}, {kind: bird, socket: 5}]
services:
- {name: a, addresses: [192.0.2.1], linger: 5, require: 3, checks: [{kind: exec, command: [/nowhere/a]}, {name: t, kind: tcp, address: "192.0.2.1:1", timeout: 2}]}
- {name: b, hold_down: 5, prefixes: [], checks: [{kind: exec, command: [sh], on_failure: degrade}, {name: p, kind: pnig}]}
- {addresses: [192.0.2.2], checks: [{name: d, kind: tcp, address: "192.0.2.2:2", on_failure: degrade}]}
`)
	_, err := LoadStrict(main)
	want := `keepcast.yaml:1:1: lingre: no such setting (did you mean "linger"?)
keepcast.yaml:2:1: on_stop: "wait" is none of auto, withdraw, keep
keepcast.yaml:3:1: hold_down: duration with a unit expected, such as 500ms or 2s, got 5
keepcast.yaml:5:1: listen: ":99171": "99171" is no port: a number up to 65535 expected
keepcast.yaml:6:1: control_socket: 120 bytes are too many for the path of a socket, which has 107 at most: move it to a shorter one, such as /run/x
keepcast.yaml:7:1: runtime_directory: text expected, got 5: write it in quotes
keepcast.yaml:8:1: state_directory: /etc/hostname is a file, not a directory
keepcast.yaml:9:1: interface: "any/0" is no name of an interface: up to 15 letters, digits, '.', '-', '_' and ':'
keepcast.yaml:10:12: defaults.rise: 0 is below the least value, 1
keepcast.yaml:10:21: defaults.fall: whole number expected, got "x"
keepcast.yaml:11:11: drivers[template]: reload: "no-such-program" is in no directory of PATH: give its whole path
keepcast.yaml:11:106: drivers[bird].socket: text expected, got 5: write it in quotes
keepcast.yaml:13:37: services[a].linger: duration with a unit expected, such as 500ms or 2s, got 5
keepcast.yaml:13:48: services[a].require: 3 checks required, but only 2 with on_failure: withdraw
keepcast.yaml:13:69: services[a].checks[exec]: command: /nowhere/a does not exist
keepcast.yaml:13:106: services[a].checks[t]: probes an address of the service itself, which is off the host while the service is withdrawn (while_withdrawn: absent): it could never be announced. Probe another address of this host, such as 127.0.0.1, or leave out while_withdrawn: absent
keepcast.yaml:13:151: services[a].checks[t].timeout: duration with a unit expected, such as 500ms or 2s, got 2
keepcast.yaml:14:3: services[b].addresses: required, but missing: a service has addresses, prefixes, or both
keepcast.yaml:14:13: services[b].hold_down: duration with a unit expected, such as 500ms or 2s, got 5
keepcast.yaml:14:110: services[b].checks[p].kind: no kind "pnig" (did you mean "ping"?)
keepcast.yaml:15:3: services[2].name: required, but missing
keepcast.yaml:15:28: services[2].checks: no check withdraws the service when it fails: add one, or leave out on_failure: degrade`
	if got := strings.ReplaceAll(drivertest.ErrText(err), filepath.Dir(main)+"/", ""); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// What has no name, or is wrong, is not looked at on the host.
func TestHostOfFaultyEntries(t *testing.T) {
	for text, want := range map[string]string{
		"services: [{addresses: [192.0.2.1], checks: [{kind: exec, command: [/nowhere/a], rise: 0}]}]\n": "keepcast.yaml:1:12: services[0].name: required, but missing\n" +
			"keepcast.yaml:1:82: services[0].checks[exec].rise: 0 is below the least value, 1",
		"services: [{name: a, addresses: [192.0.2.1], checks: [{kind: exec, command: []}]}]\n": "keepcast.yaml:1:68: services[a].checks[exec].command: required, but the list is empty",
		"services: [{addresses: [192.0.2.1], checks: [{kind: exec, command: []}]}]\n": "keepcast.yaml:1:12: services[0].name: required, but missing\n" +
			"keepcast.yaml:1:59: services[0].checks[exec].command: required, but the list is empty",
	} {
		main := files(t, text)
		_, err := LoadStrict(main)
		if got := strings.ReplaceAll(drivertest.ErrText(err), filepath.Dir(main)+"/", ""); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// With one typo in the syntax of the main file, its drop-ins were said to lack what it has.
func TestNothingIsMissingFromAnUnreadFile(t *testing.T) {
	const dropIn = `-- conf.d/a.yaml --
linger: 5
services:
- {name: dns, checks: [{name: a, interval: 5s}]}
- {name: web, addresses: [192.0.2.54], drivers: [bird], require: 2, checks: [{kind: exec, command: [/bin/true]}]}
- {name: new, prefixes: [192.0.2.0/24]}
- {name: low, checks: [{name: a, on_failure: degrade}]}
`
	const linger = "\nconf.d/a.yaml:1:1: linger: duration with a unit expected, such as 500ms or 2s, got 5"
	for text, want := range map[string]string{
		"services: [\n" + dropIn:                               "keepcast.yaml:1:1: did not find expected node content" + linger,
		"linger: 5s\n---\nservices: []\n" + dropIn:             "keepcast.yaml:3:1: a second document begins here (after ---), which is not read: have it in a file of its own, conf.d/NAME.yaml" + linger,
		"manage_addresses: false\n-- conf.d/services.yml --\n": "conf.d/services.yml: is not read: drop-ins are *.yaml, so rename it to services.yaml",
	} {
		main := files(t, text)
		_, err := Load(main)
		if got := strings.ReplaceAll(drivertest.ErrText(err), filepath.Dir(main)+"/", ""); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", text, got, want)
		}
	}
}

// A build machine has the configuration, and not what it names.
func TestOffline(t *testing.T) {
	main := files(t, minimal+"drivers: [{kind: template, template: /nowhere/t, output: /nowhere/o, reload: [x]}]\nruntime_directory: /etc/hostname\n")
	if _, err := LoadOffline(main); err != nil {
		t.Error(err)
	}
	want := main + ":2:11: drivers[template]: reading the template: open /nowhere/t: no such file or directory\n" +
		main + ":3:1: runtime_directory: /etc/hostname is a file, not a directory"
	if _, err := Load(main); drivertest.ErrText(err) != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if err := os.WriteFile(main, []byte(minimal+"linger: 5\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadOffline(main); err == nil {
		t.Error("a fault of the configuration itself is let pass")
	}
}

// A state directory on a file system that hung kept keepcast from starting, and status, drain
// and withdraw-all from an end: none of them knew how to wait. Only who validates is told, once of
// each setting: templates there were looked at again after the first had hung, and the look
// for who may write there, which doctor takes, never ended.
func TestDirectoryHangs(t *testing.T) {
	hung, _ := drivertest.HangingDir(t)
	main := files(t, minimal+"state_directory: "+hung+"/state\ndrain_directory: "+hung+"/drain.d\ntemplate_directory: "+hung+"/templates\n")
	linked := files(t, minimal)
	templates := filepath.Dir(linked) // on a disk that answers
	drivertest.WriteFile(t, linked, minimal+"template_directory: "+templates+"\n")
	if err := os.Symlink(hung+"/bird.conf.tmpl", templates+"/bird.conf.tmpl"); err != nil {
		t.Fatal(err)
	}
	hangs := ": " + pace.ErrHangs.Error()
	state := main + ":2:1: state_directory: DIR/state" + hangs
	others := main + ":3:1: drain_directory: DIR/drain.d" + hangs + "\n" + main + ":4:1: template_directory: DIR/templates" + hangs
	for name, tt := range map[string]struct {
		look func() error
		want string
	}{
		"validate": {func() error { _, err := LoadStrict(main); return err }, state + "\n" + others},
		"validate a template that is a link": {
			func() error { _, err := LoadStrict(linked); return err },
			linked + ":2:1: template_directory: " + templates + hangs,
		},
		"start":                   {func() error { _, err := Load(main); return err }, ""},
		"last good configuration": {func() error { _, err := LastGood(hung); return err }, "the last good configuration: configuration: DIR/last-good.yaml" + hangs},
		"who may write there":     {func() error { return Distrusted(hung + "/state") }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // each waits for seconds
			if got := strings.ReplaceAll(drivertest.ErrText(tt.look()), hung, "DIR"); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}
