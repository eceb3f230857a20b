package doctor

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver"
)

// anycast is one configured address and where it belongs.
type anycast struct {
	service, iface string
	prefix         netip.Prefix
}

func (a anycast) is6() bool { return a.prefix.Addr().Is6() }

// anycasts lists the configured addresses.
func anycasts(cfg *config.Config) []anycast {
	var out []anycast
	state := driver.State{Interface: cfg.Interface}
	for _, s := range cfg.Services {
		for _, r := range s.Routes(driver.Announced, false) {
			if !r.PrefixOnly {
				out = append(out, anycast{s.Name, state.InterfaceOf(r), r.Prefix})
			}
		}
	}
	return out
}

// needsInterface reports whether a daemon announces the address only from its interface.
func (a anycast) needsInterface(cfg *config.Config) bool {
	announces := func(s config.Service) bool {
		return s.Name == a.service && slices.ContainsFunc(cfg.Drivers, func(d config.Driver) bool { return d.NeedsInterface && s.Uses(d.Name) })
	}
	return slices.ContainsFunc(cfg.Services, announces)
}

// interfaces says what is wrong with the interfaces that carry the addresses.
func (h Facts) interfaces(cfg *config.Config) []driver.Finding {
	var out []driver.Finding
	for _, name := range cfg.State("", driver.Announced).Interfaces() {
		link, there := h.Network.link(name)
		switch {
		case !there:
			out = append(out, h.missing(cfg, name))
			continue
		case !link.Up && cfg.ManageAddresses:
			out = append(out, driver.Finding{
				Name: "interface-down", Level: driver.LevelInfo, Subject: name,
				Text: "is down; keepcast brings it up before it announces anything",
			})
		case !link.Up:
			out = append(out, driver.Finding{
				Name: "interface-down", Level: driver.LevelError, Subject: name,
				Text: "is down, so that no routing daemon announces what is on it, and with manage_addresses: false keepcast does not bring it up",
				Fix:  "ip link set " + name + " up",
			})
		}
		if link.ARP {
			out = append(out, driver.Finding{
				Name: "interface-answers-arp", Level: driver.LevelWarning, Subject: name,
				Text: fmt.Sprintf("is of type %s and answers ARP and neighbor solicitations for the anycast addresses, so hosts of its segment reach this host whatever the routing says", link.Type),
				Fix:  "name an interface in the configuration that does not exist yet: keepcast makes one of type dummy, which has no segment",
			})
		}
	}
	return out
}

// missing says what becomes of an interface that is not there.
func (h Facts) missing(cfg *config.Config, name string) driver.Finding {
	f := driver.Finding{Name: "interface-missing", Level: driver.LevelError, Subject: name}
	switch {
	case !cfg.ManageAddresses:
		f.Text = "does not exist, and with manage_addresses: false keepcast does not make it"
		f.Fix = "make it where you put the addresses on it: ip link add " + name + " type dummy"
	case !h.Network.Dummy:
		f.Text = "does not exist, and keepcast can't make it, since this kernel has no dummy interfaces (no module dummy in /lib/modules)"
		f.Fix = "install the kernel's extra modules, or make an interface of any other type: ip link add " + name + " type ifb"
	case h.Account.lacks(capNetAdmin):
		f.Text = "does not exist, and keepcast can't make it, since it runs without the capability CAP_NET_ADMIN"
		f.Fix = "give it that: AmbientCapabilities=CAP_NET_ADMIN in its unit"
	default:
		f.Level, f.Text = driver.LevelInfo, "does not exist; keepcast makes it, of type dummy, before it announces anything"
	}
	return f
}

// addresses says what is wrong with the addresses that are there, wherever.
func (h Facts) addresses(cfg *config.Config) []driver.Finding {
	var out []driver.Finding
	for _, a := range anycasts(cfg) {
		out = append(out, h.absent(cfg, a)...)
		for _, link := range h.Network.Links {
			on, ok := link.has(a.prefix.Addr())
			switch {
			case ok && link.Name != a.iface:
				out = append(out, elsewhere(cfg, a, link.Name))
			case ok && on.Failed:
				out = append(out, driver.Finding{
					Name: "address-duplicate", Level: driver.LevelError, Subject: a.service,
					Text: fmt.Sprintf("%s on %s is dead: duplicate address detection found another host with it on that segment", on.Addr(), link.Name),
					Fix:  fmt.Sprintf("add it without detection (ip address add %s dev %s nodad), or better use a dummy interface", a.prefix, link.Name),
				})
			case ok && on.NoPrefixRoute:
				out = append(out, unconnected(cfg, a, link.Name, on.Prefix))
			}
		}
	}
	return slices.Concat(out, h.wayOut(cfg), h.ownSource(cfg))
}

// ownSource says that the host's own connections are sent from an anycast address, as
// where the interface of the way out has no address. Their answers may go to another host.
func (h Facts) ownSource(cfg *config.Config) []driver.Finding {
	var out []driver.Finding
	for _, a := range anycasts(cfg) {
		if !slices.Contains(h.Network.Sources, a.prefix.Addr()) {
			continue
		}
		out = append(out, driver.Finding{
			Name: "anycast-source", Level: driver.LevelError, Subject: a.service,
			Text: fmt.Sprintf("%s is what this host itself sends from, for it has no better address: the answers to its own queries and connections go to whichever host is nearest", a.prefix.Addr()),
			Fix:  fmt.Sprintf("give lo an address of this host alone: ip address add %s dev lo; or name it in the routes (src)", map[bool]string{false: "10.0.0.11/32", true: "2001:db8::11/128"}[a.is6()]),
		})
	}
	return out
}

// absent says that somebody else is to put an address on the host, but has not. Where even
// the interface is missing, that is what there is to say.
func (h Facts) absent(cfg *config.Config, a anycast) []driver.Finding {
	if _, there := h.Network.link(a.iface); cfg.ManageAddresses || !there {
		return nil
	}
	where := "this host,"
	for _, l := range h.Network.Links {
		switch on, there := l.has(a.prefix.Addr()); {
		case !there:
		case l.Name == a.iface && on.Prefix == a.prefix || !a.needsInterface(cfg):
			return nil
		default:
			where = fmt.Sprintf("%s as %s, from where alone a daemon announces it,", a.iface, a.prefix)
		}
	}
	f := driver.Finding{
		Name: "address-missing", Level: driver.LevelError, Subject: a.service,
		Text: fmt.Sprintf("%s is not on %s and with manage_addresses: false keepcast does not put it there: a daemon that goes by the address announces nothing, and what any other daemon draws here reaches nobody", a.prefix.Addr(), where),
		Fix:  fmt.Sprintf("ip address add %s dev %s, in the network configuration of this host; or leave it to keepcast (manage_addresses: true)", a.prefix, a.iface),
	}
	if h.Running != nil && h.Running.Withdrawn[a.service] { // it may come with the service
		f.Level = driver.LevelWarning
	}
	return []driver.Finding{f}
}

// elsewhere says that an address is on an interface where keepcast leaves it alone.
func elsewhere(cfg *config.Config, a anycast, name string) driver.Finding {
	f := driver.Finding{
		Name: "address-elsewhere", Level: driver.LevelWarning, Subject: a.service,
		Text: fmt.Sprintf("%s is also on %s, where keepcast does not remove it: a daemon that announces what is connected there goes on announcing it while the service is withdrawn",
			a.prefix.Addr(), name),
		Fix: fmt.Sprintf("ip address del %s dev %s, and take it out of the network configuration that puts it there", a.prefix, name),
	}
	if len(cfg.Drivers) == 0 { // no gate either
		f.Level = driver.LevelError
	}
	return f
}

// unconnected says that the kernel was told to make no route for an address. FRR 10
// announces nothing then; the others announce it, for now.
func unconnected(cfg *config.Config, a anycast, name string, on netip.Prefix) driver.Finding {
	f := driver.Finding{
		Name: "noprefixroute", Level: driver.LevelWarning, Subject: a.service,
		Text: fmt.Sprintf("%s is on %s with noprefixroute: FRR 10 and later do not take such an address for connected, and redistribute nothing", on.Addr(), name),
		Fix:  fmt.Sprintf("take it off, so that it is added anew without that: ip address del %s dev %s", on, name),
	}
	if slices.ContainsFunc(cfg.Drivers, func(d config.Driver) bool { return d.NeedsPrefixRoute }) {
		f.Level = driver.LevelError
	}
	return f
}

// wayOut notes that there is no route to clients far away.
func (h Facts) wayOut(cfg *config.Config) []driver.Finding {
	var out []driver.Finding
	missing := map[string]bool{}
	for _, a := range anycasts(cfg) {
		switch {
		case a.is6() && !h.Network.IPv6:
			missing["IPv6"] = true
		case !a.is6() && !h.Network.IPv4:
			missing["IPv4"] = true
		}
	}
	for _, family := range []string{"IPv4", "IPv6"} {
		if missing[family] {
			out = append(out, driver.Finding{
				Name: "no-default-route", Level: driver.LevelInfo, Subject: family,
				Text: "this host has no default route, so answers of the services reach only clients in networks that it has routes to",
				Fix:  "add one, or have the routing daemon learn and install one, unless all clients are in such networks",
			})
		}
	}
	return out
}
