package config

import (
	"net/netip"
	"testing"
)

func TestSubnetAnycast(t *testing.T) {
	for name, tc := range map[string]struct {
		subnet string
		id     int
		format IDFormat
		want   string
		err    string
	}{
		"EUI-64, a /64":            {"2001:db8:53::/64", 1, FormatAuto, "2001:db8:53:0:fdff:ffff:ffff:ff81", ""},
		"EUI-64, home agents":      {"2001:db8::/64", 126, FormatAuto, "2001:db8::fdff:ffff:ffff:fffe", ""},
		"other, a /56":             {"2001:db8:53::/56", 1, FormatAuto, "2001:db8:53:ff:ffff:ffff:ffff:ff81", ""},
		"other, a /112":            {"2001:db8:53::/112", 0, FormatAuto, "2001:db8:53::ff80", ""},
		"other, a /121":            {"2001:db8:53::80/121", 5, FormatAuto, "2001:db8:53::85", ""},
		"other, a /64 in 0000::/3": {"64:ff9b:1::/64", 1, FormatAuto, "64:ff9b:1:0:ffff:ffff:ffff:ff81", ""},
		"other, asked for":         {"2001:db8:53::/64", 1, FormatOther, "2001:db8:53:0:ffff:ffff:ffff:ff81", ""},
		"EUI-64 needs a /64":       {"2001:db8:53::/56", 1, FormatEUI64, "", "EUI-64 based identifiers have 64 bits: the subnet must be a /64"},
		"other, the last one":      {"2001:db8:53::/56", 127, FormatAuto, "2001:db8:53:ff:ffff:ffff:ffff:ffff", ""},
		"EUI-64, asked for":        {"64:ff9b:1::/64", 1, FormatEUI64, "64:ff9b:1:0:fdff:ffff:ffff:ff81", ""},
		"IPv4":                     {"192.0.2.0/24", 1, FormatAuto, "", "192.0.2.0/24 is no IPv6 subnet: RFC 2526 reserves anycast addresses in IPv6 subnets only"},
		"host bits":                {"2001:db8::1/64", 1, FormatAuto, "", "2001:db8::1/64 is not a subnet: write 2001:db8::/64"},
		"too small":                {"2001:db8::/122", 1, FormatAuto, "", "2001:db8::/122 is too small: an anycast identifier has 7 bits, so the length may be 121 at most"},
		"identifier":               {"2001:db8::/64", 128, FormatAuto, "", "identifier 128 is out of range (0 to 127)"},
		"format":                   {"2001:db8::/64", 1, "eui48", "", `no format "eui48" (known: auto, eui64, other)`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := SubnetAnycast(netip.MustParsePrefix(tc.subnet), tc.id, tc.format)
			switch {
			case tc.err != "" && (err == nil || err.Error() != tc.err):
				t.Errorf("got error %v, want %s", err, tc.err)
			case tc.err == "" && (err != nil || got != netip.MustParseAddr(tc.want)):
				t.Errorf("got %s, %v, want %s", got, err, tc.want)
			}
		})
	}
}

func TestReserved(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.53/32":                         "",
		"2001:db8:53::53/128":                   "",
		"192.0.0.9/32":                          "the well-known anycast address of PCP (RFC 7723)",
		"2001:1::1/128":                         "the well-known anycast address of PCP (RFC 7723)",
		"192.0.0.10/32":                         "the well-known anycast address of TURN (RFC 8155)",
		"2001:1::2/128":                         "the well-known anycast address of TURN (RFC 8155)",
		"2001:db8:53:0:fdff:ffff:ffff:ff81/128": "a reserved subnet anycast address, identifier 1 (RFC 2526)",
		"2001:db8:53:0:fdff:ffff:ffff:fffe/64":  "a reserved subnet anycast address, identifier 126, Mobile IPv6 home agents (RFC 2526)",
		"2001:db8:53:ff:ffff:ffff:ffff:ff81/56": "a reserved subnet anycast address, identifier 1 (RFC 2526)",
		"2001:db8:53:0:ffff:ffff:ffff:ff81/128": "a reserved subnet anycast address, identifier 1 (RFC 2526)",
		"2001:db8:53:0:fdff:ffff:ffff:ff7f/128": "",
		"::5/125":                               "", // too small a subnet for any
	} {
		if got := Reserved(netip.MustParsePrefix(address)); got != want {
			t.Errorf("%s: got %q, want %q", address, got, want)
		}
	}
}

func TestAddress(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.53":         "192.0.2.53/32",
		"203.0.113.1/24":     "203.0.113.1/24",
		"2001:db8:53::53":    "2001:db8:53::53/128",
		"2001:db8:53::53/48": "2001:db8:53::53/48",
		"2001:db8:53::/64":   "2001:db8:53::/64", // the subnet-router anycast address is one
		"0.0.0.0":            "0.0.0.0 is the unspecified address",
		"::":                 ":: is the unspecified address",
		"127.0.0.1":          "127.0.0.1 is a loopback address: no other host could reach it",
		"::1":                "::1 is a loopback address: no other host could reach it",
		"224.0.0.5":          "224.0.0.5 is a multicast address: anycast addresses are unicast addresses (RFC 4291, 2.6)",
		"ff02::5":            "ff02::5 is a multicast address: anycast addresses are unicast addresses (RFC 4291, 2.6)",
		"169.254.1.1":        "169.254.1.1 is a link-local address: no router forwards it",
		"fe80::1":            "fe80::1 is a link-local address: no router forwards it",
		"fe80::1%eth0":       "fe80::1%eth0 has a zone: an anycast address has none",
		"255.255.255.255":    "255.255.255.255 is the broadcast address",
		"::ffff:192.0.2.1":   "::ffff:192.0.2.1 is an IPv4 address in IPv6 form: write 192.0.2.1",
		"203.0.113.0/24":     "203.0.113.0/24 is a network: write the address that the service answers on, such as 203.0.113.1/24",
		"203.0.113.0/31":     "203.0.113.0/31", // a link of two has no network address (RFC 3021)
		"192.0.2.1/0":        "192.0.2.1/0 is the default route, not the prefix of a service",
		"192.0.2":            `"192.0.2" is no address`,
		"192.0.2.1/33":       `"192.0.2.1/33" is no address with a length`,
	} {
		var a Address
		got := ""
		if err := a.UnmarshalText([]byte(text)); err != nil {
			got = err.Error()
		} else {
			got = a.String()
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}
