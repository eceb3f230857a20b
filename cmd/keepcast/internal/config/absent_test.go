package config

import (
	"strings"
	"testing"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// A service with while_withdrawn: absent and a check on its own address was never
// announced: the check needs the address, and the address waits for the check.
func TestAbsentCheck(t *testing.T) {
	const text = "probes an address of the service itself, which is off the host while the service is withdrawn (while_withdrawn: absent): " +
		"it could never be announced. Probe another address of this host, such as 127.0.0.1, or leave out while_withdrawn: absent"
	const tcp, dns = "{kind: tcp, address: '192.0.2.1:25'}", "{kind: dns, server: '2001:db8::1', query: a}"
	const http, exec = "{kind: http, url: 'https://www.example.com/', connect: '192.0.2.1:443'}", "{kind: exec, command: [x]}"
	for name, tt := range map[string]struct {
		settings, checks string
		stuck            []string
	}{
		"tcp":                       {"", tcp, []string{"tcp"}},
		"dns":                       {"", dns, []string{"dns"}},
		"http":                      {"", http, []string{"http"}},
		"all":                       {"", tcp + ", " + dns + ", " + exec, []string{"tcp", "dns"}},
		"of several":                {"require: 2, ", tcp + ", " + dns + ", " + exec, []string{"tcp", "dns"}},
		"enough without them":       {"require: any, ", tcp + ", " + dns + ", " + exec, nil},
		"one that degrades":         {"", "{kind: tcp, address: '192.0.2.1:25', on_failure: degrade}, " + exec, nil},
		"another address":           {"", "{kind: tcp, address: '127.0.0.1:25'}, {kind: dns, server: 192.0.2.2, query: a}", nil},
		"a name":                    {"", "{kind: tcp, address: 'mail:25'}", nil},
		"delivered":                 {"while_withdrawn: deliver, ", tcp, nil},
		"somebody else's addresses": {"", "MANAGE" + tcp, nil},
	} {
		top := "while_withdrawn: absent\n"
		entries, others := strings.CutPrefix(tt.checks, "MANAGE")
		if others {
			top += "manage_addresses: false\ndrivers: [{kind: bird}]\n"
		}
		_, err := Load(files(t, top+"services:\n- {name: a, addresses: [192.0.2.1/24, '2001:db8::1'], "+tt.settings+"checks: ["+entries+"]}\n"))
		got := drivertest.ErrText(err)
		for _, check := range tt.stuck {
			if want := ": services[a].checks[" + check + "]: " + text; strings.Count(got, want) != 1 {
				t.Errorf("%s: got %s, want %s", name, got, want)
			}
		}
		if n := strings.Count(got, text); n != len(tt.stuck) || n == 0 && err != nil {
			t.Errorf("%s: got %s", name, got)
		}
	}
}
