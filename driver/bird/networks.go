package bird

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/bird/ctl"
)

// networkData is one of a service's prefixes, which the snippet originates.
type networkData struct {
	Protocol string       `doc:"The name of the static protocol that originates it, quoted."`
	Prefix   netip.Prefix `doc:"The prefix."`
	Via      netip.Addr   `doc:"The address of its service that it resolves through; not valid if the service has none of the family, or only with a length."`
	Family   string       `doc:"ipv4 or ipv6."`
	Table    string       `doc:"The table that it goes to, keepcast4 or keepcast6."`
	Hosts    string       `doc:"The table that it resolves in, keepcast_hosts4 or keepcast_hosts6."`
}

// networksOf returns those of all services, whether announced or not: their protocols stay
// as they are while the gate opens and closes.
func networksOf(desired driver.State) []networkData {
	var out []networkData
	for _, r := range desired.Routes {
		if !r.PrefixOnly {
			continue
		}
		n := networkData{Protocol: "'" + networkProtocol(r) + "'", Prefix: r.Prefix.Masked(), Family: "ipv4", Table: "keepcast4", Hosts: "keepcast_hosts4"}
		if r.Prefix.Addr().Is6() {
			n.Family, n.Table, n.Hosts = "ipv6", "keepcast6", "keepcast_hosts6"
		}
		for _, a := range desired.Routes {
			gates := a.Service == r.Service && !a.PrefixOnly && a.Prefix.IsSingleIP() && a.Prefix.Addr().Is4() == r.Prefix.Addr().Is4()
			if gates && (!n.Via.IsValid() || a.Prefix.Addr().Less(n.Via)) { // the same in whatever order
				n.Via = a.Prefix.Addr()
			}
		}
		out = append(out, n)
	}
	slices.SortFunc(out, func(a, b networkData) int { return a.Prefix.Compare(b.Prefix) })
	return slices.CompactFunc(out, func(a, b networkData) bool { return a.Prefix == b.Prefix })
}

// networkProtocol returns the name of the protocol that originates a prefix. A name may
// hold no slash.
func networkProtocol(r driver.Route) string {
	return "keepcast_net-" + strings.ReplaceAll(r.Prefix.Masked().String(), "/", "-")
}

// ungated says which prefixes have no gate but the snippet on disk.
func ungated(desired driver.State, protocols []protocol) []driver.Finding {
	var out []driver.Finding
	for _, n := range networksOf(desired) {
		fix := "give its service an address of the family, or have BIRD start after keepcast"
		if !slices.ContainsFunc(protocols, func(p protocol) bool { return "'"+p.name+"'" == n.Protocol }) {
			fix = "have the template originate it, as the embedded one does (.Networks)"
		} else if n.Via.IsValid() {
			continue
		}
		out = append(out, driver.Finding{
			Name: "prefix-ungated", Level: driver.LevelWarning, Subject: "bird " + n.Prefix.String(), Fix: fix,
			Text: "does not follow an address of its service: a BIRD that starts without keepcast announces it if the snippet on disk lets it pass",
		})
	}
	return out
}

// shut takes the routes of prefixes that are withdrawn and still pass the gate. This is
// their withdrawal, as the address's is its removal: it needs no file and no load, so
// neither a full disk nor a broken bird.conf holds it up. The next load enables the
// protocols, with the gate closed.
func (b *Driver) shut(ctx context.Context) error {
	withdrawn := slices.DeleteFunc(slices.Clone(b.desired.Routes), func(r driver.Route) bool { return !r.PrefixOnly || r.Presence == driver.Announced })
	if len(withdrawn) == 0 {
		return nil
	}
	if running, err := b.running(ctx); err != nil || running == "" {
		return err
	}
	for _, table := range []string{"master4", "master6"} {
		of := slices.DeleteFunc(slices.Clone(withdrawn), func(r driver.Route) bool { return mainTable(r.Prefix) != table })
		passing, err := b.among(ctx, prefixesOf(of), "table "+table)
		if err != nil {
			return err
		}
		for _, r := range of {
			if !passing[r.Prefix.Masked()] {
				continue
			}
			if err := b.switchNetwork(ctx, "disable", r); err != nil {
				return err
			}
			if b.disabled == nil {
				b.disabled = map[string]bool{}
			}
			b.disabled[networkProtocol(r)] = true
		}
	}
	return nil
}

// open enables what shut disabled and is announced again, where no load has done it.
func (b *Driver) open(ctx context.Context) error {
	for _, r := range b.desired.Announced() {
		if name := networkProtocol(r); b.disabled[name] {
			if err := b.switchNetwork(ctx, "enable", r); err != nil {
				return err
			}
			delete(b.disabled, name)
		}
	}
	return nil
}

// switchNetwork enables or disables the protocol of a prefix. A template of the operator's
// may have none.
func (b *Driver) switchNetwork(ctx context.Context, command string, r driver.Route) error {
	_, err := b.ask(ctx, command+" "+quoted(networkProtocol(r)))
	if ctl.RefusalCode(err) == ctl.CodeSyntaxError || ctl.RefusalCode(err) == ctl.CodeNoProtocol {
		return nil
	}
	return err
}
