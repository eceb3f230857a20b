package doctor

import (
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver"
)

// load returns a configuration with one DNS service, and what more says.
func load(t *testing.T, more string) *config.Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keepcast.yaml")
	text := "template_directory: ''\nruntime_directory: /\nstate_directory: /\n" + more
	if !strings.Contains(more, "services:") {
		text += "services:\n- {name: dns, addresses: [192.0.2.53, '2001:db8:53::53'], checks: [{name: answers, kind: tcp, address: '192.0.2.53:53'}]}\n"
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// healthy is a host on which nothing is to be found: dns is announced.
func healthy() Facts {
	return Facts{
		Running: &Running{},
		Network: Network{Dummy: true, IPv4: true, IPv6: true, Links: []Link{
			{Name: "lo", Type: "device", Up: true, Loopback: true, Addresses: addresses("127.0.0.1/8", "::1/128")},
			{Name: "eth0", Type: "device", Up: true, ARP: true, Addresses: addresses("10.0.0.11/24", "fe80::1/64")},
			{Name: "anycast0", Type: "dummy", Up: true, Addresses: addresses("192.0.2.53/32", "2001:db8:53::53/128")},
		}},
		Sysctls: sysctls(map[string]string{
			"net/ipv6/ip_nonlocal_bind":           "1",
			"net/ipv4/conf/all/arp_announce":      "2",
			"net/ipv4/conf/all/arp_ignore":        "0",
			"net/ipv4/conf/all/rp_filter":         "0",
			"net/ipv4/conf/eth0/rp_filter":        "1",
			"net/ipv4/conf/eth1/rp_filter":        "2",
			"net/ipv6/conf/all/accept_dad":        "0",
			"net/ipv6/conf/anycast0/accept_dad":   "1",
			"net/ipv6/conf/anycast0/disable_ipv6": "0",
			"net/ipv6/conf/default/disable_ipv6":  "0",
		}),
		Account: Account{Name: "root", KnowsCaps: true, Caps: 1<<capNetAdmin | 1<<capDACOverride},
	}
}

func addresses(prefixes ...string) []Address {
	var out []Address
	for _, p := range prefixes {
		out = append(out, Address{Prefix: netip.MustParsePrefix(p)})
	}
	return out
}

func sysctls(values map[string]string) fstest.MapFS {
	out := fstest.MapFS{}
	for name, value := range values {
		out[name] = &fstest.MapFile{Data: []byte(value + "\n")}
	}
	return out
}

// set changes a sysctl of a host.
func (h *Facts) set(name, value string) {
	h.Sysctls.(fstest.MapFS)[name] = &fstest.MapFile{Data: []byte(value + "\n")}
}

// link returns one of a host's interfaces, to be changed.
func (h *Facts) link(name string) *Link {
	for i := range h.Network.Links {
		if h.Network.Links[i].Name == name {
			return &h.Network.Links[i]
		}
	}
	h.Network.Links = append(h.Network.Links, Link{Name: name})
	return &h.Network.Links[len(h.Network.Links)-1]
}

func (h *Facts) drop(name string) {
	for i, l := range h.Network.Links {
		if l.Name == name {
			h.Network.Links = append(h.Network.Links[:i:i], h.Network.Links[i+1:]...)
			return
		}
	}
}

// Each thing that can be wrong with a host, from the one on which nothing is;
// without a driver there is always one note.
func TestFindings(t *testing.T) {
	const others = "manage_addresses: false\ndrivers: [{kind: bird}]\n"
	for name, tc := range map[string]struct {
		more   string
		change func(h *Facts)
		want   []string // level name subject: a part of text and fix
	}{
		"healthy": {"", func(*Facts) {}, nil},
		"not running": {
			"", func(h *Facts) { h.Running = nil },
			[]string{"info not-running keepcast: systemctl start keepcast"},
		},
		"mute": {
			"", func(h *Facts) { h.Running.Mute = errors.New("permission denied") },
			[]string{"info not-asked keepcast: runs, but does not tell what it knows: permission denied"},
		},
		"old configuration": {
			"", func(h *Facts) { h.Running.ConfigError = "keepcast.yaml:1:1: x" },
			[]string{"warning reload-refused keepcast: refused the last reload: keepcast.yaml:1:1: x\ncorrect what it names, then reload: systemctl reload keepcast"},
		},
		"takes a restart": { // it was to be corrected, though it was right
			"", func(h *Facts) {
				before, now := config.Defaults(), config.Defaults()
				now.Listen = ":9911"
				h.Running.ConfigError = config.Fixed(before, now).Error()
			},
			[]string{"warning reload-refused keepcast: which takes a restart of keepcast\nsystemctl restart keepcast, which moves no route unless on_stop is withdraw; or take the change back and reload"},
		},
		"no interface": {
			"", func(h *Facts) { h.drop("anycast0") },
			[]string{"info interface-missing anycast0: keepcast makes it, of type dummy"},
		},
		"no interface of a service": {
			"services: [{name: a, interface: any1, addresses: [198.51.100.1], checks: [{kind: tcp, address: 'x:1'}]}]\n", func(*Facts) {},
			[]string{"info interface-missing any1: keepcast makes it"},
		},
		"no interface, no module": {
			"", func(h *Facts) { h.drop("anycast0"); h.Network.Dummy = false },
			[]string{"error interface-missing anycast0: ip link add anycast0 type ifb"},
		},
		"no interface, no right": {"", func(h *Facts) { h.drop("anycast0"); h.Account.Caps = 1 << capDACOverride }, []string{
			"error interface-missing anycast0: AmbientCapabilities=CAP_NET_ADMIN", "error no-net-admin keepcast: AmbientCapabilities=CAP_NET_ADMIN",
		}},
		"no interface of others": {
			others, func(h *Facts) { h.drop("anycast0") },
			[]string{"error interface-missing anycast0: with manage_addresses: false keepcast does not make it"},
		},
		"interface down": {
			"", func(h *Facts) { h.link("anycast0").Up = false },
			[]string{"info interface-down anycast0: keepcast brings it up"},
		},
		"interface of others down": {
			others, func(h *Facts) { h.link("anycast0").Up = false },
			[]string{"error interface-down anycast0: ip link set anycast0 up"},
		},
		"interface with a segment": {
			"", func(h *Facts) { *h.link("anycast0") = Link{Name: "anycast0", Type: "bridge", Up: true, ARP: true} },
			[]string{"warning interface-answers-arp anycast0: is of type bridge and answers ARP"},
		},
		// With manage_addresses: false and the address missing, the service was announcing for
		// ever, and doctor found nothing.
		"address missing": {
			others, func(h *Facts) { h.link("anycast0").Addresses = addresses("192.0.2.53/32") },
			[]string{"error address-missing dns: ip address add 2001:db8:53::53/128 dev anycast0, in the network configuration of this host"},
		},
		"address missing, but keepcast adds it": {
			"", func(h *Facts) { h.link("anycast0").Addresses = nil }, nil,
		},
		"address missing, and the service is withdrawn": {
			others, func(h *Facts) {
				h.link("anycast0").Addresses = addresses("2001:db8:53::53/128")
				h.Running.Withdrawn = map[string]bool{"dns": true}
			},
			[]string{"warning address-missing dns: 192.0.2.53 is not on this host"},
		},
		// An address on another interface, or of another length, counted as there: BIRD did not
		// announce it.
		"address on another interface": {
			others, func(h *Facts) {
				h.link("anycast0").Addresses = addresses("2001:db8:53::53/128")
				h.link("lo").Addresses = addresses("192.0.2.53/32")
			},
			[]string{
				"error address-missing dns: 192.0.2.53 is not on anycast0 as 192.0.2.53/32, from where alone a daemon announces it, and with manage_addresses: false",
				"warning address-elsewhere dns: 192.0.2.53 is also on lo",
			},
		},
		"address of another length": {
			others, func(h *Facts) { h.link("anycast0").Addresses = addresses("192.0.2.53/24", "2001:db8:53::53/128") },
			[]string{"error address-missing dns: 192.0.2.53 is not on anycast0 as 192.0.2.53/32, from where alone a daemon announces it, and with manage_addresses: false"},
		},
		"address on another interface, with FRR": {
			"manage_addresses: false\ndrivers: [{kind: frr}]\n", func(h *Facts) {
				h.link("anycast0").Addresses = addresses("2001:db8:53::53/128")
				h.link("lo").Addresses = addresses("192.0.2.53/24")
			},
			[]string{"warning address-elsewhere dns: 192.0.2.53 is also on lo"},
		},
		"address elsewhere": {
			"", func(h *Facts) { h.link("lo").Addresses = addresses("192.0.2.53/32") },
			[]string{"error address-elsewhere dns: ip address del 192.0.2.53/32 dev lo"},
		},
		"address elsewhere, with a gate": {
			others, func(h *Facts) { h.link("lo").Addresses = addresses("192.0.2.53/32") },
			[]string{"warning address-elsewhere dns: 192.0.2.53 is also on lo"},
		},
		"address without route": {
			"", func(h *Facts) { h.link("anycast0").Addresses[0].NoPrefixRoute = true },
			[]string{"warning noprefixroute dns: ip address del 192.0.2.53/32 dev anycast0"},
		},
		"address without route, with another daemon": {
			others, func(h *Facts) { h.link("anycast0").Addresses[1].NoPrefixRoute = true },
			[]string{"warning noprefixroute dns: ip address del 2001:db8:53::53/128 dev anycast0"},
		},
		"address without route, with FRR": {
			"drivers: [{kind: bird}, {kind: frr}]\n", func(h *Facts) { h.link("anycast0").Addresses[0].NoPrefixRoute = true },
			[]string{"error noprefixroute dns: 192.0.2.53 is on anycast0 with noprefixroute: FRR 10 and later do not take such an address for connected"},
		},
		"duplicate": {
			"", func(h *Facts) { h.link("anycast0").Addresses[1].Failed = true },
			[]string{"error address-duplicate dns: 2001:db8:53::53 on anycast0 is dead"},
		},
		// With an unnumbered uplink all that the host asked for went to its sister.
		"the host sends from an anycast address": {
			"", func(h *Facts) { h.Network.Sources = []netip.Addr{netip.MustParseAddr("192.0.2.53")} },
			[]string{"error anycast-source dns: give lo an address of this host alone: ip address add 10.0.0.11/32 dev lo; or name it in the routes (src)"},
		},
		"no way out": {
			"", func(h *Facts) { h.Network.IPv4, h.Network.IPv6 = false, false },
			[]string{"info no-default-route IPv4: no default route", "info no-default-route IPv6: no default route"},
		},
		"no leave to bind": {
			"", func(h *Facts) { h.set("net/ipv6/ip_nonlocal_bind", "0") },
			[]string{"warning nonlocal-bind dns: sysctl -w net.ipv6.ip_nonlocal_bind=1"},
		},
		"no leave to bind, and none needed": {
			"while_withdrawn: absent\nservices:\n- {name: dns, addresses: [192.0.2.53, '2001:db8:53::53'], checks: [{name: answers, kind: tcp, address: '127.0.0.1:53'}]}\n",
			func(h *Facts) { h.set("net/ipv6/ip_nonlocal_bind", "0") }, nil,
		},
		"no IPv6 here": {
			"", func(h *Facts) { h.set("net/ipv6/conf/anycast0/disable_ipv6", "1") },
			[]string{"error ipv6-disabled anycast0: sysctl -w net.ipv6.conf.anycast0.disable_ipv6=0"},
		},
		"no IPv6 on what will be made": {"", func(h *Facts) { h.drop("anycast0"); h.set("net/ipv6/conf/default/disable_ipv6", "1") }, []string{
			"error ipv6-disabled anycast0: sysctl -w net.ipv6.conf.default.disable_ipv6=0", "info interface-missing anycast0: ",
		}},
		"no IPv6 at all": {
			"", func(h *Facts) { delete(h.Sysctls.(fstest.MapFS), "net/ipv6/conf/anycast0/disable_ipv6") },
			[]string{"error ipv6-disabled anycast0: this kernel runs without IPv6"},
		},
		"detection, but ours is exempt": {"", func(h *Facts) { h.link("anycast0").ARP = true }, []string{"warning interface-answers-arp anycast0: "}},
		"detection": {others, func(h *Facts) { h.link("anycast0").ARP = true }, []string{
			"warning accept-dad anycast0: sysctl -w net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.anycast0.accept_dad=0", "warning interface-answers-arp anycast0: ",
		}},
		"strict, two uplinks": {
			"", func(h *Facts) {
				*h.link("eth1.7") = Link{Name: "eth1.7", Up: true, Addresses: addresses("10.1.0.11/24")}
				h.set("net/ipv4/conf/all/rp_filter", "1")
			},
			[]string{"warning rp-filter-strict eth0, eth1.7: sysctl -w net.ipv4.conf.eth0.rp_filter=2 net.ipv4.conf.eth1/7.rp_filter=2"},
		},
		"one of two uplinks is strict": {
			"", func(h *Facts) { *h.link("eth1") = Link{Name: "eth1", Up: true, Addresses: addresses("10.1.0.11/24")} },
			[]string{"warning rp-filter-strict eth0: this host has 2 uplinks"},
		},
		"address of the LAN": {
			"", func(h *Facts) { h.link("eth0").Addresses = addresses("192.0.2.11/24") },
			[]string{"warning arp-answers eth0: sysctl -w net.ipv4.conf.eth0.arp_ignore=1"},
		},
		"address of the LAN, not answered": {"", func(h *Facts) {
			h.link("eth0").Addresses = addresses("192.0.2.11/24")
			h.set("net/ipv4/conf/eth0/arp_ignore", "1")
		}, nil},
		"sender of ARP": {
			"", func(h *Facts) { h.set("net/ipv4/conf/all/arp_announce", "0") },
			[]string{"info arp-announce eth0: sysctl -w net.ipv4.conf.all.arp_announce=2"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := healthy()
			tc.change(&h)
			cfg := load(t, tc.more)
			for i := range cfg.Drivers {
				cfg.Drivers[i].Driver = quiet{}
			}
			expect(t, Examine(t.Context(), cfg, h).Findings, tc.want)
		})
	}
}

// expect compares findings, but for the note that there is no driver.
func expect(t *testing.T, got []driver.Finding, want []string) {
	t.Helper()
	var rest []driver.Finding
	for _, f := range got {
		if f.Name != "no-driver" {
			rest = append(rest, f)
		}
	}
	for i, f := range rest {
		head := string(f.Level) + " " + f.Name + " " + f.Subject + ": "
		if i >= len(want) {
			t.Errorf("also found: %s%s", head, f.Error())
			continue
		}
		part, ok := strings.CutPrefix(want[i], head)
		if !ok || !strings.Contains(f.Text+"\n"+f.Fix, part) {
			t.Errorf("got  %s%s | %s\nwant %s", head, f.Text, f.Fix, want[i])
		}
	}
	for i := len(rest); i < len(want); i++ {
		t.Errorf("not found: %s", want[i])
	}
}

func TestInvalid(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keepcast.yaml")
	if err := os.WriteFile(path, []byte("lisen: x\nservices: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := config.Load(path)
	const start = "a start ends"
	expect(t, Invalid(err, start, healthy()).Findings, []string{
		`error configuration ` + path + `:1:1: lisen: no such setting (did you mean "listen"?)` + "\ncorrect it, then reload; until then a running keepcast goes on with what it has, and a start ends",
		"error configuration " + path + ":2:1: services: no service is configured",
	})
	refused := healthy()
	refused.Running.ConfigError = "keepcast.yaml:1:1: x"
	if found := Invalid(err, start, refused).Findings; len(found) != 3 || found[2].Name != "reload-refused" { // the worst first
		t.Errorf("found %v", found)
	}
	_, err = config.Load(filepath.Join(t.TempDir(), "none.yaml"))
	expect(t, Invalid(err, start, healthy()).Findings, []string{"error configuration keepcast: no such file or directory"})
}

// The JSON form is for scripts: lists are never null.
func TestReportJSON(t *testing.T) {
	cfg := load(t, "drivers: [{kind: bird}]\n")
	cfg.Drivers[0].Driver = quiet{}
	text, err := json.Marshal(Examine(t.Context(), cfg, healthy()))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"findings":[],"services":[{"name":"dns","require":"all","worst_case_seconds":2.1,"all_fail_seconds":2.1,"crash_seconds":1,` +
		`"checks":[{"name":"answers","kind":"tcp","on_failure":"withdraw","worst_case_seconds":2.1,"told":false,"polled_seconds":2.1,` +
		`"at_once":"the service stops listening on this host","at_once_seconds":1,"how_it_comes_about":"1.1s until the next run + 500ms timeout + 1 more × 500ms timeout"}]}]}`
	if string(text) != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
}
