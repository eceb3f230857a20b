package checks

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
)

func init() {
	register(Kind{
		Name: "pim",
		Doc: "Asks pimd of FRR, over its vty socket, whether it is fit as a rendezvous point of IPv4 multicast: it takes this host for the RP, " +
			"the interfaces run PIM, there are neighbors, MSDP peers are established. " +
			"pimd takes a host for the RP only while the address of the RP is on an interface. An address that keepcast takes off while it is " +
			"withdrawn can't come back by this check: set `manage_addresses: false` and have the address on the host for good. " +
			"`msdp_peers` belongs into a check of its own with `on_failure: degrade`: when one RP dies, its peers lose their session, too, and " +
			"would all withdraw. User keepcast must be in group frrvty. A run leaves no line in the log of pimd, unless that has `log commands`. Only the default VRF is looked at.",
		Example: "rp: 192.0.2.53\ngroups: 239.0.0.0/8\ninterfaces: [eth0]\nneighbors: 1\n",
		New:     func() Checker { return new(PIM) },
	})
}

// PIM is fit when pimd of FRR does what a rendezvous point has to do (RFC 7761, and RFC 4611
// for MSDP between several with one address).
type PIM struct {
	Directory  string       `config:"directory" default:"/run/frr" doc:"Directory of the vty sockets of FRR."`
	RP         netip.Addr   `config:"rp" doc:"Address of the RP that this host must be."`
	Groups     netip.Prefix `config:"groups" doc:"This host must be the RP for all of these groups, as in '224.0.0.0/4'. With 'rp' only. Left out, the groups do not matter; it has to be where pimd has them from a prefix list."`
	Interfaces []string     `config:"interfaces" doc:"Names of interfaces that must be up and run PIM. On loopback it never does: it sends no hello there."`
	Neighbors  int          `config:"neighbors" default:"0" min:"0" max:"10000" doc:"How many neighbors there must be at least, on the 'interfaces' together, or on all where these are left out."`
	MSDPPeers  []netip.Addr `config:"msdp_peers" doc:"Addresses of MSDP peers with which the session must be established. All RPs of one address lose a session when one of them dies: see above."`
}

// Validate implements Validator.
func (c *PIM) Validate() error {
	if !filepath.IsAbs(c.Directory) {
		return fmt.Errorf("directory: %q is not an absolute path", c.Directory)
	}
	if err := c.validateRP(); err != nil {
		return err
	}
	for _, name := range c.Interfaces {
		if err := interfaceName(name); err != nil || name == "" {
			return fmt.Errorf("interfaces: %q is no name of an interface", name)
		}
	}
	for _, peer := range c.MSDPPeers {
		if !peer.Is4() || peer.IsMulticast() || peer.IsUnspecified() {
			return fmt.Errorf("msdp_peers: %s is no unicast IPv4 address", peer)
		}
	}
	if !c.RP.IsValid() && len(c.Interfaces) == 0 && c.Neighbors == 0 && len(c.MSDPPeers) == 0 {
		return errors.New("rp, interfaces, neighbors, msdp_peers: at least one is needed")
	}
	return nil
}

func (c *PIM) validateRP() error {
	switch g := c.Groups; {
	case c.RP.IsValid() && (!c.RP.Is4() || c.RP.IsMulticast() || c.RP.IsUnspecified()):
		return fmt.Errorf("rp: %s is no unicast IPv4 address", c.RP)
	case !g.IsValid():
		return nil
	case !c.RP.IsValid():
		return errors.New("groups: only with rp")
	case !g.Addr().Is4() || !g.Addr().IsMulticast() || g.Bits() < 4:
		return fmt.Errorf("groups: %s is not within 224.0.0.0/4", g)
	case g != g.Masked():
		return fmt.Errorf("groups: %s has bits beyond its length (%s?)", g, g.Masked())
	}
	return nil
}

// Check implements Checker.
func (c *PIM) Check(ctx context.Context) error {
	wanted := c.questions()
	var commands []string
	for _, q := range wanted {
		commands = append(commands, q.command)
	}
	answers, err := askFRR(ctx, c.Directory, "pimd", commands...)
	if err != nil {
		return refused(ctx, err) // the RP died with pimd, and nothing of it comes back by itself
	}
	for i, q := range wanted {
		if err := q.judge(ctx, answers[i]); err != nil {
			return fmt.Errorf("pimd: %w", err)
		}
	}
	return nil
}

// pimQuestion is a command of pimd, and what makes of its answer whether it is fit.
type pimQuestion struct {
	command string
	judge   func(ctx context.Context, answer string) error
}

// questions are those that the settings need.
func (c *PIM) questions() []pimQuestion {
	var all []pimQuestion
	if c.RP.IsValid() {
		all = append(all, pimQuestion{"show ip pim rp-info json", c.judgeRP})
	}
	if len(c.Interfaces) > 0 {
		all = append(all, pimQuestion{"show ip pim interface detail json", c.judgeInterfaces})
	}
	if c.Neighbors > 0 {
		all = append(all, pimQuestion{"show ip pim neighbor json", c.judgeNeighbors})
	}
	if len(c.MSDPPeers) > 0 {
		all = append(all, pimQuestion{"show ip msdp peer json", c.judgePeers})
	}
	return all
}

func (c *PIM) judgeRP(ctx context.Context, answer string) error {
	all, err := parsePIMRPs(answer)
	if err != nil {
		return err
	}
	for _, one := range all {
		sight(ctx).saw("rp", "%s", one)
	}
	if !slices.ContainsFunc(all, func(r pimRP) bool { return r.Address == c.RP }) {
		return fmt.Errorf("%s is no RP that it knows: is `ip pim rp %[1]s` (FRR 10: `rp %[1]s` of `router pim`) in its configuration", c.RP)
	}
	if c.Groups.IsValid() {
		return c.judgeGroups(all)
	}
	if !slices.ContainsFunc(all, func(r pimRP) bool { return r.Address == c.RP && r.Here }) {
		return c.elsewhere()
	}
	return nil
}

// judgeGroups says whether this host is the RP for all of the groups: the longest prefix
// counts (RFC 7761 section 4.7.1).
func (c *PIM) judgeGroups(all []pimRP) error {
	var best *pimRP
	for i, r := range all {
		switch {
		case r.List != "" && r.Address == c.RP:
			return fmt.Errorf("the groups of the RP %s are those of the prefix list %q, which groups can't be compared with: leave groups out", c.RP, r.List)
		case !r.Groups.Overlaps(c.Groups):
		case r.Groups.Bits() > c.Groups.Bits() && r.Address != c.RP:
			return fmt.Errorf("%s is the RP for a part of %s, %s", r.Address, c.Groups, r.Groups)
		case r.Groups.Bits() <= c.Groups.Bits() && (best == nil || r.Groups.Bits() > best.Groups.Bits()):
			best = &all[i]
		}
	}
	switch {
	case best == nil:
		return fmt.Errorf("no RP is for all of %s", c.Groups)
	case best.Address != c.RP:
		return fmt.Errorf("the RP for %s is %s, not %s", c.Groups, best.Address, c.RP)
	case !best.Here:
		return c.elsewhere()
	}
	return nil
}

func (c *PIM) elsewhere() error {
	return fmt.Errorf("this host is not the RP %s: its address must be on an interface that is up and has `ip pim` (and stay there while keepcast has it withdrawn: manage_addresses: false)", c.RP)
}

func (c *PIM) judgeInterfaces(ctx context.Context, answer string) error {
	all, err := parsePIMInterfaces(answer)
	if err != nil {
		return err
	}
	for _, name := range c.Interfaces {
		one, known := all[name]
		if known {
			sight(ctx).saw("interface", "%s: %s", name, one)
		}
		switch {
		case !known:
			return fmt.Errorf("interface %s does not run PIM: is it there, and is `ip pim` in its configuration", name)
		case one.State != "up":
			return fmt.Errorf("interface %s is %s", name, shownWord(one.State))
		case one.HelloTimer == noPIMTimer:
			return fmt.Errorf("interface %s does not run PIM, it sends no hello: `ip pim` is not in its configuration, it has no IPv4 address, or it is a loopback", name)
		}
	}
	return nil
}

func (c *PIM) judgeNeighbors(ctx context.Context, answer string) error {
	all, err := parsePIMNeighbors(answer)
	if err != nil {
		return err
	}
	where, found := "", 0
	if len(c.Interfaces) > 0 {
		where = " on " + strings.Join(c.Interfaces, ", ")
	}
	for _, n := range all {
		if where == "" || slices.Contains(c.Interfaces, n.on) {
			sight(ctx).saw("neighbor", "%s on %s", shownWord(n.address), shownWord(n.on))
			found++
		}
	}
	if found < c.Neighbors {
		return fmt.Errorf("it has %d neighbors%s, less than %d", found, where, c.Neighbors)
	}
	return nil
}

func (c *PIM) judgePeers(ctx context.Context, answer string) error {
	all, err := parseMSDPPeers(answer)
	if err != nil {
		return err
	}
	for _, address := range c.MSDPPeers {
		peer, known := all[address.String()]
		if !known {
			return fmt.Errorf("%s is no MSDP peer that it knows: is it in its configuration", address)
		}
		sight(ctx).saw("msdp", "%s: %s, %d sources", address, shownWord(peer.State), peer.Sources)
		if peer.State != "established" {
			return fmt.Errorf("the session with the MSDP peer %s is not established, but %s", address, shownWord(peer.State))
		}
	}
	return nil
}
