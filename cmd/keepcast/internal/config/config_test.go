package config

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// What is in force is kept as one file, by which the fail-safe withdraws after a crash.
func TestText(t *testing.T) {
	c := load(t, announcing+"defaults: {rise: 7}\n-- conf.d/x.yaml --\nlinger: 5s\n")
	text, err := c.Text()
	if err != nil {
		t.Fatal(err)
	}
	again := load(t, string(text))
	if d := cmp.Diff(c.State("outside", driver.Announced), again.State("outside", driver.Announced), cmpopts.EquateComparable(netip.Prefix{})); d != "" {
		t.Error(d)
	}
	if again.Linger != c.Linger || again.Services[0].Checks[0].Rise != 7 || len(again.Drivers) != 2 {
		t.Errorf("got %s", text)
	}
}

func TestServiceByName(t *testing.T) {
	c := load(t, announcing)
	if s, err := c.ServiceByName("ldap"); err != nil || s != &c.Services[1] {
		t.Errorf("got %+v, %v", s, err)
	}
	if _, err := c.ServiceByName("LDAP"); err == nil || err.Error() != `no service "LDAP" (configured: dns, ldap)` {
		t.Errorf("got %v", err)
	}
}

func TestNotes(t *testing.T) {
	c := load(t, `services:
- {name: a, addresses: [192.0.2.1, 192.0.0.9], checks: [{kind: exec, command: [x]}]}
- {name: b, addresses: ["2001:db8::fdff:ffff:ffff:fffe/64"], checks: [{kind: exec, command: [x]}]}
`)
	if d := cmp.Diff([]string{
		"note: services[a]: 192.0.0.9 is the well-known anycast address of PCP (RFC 7723)",
		"note: services[b]: 2001:db8::fdff:ffff:ffff:fffe is a reserved subnet anycast address, identifier 126, Mobile IPv6 home agents (RFC 2526)",
	}, c.Notes()); d != "" {
		t.Error(d)
	}
}

func TestRequire(t *testing.T) {
	var r Require
	for _, tt := range []struct {
		text, err string
		needed    int // of 3 checks
	}{
		{"2", "", 2},
		{"all", "", 3},
		{"any", "", 1},
		{"4", "", 4},
		{"0", `"0": all, any or a number from 1 expected`, 4},
		{"some", `"some": all, any or a number from 1 expected`, 4},
	} {
		err := r.UnmarshalText([]byte(tt.text))
		if got := drivertest.ErrText(err); got != tt.err || r.Needed(3) != tt.needed {
			t.Errorf("%s: got %d, %s", tt.text, r.Needed(3), got)
		}
		if back, err := r.MarshalText(); tt.err == "" && (string(back) != tt.text || err != nil) {
			t.Errorf("%s: written as %s, %v", tt.text, back, err)
		}
	}
	if err := r.UnmarshalText([]byte("1")); err != nil || r.Needed(3) != 1 {
		t.Errorf("1: got %d, %v", r.Needed(3), err)
	}
}

func TestPrefix(t *testing.T) {
	for text, want := range map[string]string{
		"203.0.113.0/24":     "203.0.113.0/24",
		"2001:db8::/48":      "2001:db8::/48",
		"203.0.113.7/32":     "203.0.113.7/32",
		"223.255.255.255/32": "223.255.255.255/32", // the address after it is multicast
		"203.0.113.1/24":     "203.0.113.1/24 has host bits: the prefix is 203.0.113.0/24",
		"203.0.113.0":        `"203.0.113.0" is no prefix with its length, such as 203.0.113.0/24`,
		"127.0.0.1/32":       "127.0.0.1 is a loopback address: no other host could reach it",
		"127.0.0.0/8":        "127.0.0.1 is a loopback address: no other host could reach it",
		"0.0.0.0/0":          "0.0.0.0/0",
		"::/0":               "::/0",
		"10.0.0.0/0":         "10.0.0.0/0 has host bits: the prefix is 0.0.0.0/0",
		"fe80::/10":          "fe80::1 is a link-local address: no router forwards it",
	} {
		var p Prefix
		got := drivertest.ErrText(p.UnmarshalText([]byte(text)))
		if got == "" {
			got = p.String()
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}

// What the operator wrote for a service holds for it, else what holds for all.
func TestWithdrawsOnVoid(t *testing.T) {
	c := load(t, "on_void: withdraw\nservices:\n"+service("a", "addresses: [192.0.2.1]")+service("b", "addresses: [192.0.2.2], on_void: keep"))
	if !c.Services[0].WithdrawsOnVoid() || c.Services[1].WithdrawsOnVoid() {
		t.Errorf("withdraws: %v, %v", c.Services[0].WithdrawsOnVoid(), c.Services[1].WithdrawsOnVoid())
	}
}

func TestAbsent(t *testing.T) {
	c := load(t, "while_withdrawn: absent\nservices:\n"+
		"- {name: a, addresses: [192.0.2.1], checks: [{kind: exec, command: [x]}]}\n"+
		"- {name: b, addresses: [192.0.2.2], while_withdrawn: deliver, checks: [{kind: exec, command: [x]}]}\n")
	if !c.Services[0].Absent() || c.Services[1].Absent() {
		t.Errorf("absent: %v, %v", c.Services[0].Absent(), c.Services[1].Absent())
	}
}
