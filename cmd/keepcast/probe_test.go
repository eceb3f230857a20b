package main

import (
	"encoding/json"
	"errors"
	"net/netip"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keepcast/keepcast/checks"
	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
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
      - {name: told, kind: push}
`)
	code, out, errs := keepcastSays(t, "probe", "-c", file)
	if want := "keepcast: 1 of 4 checks failed, and 2 could not be run\n"; code != exitFailed || errs != want {
		t.Errorf("exit code %d, got %s, want %s", code, errs, want)
	}
	for i, want := range []string{
		"dns/fit: fit (TIME)",
		"dns/elsewhere: void, which says nothing of the service: 192.0.2.53:53: dial tcp 192.0.2.53:53: not probed, since only an answer of this host counts: 192.0.2.53 is not on this host",
		"dns/here: failed after TIME: 127.0.0.1:1: dial tcp 127.0.0.1:1: connect: connection refused",
		"dns/told: void, which says nothing of the service: only the running keepcast has the reports: ask it with keepcast check-now dns/told",
	} {
		if got := strings.Split(took.ReplaceAllString(out, "TIME"), "\n")[i]; !strings.HasPrefix(got, want) {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// Before the first start a newcomer was told that another host would answer, and that there
// was no route to any, and not that keepcast itself puts the address there.
func TestProbeBeforeTheStart(t *testing.T) {
	const check = "checks: [{kind: tcp, address: '192.0.2.53:53'}]"
	for name, tt := range map[string]struct{ main, absent, want string }{
		"keepcast puts it there": {"", "", "keepcast puts it there while it runs: start it, then probe again"},
		"while it is announced":  {"", "while_withdrawn: absent, ", "keepcast puts it there while it runs and service dns is announced (while_withdrawn: absent)"},
		"somebody puts it there": {"manage_addresses: false\ndrivers: [{kind: bird}]", "", "put it there first: with manage_addresses: false keepcast does not"},
	} {
		t.Run(name, func(t *testing.T) {
			file := written(t, tt.main+`
services:
  - {name: dns, addresses: [192.0.2.53], `+tt.absent+`checks: [{kind: exec, command: ["true"]}]}
  - {name: web, addresses: [192.0.2.54], `+check+`}
`)
			_, out, errs := keepcastSays(t, "probe", "web", "-c", file)
			if !strings.Contains(out, ": 192.0.2.53 is not on this host") || !strings.HasSuffix(out, "; "+tt.want+"\n") {
				t.Errorf("got %s%s\nwant %s", out, errs, tt.want)
			}
		})
	}
}

// An address that is here may be probed, and so may that of another host which no service has.
func TestProbeAllows(t *testing.T) {
	cfg := loaded(t, `services: [{name: dns, addresses: [192.0.2.53], checks: [{kind: exec, command: ["true"]}]}]`)
	cfg.Services[0].Addresses = append(cfg.Services[0].Addresses, config.Address{Prefix: netip.MustParsePrefix("127.0.0.53/32")})
	ctx := guarded(t.Context(), cfg, kernelOf(cfg).Local)
	for _, address := range []string{"127.0.0.53:9", "192.0.2.99:9"} {
		conn, err := checks.Dialer().DialContext(ctx, "udp", address)
		if err == nil {
			conn.Close()
		} else if health.IsVoid(err) { // else there is no route
			t.Error(err)
		}
	}
}

// Where the kernel can't say whether an address is here, it is not probed.
func TestProbeKernelSilent(t *testing.T) {
	cfg := loaded(t, `services: [{name: dns, addresses: [192.0.2.53], checks: [{kind: exec, command: ["true"]}]}]`)
	ctx := guarded(t.Context(), cfg, func(netip.Addr) error { return syscall.EMFILE })
	if _, err := checks.Dialer().DialContext(ctx, "udp", "192.0.2.53:9"); !errors.Is(err, syscall.EMFILE) {
		t.Errorf("got %v", err)
	}
}

// Of checks that are named it is shown what they saw, and nothing that a service says reaches
// the terminal as an order to it.
func TestProbeSeen(t *testing.T) {
	file := written(t, `
services:
  - name: dns
    addresses: [192.0.2.53]
    checks:
      - {name: talks, kind: exec, command: ["sh", "-c", 'printf "\\033[2Jhello\\nworld\\n"']}
      - {name: hangs, kind: exec, command: ["sleep", "1000"], timeout: 500ms}
`)
	code, out, errs := keepcastSays(t, "probe", "dns", "-c", file)
	if want := "keepcast: 1 of 2 checks failed\n"; code != exitFailed || errs != want {
		t.Errorf("exit code %d, got %s, want %s", code, errs, want)
	}
	got := regexp.MustCompile(`(?m)^  +[0-9.]+(µs|ms|s)`).ReplaceAllString(out, "  TIME")
	got = regexp.MustCompile(`process [0-9]+`).ReplaceAllString(took.ReplaceAllString(got, "TIME"), "process N")
	want := `dns/talks: fit (TIME)
  TIME  started  sh, as process N
  TIME  output   "\x1b[2Jhello"
  TIME  output   "world"
  TIME  exited   exit status 0
dns/hangs: failed after TIME: timeout after TIME: sleep: timed out, killed
  TIME  started      sleep, as process N
  TIME  waiting for  process N to exit; it was killed
`
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	_, out, _ = keepcastSays(t, "probe", "-c", file)
	if n := strings.Count(out, "\n"); n != 2 {
		t.Errorf("%d lines of all: %s", n, out)
	}
}

// What a machine reads of a run.
func TestProbeJSON(t *testing.T) {
	file := written(t, `
services:
  - name: dns
    addresses: [192.0.2.53]
    checks:
      - {name: fit, kind: exec, command: ["true"]}
      - {name: elsewhere, kind: tcp, address: "192.0.2.53:53"}
      - {name: hangs, kind: exec, command: ["sleep", "1000"], timeout: 500ms}
`)
	code, out, _ := keepcastSays(t, "probe", "-o", "json", "-c", file)
	var got []map[string]any
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitFailed {
		t.Fatal(code, err, out)
	}
	words := map[string]string{}
	for _, one := range got {
		if took, _ := one["took_seconds"].(float64); took <= 0 || took > 60 {
			t.Errorf("took %v", one["took_seconds"])
		}
		delete(one, "took_seconds")
		name := one["check"].(string)
		after := 0.0
		for _, s := range one["seen"].([]any) {
			seen := s.(map[string]any)
			if now, _ := seen["after_seconds"].(float64); now < after {
				t.Errorf("%s comes after %v", seen["what"], after)
			} else {
				after = now
			}
			words[name] += seen["what"].(string) + " "
			if seen["text"] == "" {
				t.Errorf("%s: no text", name)
			}
		}
		delete(one, "seen")
		if waits, ok := one["waiting_for"]; ok != (name == "hangs") {
			t.Errorf("%s waits for %v", name, waits)
		}
		delete(one, "waiting_for")
		if err, ok := one["error"].(string); ok { // where it would go to depends on the host
			one["error"], _, _ = strings.Cut(err, " is not on this host")
		}
	}
	run := func(check, kind, outcome, err string) map[string]any {
		m := map[string]any{"service": "dns", "check": check, "kind": kind, "outcome": outcome, "certain": false}
		if err != "" {
			m["error"] = err
		}
		return m
	}
	want := []map[string]any{
		run("fit", "exec", "fit", ""),
		run("elsewhere", "tcp", "void", "192.0.2.53:53: dial tcp 192.0.2.53:53: not probed, since only an answer of this host counts: 192.0.2.53"),
		run("hangs", "exec", "failed", "timeout after 500ms: sleep: timed out, killed"),
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(map[string]string{"fit": "started exited ", "hangs": "started "}, words); d != "" {
		t.Error(d)
	}
	_, out, _ = keepcastSays(t, "probe", "dns/fit", "-o", "yaml", "-c", file)
	if !strings.HasPrefix(out, "- service: dns\n  check: fit\n  kind: exec\n  outcome: fit\n  certain: false\n") {
		t.Errorf("got %s", out)
	}
	_, out, _ = keepcastSays(t, "probe", "dns/elsewhere", "-o", "json", "-c", file)
	has(t, out, `"seen": []`)
}

// The columns are as wide as the longest word.
func TestStages(t *testing.T) {
	p := probed{Seconds: 2, Seen: []seen{{0.00012, "connected", "a"}, {0.0123, "tls", "b\tc\nd"}}, WaitingFor: "a reply"}
	want := "      120µs  connected    a\n     12.3ms  tls          b c; d\n         2s  waiting for  a reply\n"
	if d := cmp.Diff(want, p.stages()); d != "" || len(p.Seen) != 2 {
		t.Error(d)
	}
	p.WaitingFor = ""
	if got := p.stages(); got != "      120µs  connected  a\n     12.3ms  tls        b c; d\n" {
		t.Errorf("got %s", got)
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
