package checks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/keepcast/keepcast/driver/bird/ctl"
)

func init() {
	register(Kind{
		Name: "bfd",
		Doc: "Asks the BIRD or the FRR of this host whether BFD sessions are up: whether routers answer within fractions of a second, whatever the " +
			"routing protocol believes; of FRR bfdd is asked. That there is no session is a failure. " +
			"It only asks: BIRD is told to refuse everything else, and FRR gets show commands, which are in its log with `log commands` alone.",
		Example: "daemon: frr\npeers: [192.0.2.1]\n",
		New:     func() Checker { return new(BFD) },
	})
}

// BFD is fit when the routing daemon of this host has BFD sessions that are up.
type BFD struct {
	routingDaemon
	Peers []string `config:"peers" doc:"Addresses of peers. All sessions with them must be up; a peer without one is a failure. Empty: 'min' sessions, with whomever."`
	Min   int      `config:"min" default:"1" min:"1" doc:"How many sessions must be up, without 'peers'."`
}

// Validate implements Validator.
func (b *BFD) Validate() error {
	if err := errors.Join(b.validate(), validNames("peers", b.Peers)); err != nil {
		return err
	}
	for i, peer := range b.Peers {
		if _, err := netip.ParseAddr(peer); err != nil {
			return fmt.Errorf("peers[%d]: %q is no address", i, peer)
		}
	}
	if len(b.Peers) > 0 && b.Min > 1 {
		return errors.New("min: only without peers, all of which have to be up")
	}
	return nil
}

// Check implements Checker.
func (b *BFD) Check(ctx context.Context) error {
	where, ask := "bird", b.askBIRD
	if b.Daemon == "frr" {
		where, ask = "bfdd", b.askFRR
	}
	all, err := ask(ctx)
	if err != nil {
		return err
	}
	chosen, err := all.named("peers", b.Peers)
	if err == nil {
		chosen.note(ctx)
		enough := b.Min
		if len(b.Peers) > 0 {
			enough = len(chosen) // one peer may have several
		}
		err = chosen.judge("BFD", "up", enough)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	return nil
}

func (b *BFD) askBIRD(ctx context.Context) (peerings, error) {
	reply, err := askBIRD(ctx, b.at(), "show bfd sessions")
	if err != nil {
		return nil, err // also where it has no BFD protocol
	}
	return readBIRDBFD(reply), nil
}

// readBIRDBFD reads the reply to "show bfd sessions": rows of address, interface, state, since,
// interval and timeout. Since is in a format that the operator can choose.
func readBIRDBFD(reply ctl.Reply) peerings {
	var all peerings
	for _, l := range reply.Lines {
		words := strings.Fields(l.Text)
		if len(words) < 6 {
			continue
		}
		if _, err := netip.ParseAddr(words[0]); err != nil {
			continue // a heading, or the name of the protocol
		}
		names := bfdNames(words[0], words[1])
		state, since := words[2], strings.Join(words[3:len(words)-2], " ")
		all = append(all, peering{
			label: names[len(names)-1],
			names: names,
			up:    state == "Up",
			state: state + " since " + since,
		})
	}
	return all
}

// bfdNames returns what a session is called: its peer, and that with the interface where
// the address alone says too little.
func bfdNames(peer, link string) []string {
	a, err := netip.ParseAddr(peer)
	if err != nil || !a.IsLinkLocalUnicast() || a.Zone() != "" || link == "" {
		return []string{sameName(peer)}
	}
	return []string{a.String(), a.WithZone(link).String()}
}

func (b *BFD) askFRR(ctx context.Context) (peerings, error) {
	answers, err := askFRR(ctx, b.at(), "bfdd", "show bfd peers json")
	if err != nil {
		return nil, err
	}
	return readFRRBFD(answers[0])
}

// frrBFDPeer is a session, as bfdd tells of it.
type frrBFDPeer struct {
	Peer       string `json:"peer"`
	Interface  string `json:"interface"`
	VRF        string `json:"vrf"`
	Status     string `json:"status"`     // up, down, init or shutdown
	Uptime     int64  `json:"uptime"`     // in seconds, of one that is up
	Downtime   int64  `json:"downtime"`   // of one that is down
	Diagnostic string `json:"diagnostic"` // what ended it last; ok: nothing
}

// readFRRBFD reads the answer to "show bfd peers json".
func readFRRBFD(text string) (peerings, error) {
	var peers []frrBFDPeer
	if err := readFRR("bfdd", text, &peers); err != nil {
		return nil, err
	}
	var all peerings
	for _, p := range peers {
		names := bfdNames(p.Peer, p.Interface)
		s := peering{label: names[len(names)-1], names: names, up: p.Status == "up"}
		s.state = fmt.Sprintf("%s for %s", p.Status, time.Duration(cmp.Or(p.Uptime, p.Downtime))*time.Second)
		if p.VRF != "" && p.VRF != "default" {
			s.state = "VRF " + p.VRF + ", " + s.state
		}
		if p.Diagnostic != "ok" {
			s.why = p.Diagnostic
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b peering) int { return strings.Compare(a.label, b.label) })
	return all, nil
}
