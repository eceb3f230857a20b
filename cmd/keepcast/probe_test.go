package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/driver/drivertest"
)

func TestChoose(t *testing.T) {
	cfg := loaded(t, `
interface: any0
services:
  - {name: dns, addresses: [192.0.2.53], checks: [{name: a, kind: exec, command: ["true"]}, {name: b, kind: exec, command: ["true"]}]}
  - {name: web, interface: web0, addresses: [192.0.2.80], checks: [{name: a, kind: exec, command: ["true"]}]}
`)
	for name, tt := range map[string]struct {
		names string
		want  []string
		err   string
	}{
		"all":          {"", []string{"dns/a any0", "dns/b any0", "web/a web0"}, ""},
		"a service":    {"web", []string{"web/a web0"}, ""},
		"a check":      {"dns/b", []string{"dns/b any0"}, ""},
		"in order":     {"web/a dns/a", []string{"web/a web0", "dns/a any0"}, ""},
		"no check":     {"dns/a dns/c", nil, `service dns has no check "c" (configured: a, b)`},
		"without name": {"dns/", nil, `service dns has no check "" (configured: a, b)`},
		"no service":   {"ldap", nil, `no service "ldap" (configured: dns, web)`},
	} {
		t.Run(name, func(t *testing.T) {
			chosen, err := choose(cfg, strings.Fields(tt.names))
			var got []string
			for _, c := range chosen {
				got = append(got, c.service+"/"+c.check.Name+" "+c.on)
			}
			if d := cmp.Diff(tt.want, got); d != "" || drivertest.ErrText(err) != tt.err {
				t.Errorf("%v\n%s", err, d)
			}
		})
	}
}

// took is how long a check took.
var took = regexp.MustCompile(`[0-9.]+(µs|ms|s)`)

// A managed address that is not here is not probed: another host would answer. That was
// called a failure, and whoever read it looked for a fault in a service that worked.
func TestProbe(t *testing.T) {
	file := written(t, `
services:
  - name: dns
    addresses: [192.0.2.53]
    checks:
      - {name: fit, kind: exec, command: ["true"]}
      - {name: elsewhere, kind: tcp, address: "192.0.2.53:53"}
      - {name: here, kind: tcp, address: "127.0.0.1:1"}
`)
	code, out, errs := keepcastSays(t, "probe", "-c", file)
	if want := "keepcast: 1 of 3 checks failed, and 1 could not be run\n"; code != exitFailed || errs != want {
		t.Errorf("exit code %d, got %s, want %s", code, errs, want)
	}
	for i, want := range []string{
		"dns/fit: fit (TIME)",
		"dns/elsewhere: void, which says nothing of the service: 192.0.2.53:53: dial tcp 192.0.2.53:53: not probed, since another host would answer: 192.0.2.53 is not on this host",
		"dns/here: failed after TIME: 127.0.0.1:1: dial tcp 127.0.0.1:1: connect: connection refused",
	} {
		if got := strings.Split(took.ReplaceAllString(out, "TIME"), "\n")[i]; !strings.HasPrefix(got, want) {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestProbeVerdict(t *testing.T) {
	for _, tt := range []struct {
		failed, void int
		want         string
	}{
		{0, 0, ""},
		{2, 0, "2 of 3 checks failed"},
		{0, 2, "2 of 3 checks could not be run"},
		{1, 2, "1 of 3 checks failed, and 2 could not be run"},
	} {
		if got := drivertest.ErrText(verdict(tt.failed, tt.void, 3)); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}
