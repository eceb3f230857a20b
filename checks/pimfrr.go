package checks

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// What pimd of FRR 8.4 to 10.3 says, as JSON. Of each answer only what the check needs is read.

// pimRP is an RP that pimd knows, for a range of groups or for those of a prefix list.
type pimRP struct {
	Address netip.Addr   `json:"rpAddress"`
	Groups  netip.Prefix `json:"group"`
	List    string       `json:"prefixList"`
	Here    bool         `json:"iAmRP"`
}

// String words it for a Sight.
func (r pimRP) String() string {
	groups, where := r.Groups.String(), "elsewhere"
	if r.List != "" {
		groups = "prefix list " + shownWord(r.List)
	}
	if r.Here {
		where = "this host"
	}
	return fmt.Sprintf("%s for %s: %s", r.Address, groups, where)
}

// parsePIMRPs reads the answer to "show ip pim rp-info json".
func parsePIMRPs(answer string) ([]pimRP, error) {
	var by map[string][]pimRP
	if err := readPIM("its RPs", answer, &by); err != nil {
		return nil, err
	}
	var all []pimRP
	for _, some := range by {
		for _, r := range some {
			if !r.Address.IsValid() || !r.Groups.IsValid() && r.List == "" {
				return nil, fmt.Errorf("its RPs can't be read: one has no address or no groups: %s", excerpt([]byte(answer)))
			}
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b pimRP) int { return strings.Compare(a.String(), b.String()) })
	return all, nil
}

// pimInterface is an interface that pimd has, be it for PIM or for IGMP only.
type pimInterface struct {
	State      string `json:"state"`
	HelloTimer string `json:"helloTimer"` // until the next hello
}

// noPIMTimer is a timer that does not run.
const noPIMTimer = "--:--:--"

// String words it for a Sight.
func (i pimInterface) String() string {
	return shownWord(i.State) + ", next hello in " + shownWord(i.HelloTimer)
}

// parsePIMInterfaces reads the answer to "show ip pim interface detail json".
func parsePIMInterfaces(answer string) (all map[string]pimInterface, err error) {
	err = readPIM("its interfaces", answer, &all)
	return all, err
}

// pimNeighbor is a router that pimd hears on an interface.
type pimNeighbor struct{ on, address string }

// parsePIMNeighbors reads the answer to "show ip pim neighbor json".
func parsePIMNeighbors(answer string) (all []pimNeighbor, err error) {
	var by map[string]map[string]struct{}
	if err := readPIM("its neighbors", answer, &by); err != nil {
		return nil, err
	}
	for on, some := range by {
		for address := range some {
			all = append(all, pimNeighbor{on, address})
		}
	}
	slices.SortFunc(all, func(a, b pimNeighbor) int { return strings.Compare(a.on+" "+a.address, b.on+" "+b.address) })
	return all, nil
}

// msdpPeer is a session of MSDP.
type msdpPeer struct {
	State   string `json:"state"`
	Sources int    `json:"saCount"`
}

// parseMSDPPeers reads the answer to "show ip msdp peer json".
func parseMSDPPeers(answer string) (all map[string]msdpPeer, err error) {
	err = readPIM("its MSDP peers", answer, &all)
	return all, err
}

// readPIM reads an answer of pimd.
func readPIM(what, answer string, into any) error {
	if err := json.Unmarshal([]byte(answer), into); err != nil {
		return fmt.Errorf("%s can't be read: %w: %s", what, err, excerpt([]byte(answer)))
	}
	return nil
}

// shownWord is a word that a daemon said, as it is if it is a plain one.
func shownWord(said string) string {
	plain := said != "" && len(said) <= 64 && strings.IndexFunc(said, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
	if plain {
		return said
	}
	return excerpt([]byte(said))
}
