package doctor

import (
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/keepcast/keepcast/checks/sockets"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver"
)

// sysctl reads a number from /proc/sys; -1 where there is none.
func sysctl(sys fs.FS, name ...string) int {
	text, err := fs.ReadFile(sys, path.Join(name...))
	if err != nil {
		return -1
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return -1
	}
	return n
}

// effective is a setting of an interface where the kernel takes the greater one of
// that and conf.all (ip-sysctl: arp_ignore, arp_announce, rp_filter, accept_dad).
func (h Facts) effective(family, link, name string) int {
	return max(sysctl(h.Sysctls, "net", family, "conf", "all", name), sysctl(h.Sysctls, "net", family, "conf", link, name))
}

// setting names a sysctl of an interface as sysctl(8) takes it: dots in the name
// of an interface become slashes.
func setting(family, link, name string, value int) string {
	return fmt.Sprintf("net.%s.conf.%s.%s=%d", family, strings.ReplaceAll(link, ".", "/"), name, value)
}

// set is the fix by sysctls, now and after a reboot.
func set(settings ...string) string {
	return "sysctl -w " + strings.Join(settings, " ") + ", and the same in a file of /etc/sysctl.d"
}

// NonlocalBind finds whether a service bound to its IPv6 address could not start
// again once it is withdrawn. IPv4 needs no such leave, nor does a service whose sockets,
// of those that are open, have it by themselves.
func NonlocalBind(cfg *config.Config, sys fs.FS, open []sockets.Socket) (driver.Finding, bool) {
	if !cfg.ManageAddresses || sysctl(sys, "net/ipv6/ip_nonlocal_bind") != 0 {
		return driver.Finding{}, false
	}
	for _, s := range cfg.Services {
		for _, a := range s.Addresses {
			if a.Addr().Is6() && !s.Absent() && !servesOff(s, a.Addr(), open) {
				return driver.Finding{
					Name: "nonlocal-bind", Level: driver.LevelWarning, Subject: s.Name,
					Text: "a service bound to its IPv6 address can't start again while it is withdrawn, and a UDP service can't answer from it",
					Fix:  set("net.ipv6.ip_nonlocal_bind=1") + ", or have it bind with IPV6_FREEBIND",
				}, true
			}
		}
	}
	return driver.Finding{}, false
}

// sysctls says which of the kernel's settings stand in the way.
func (h Facts) sysctls(cfg *config.Config) []driver.Finding {
	var out []driver.Finding
	if f, ok := NonlocalBind(cfg, h.Sysctls, h.Sockets); ok {
		out = append(out, f)
	}
	out = append(out, h.reversePath(cfg)...)
	done := map[string]bool{}
	for _, a := range anycasts(cfg) {
		if a.is6() && !done[a.iface] {
			done[a.iface] = true
			out = append(out, h.ipv6(cfg, a.iface)...)
		}
	}
	return out
}

// ipv6 looks at the settings of an interface that carries IPv6 addresses. One
// that is still to be made gets those of conf.default.
func (h Facts) ipv6(cfg *config.Config, name string) []driver.Finding {
	link, there := h.Network.link(name)
	conf := name
	if !there {
		conf = "default"
	}
	switch disabled := sysctl(h.Sysctls, "net/ipv6/conf", conf, "disable_ipv6"); {
	case disabled == 1:
		return []driver.Finding{{
			Name: "ipv6-disabled", Level: driver.LevelError, Subject: name,
			Text: fmt.Sprintf("can't carry the IPv6 addresses: net.ipv6.conf.%s.disable_ipv6 is 1", conf),
			Fix:  set(setting("ipv6", conf, "disable_ipv6", 0)),
		}}
	case disabled < 0:
		return []driver.Finding{{
			Name: "ipv6-disabled", Level: driver.LevelError, Subject: name,
			Text: "can't carry the IPv6 addresses: this kernel runs without IPv6",
			Fix:  "remove ipv6.disable=1 from the kernel's command line, or the IPv6 addresses from the configuration",
		}}
	}
	// What keepcast itself adds is exempt from the detection.
	if !cfg.ManageAddresses && link.ARP && h.effective("ipv6", name, "accept_dad") > 0 {
		return []driver.Finding{{
			Name: "accept-dad", Level: driver.LevelWarning, Subject: name,
			Text: "has duplicate address detection: an anycast address is dead for 1 to 2 s after it was added, and for good where another host of the segment has it",
			Fix:  set(setting("ipv6", "all", "accept_dad", 0), setting("ipv6", name, "accept_dad", 0)) + ", or add the addresses with nodad",
		}}
	}
	return nil
}

// reversePath finds strict reverse path filtering (RFC 3704, 2.2) where packets
// may come in elsewhere than answers go out: the shape of anycast with several uplinks.
func (h Facts) reversePath(cfg *config.Config) []driver.Finding {
	uplinks, strict := 0, []string{}
	for _, l := range h.uplinks(cfg) {
		uplinks++
		if h.effective("ipv4", l.Name, "rp_filter") == 1 {
			strict = append(strict, l.Name)
		}
	}
	if uplinks < 2 || len(strict) == 0 || !has4(cfg) {
		return nil
	}
	var settings []string
	for _, name := range strict {
		settings = append(settings, setting("ipv4", name, "rp_filter", 2))
	}
	return []driver.Finding{{
		Name: "rp-filter-strict", Level: driver.LevelWarning, Subject: strings.Join(strict, ", "),
		Text: fmt.Sprintf("rp_filter is strict, and this host has %d uplinks: a packet that comes in on one, while the route back to its sender leads to another, is dropped without a word", uplinks),
		Fix:  set(settings...) + " (2 is loose: any route back will do)",
	}}
}

// arp finds where the kernel's loose idea of whose addresses they are (any
// interface answers for any address of the host) reaches the anycast addresses.
func (h Facts) arp(cfg *config.Config) []driver.Finding {
	var out []driver.Finding
	var announcing []string
	for _, l := range h.uplinks(cfg) {
		if !l.ARP {
			continue
		}
		if a, ok := l.covers(cfg); ok && h.effective("ipv4", l.Name, "arp_ignore") == 0 {
			out = append(out, driver.Finding{
				Name: "arp-answers", Level: driver.LevelWarning, Subject: l.Name,
				Text: fmt.Sprintf("answers ARP for %s, which is within a network of that interface: its neighbors reach this host directly, also while %s is withdrawn", a.prefix.Addr(), a.service),
				Fix:  set(setting("ipv4", l.Name, "arp_ignore", 1), setting("ipv4", l.Name, "arp_announce", 2)) + ", or take an address outside of the networks of this host",
			})
		}
		if h.effective("ipv4", l.Name, "arp_announce") < 2 {
			announcing = append(announcing, l.Name)
		}
	}
	if len(announcing) > 0 && has4(cfg) {
		out = append(out, driver.Finding{
			Name: "arp-announce", Level: driver.LevelInfo, Subject: strings.Join(announcing, ", "),
			Text: "ARP requests may carry an anycast address as their sender (arp_announce is below 2), which some routers ignore and others learn",
			Fix:  set("net.ipv4.conf.all.arp_announce=2"),
		})
	}
	return out
}

// uplinks returns the interfaces that carry the host's IPv4 traffic.
func (h Facts) uplinks(cfg *config.Config) []Link {
	own := map[string]bool{}
	for _, name := range cfg.State("", driver.Announced).Interfaces() {
		own[name] = true
	}
	var out []Link
	for _, l := range h.Network.Links {
		if l.speaks4() && !own[l.Name] {
			out = append(out, l)
		}
	}
	return out
}

// covers returns an anycast address that is within a network of l.
func (l Link) covers(cfg *config.Config) (anycast, bool) {
	for _, a := range anycasts(cfg) {
		for _, on := range l.Addresses {
			if on.Bits() < on.Addr().BitLen() && !a.is6() && on.Masked().Contains(a.prefix.Addr()) {
				return a, true
			}
		}
	}
	return anycast{}, false
}

func has4(cfg *config.Config) bool {
	for _, a := range anycasts(cfg) {
		if !a.is6() {
			return true
		}
	}
	return false
}
