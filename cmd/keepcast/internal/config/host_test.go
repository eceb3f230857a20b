package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keepcast/keepcast/driver/drivertest"
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
		c, dir := loadIn(t, "services: [{name: a, addresses: [192.0.2.1], checks: ["+entry+"]}]\n")
		if want != "" {
			want = "DIR/keepcast.yaml:1:55: services[a].checks[" + c.Services[0].Checks[0].Name + "]: " + want
		}
		if got := strings.ReplaceAll(c.Host().Error(), dir, "DIR"); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", entry, got, want)
		}
	}
}

// loadIn loads a configuration that names its directory DIR.
func loadIn(t *testing.T, text string) (c *Config, dir string) {
	t.Helper()
	main := files(t, "")
	dir = filepath.Dir(main)
	drivertest.WriteFile(t, main, strings.ReplaceAll(text, "DIR", dir))
	c, err := Load(main)
	if err != nil {
		t.Fatal(err)
	}
	return c, dir
}

// The commands of a driver are looked at, too; all that is missing is said.
func TestHostOfDriver(t *testing.T) {
	c, dir := loadIn(t, minimal+"drivers:\n- {kind: template, template: /etc/hostname, output: /o, check: [DIR/none], observe: [sh], reload: [none-either]}\n")
	want := "DIR/keepcast.yaml:3:3: drivers[template]: check: DIR/none does not exist\n" +
		`reload: "none-either" is in no directory of PATH: give its whole path`
	if got := strings.ReplaceAll(c.Host().Error(), dir, "DIR"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
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
