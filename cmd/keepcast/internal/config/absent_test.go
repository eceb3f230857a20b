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

// Whatever while_withdrawn is, the address of a withdrawn service is off its interface.
func TestWaitsForItself(t *testing.T) {
	const text = "waits for an address of the service itself, which is on anycast0 only while the service is not withdrawn: " +
		"it could never be announced. Look for another address of this host, or leave out the check"
	const itself = "{kind: address, address: 192.0.2.1}"
	for name, tt := range map[string]struct{ top, checks, want string }{
		"deliver":           {"", itself, text},
		"absent":            {"while_withdrawn: absent\n", itself, text},
		"its interface":     {"", "{kind: address, address: '2001:db8::1', interface: anycast0}", text},
		"another interface": {"", "{kind: address, address: 192.0.2.1, interface: lo}", ""},
		"another address":   {"", "{kind: address, address: 192.0.2.9}", ""},
		"another service's": {"", "{kind: address, address: 192.0.2.2}", ""},
		"one that degrades": {"", "{kind: address, address: 192.0.2.1, on_failure: degrade}, {kind: exec, command: [x]}", ""},
		"somebody else's":   {"manage_addresses: false\ndrivers: [{kind: bird}]\n", itself, ""},
	} {
		_, err := Load(files(t, tt.top+"services:\n"+service("b", "addresses: [192.0.2.2]")+"- {name: a, addresses: [192.0.2.1, '2001:db8::1'], checks: ["+tt.checks+"]}\n"))
		want := tt.want
		if want != "" {
			want = ": services[a].checks[address]: " + want
		}
		if got := drivertest.ErrText(err); !strings.HasSuffix(got, want) || want == "" && err != nil {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

// pimd takes a host for the RP only while the address is on it.
func TestWaitsForRP(t *testing.T) {
	const text = "takes this host for the RP only while the address is on it, and it is an address of the service itself, which is off while that is withdrawn: " +
		"it could never be announced. Have the address on the host for good, and set manage_addresses: false"
	for name, tt := range map[string]struct{ top, rp, want string }{
		"its own":         {"", "192.0.2.1", "keepcast.yaml:2:46: services[a].checks[pim]: " + text},
		"another one":     {"", "192.0.2.9", ""},
		"somebody else's": {"manage_addresses: false\ndrivers: [{kind: bird}]\n", "192.0.2.1", ""},
	} {
		got := faultsOf(t, tt.top+"services:\n- {name: a, addresses: [192.0.2.1], checks: [{kind: pim, rp: "+tt.rp+"}]}\n")
		if got != tt.want {
			t.Errorf("%s: got  %s\nwant %s", name, got, tt.want)
		}
	}
}
