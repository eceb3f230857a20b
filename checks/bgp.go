package checks

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/keepcast/keepcast/driver/bird/ctl"
)

func init() {
	register(Kind{
		Name: "bgp",
		Doc: "Asks the BIRD or the FRR of this host whether BGP sessions are established. A host that has lost its neighbors then no longer counts as fit. " +
			"Name the upstreams in `neighbors` if the host has other sessions, too. A session that flaps would move the service each time: let `fall` " +
			"and `hold_down` wait, or set `on_failure: degrade`. " +
			"It only asks: BIRD is told to refuse everything else, and FRR gets show commands, which are in its log with `log commands` alone.",
		Example: "daemon: bird\nneighbors: [192.0.2.1, 192.0.2.2]\n",
		New:     func() Checker { return new(BGP) },
	})
}

// BGP is fit when the routing daemon of this host has established sessions.
type BGP struct {
	routingDaemon
	VRF       string   `config:"vrf" doc:"VRF whose BGP instance of FRR is asked. Empty: the default one. All protocols of BIRD are asked, whatever their VRF."`
	Neighbors []string `config:"neighbors" doc:"Neighbors that count: addresses, interfaces of unnumbered neighbors in FRR, names of protocols in BIRD. Empty: all. A neighbor that the daemon does not have is a failure; one that is accepted from a range is there only while it is connected."`
	Min       int      `config:"min" default:"1" min:"1" doc:"How many sessions must be established."`
}

// Validate implements Validator.
func (b *BGP) Validate() error {
	if err := errors.Join(b.validate(), validNames("neighbors", b.Neighbors)); err != nil {
		return err
	}
	switch {
	case b.VRF != "" && b.Daemon != "frr":
		return errors.New("vrf: only with daemon: frr (name the protocols of the VRF in neighbors)")
	case b.VRF != "" && interfaceName(b.VRF) != nil:
		return fmt.Errorf("vrf: %q is no name of a VRF", b.VRF)
	case b.Daemon == "frr" && len(b.Neighbors) > 0 && b.Min > len(b.Neighbors):
		return fmt.Errorf("min: %d sessions can't be had with the %d of neighbors", b.Min, len(b.Neighbors))
	}
	return nil
}

// Check implements Checker.
func (b *BGP) Check(ctx context.Context) error {
	where, ask := "bird", b.askBIRD
	if b.Daemon == "frr" {
		where, ask = "bgpd, VRF "+b.vrf(), b.askFRR
	}
	all, err := ask(ctx)
	if err != nil {
		return err
	}
	chosen, err := all.named("neighbors", b.Neighbors)
	if err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	chosen.note(ctx)
	err = chosen.judge("BGP", "established", b.Min)
	if err != nil && b.Daemon == "frr" {
		b.askWhy(ctx, chosen)
		err = chosen.judge("BGP", "established", b.Min)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	return nil
}

func (b *BGP) askBIRD(ctx context.Context) (peerings, error) {
	reply, err := askBIRD(ctx, b.at(), "show protocols all")
	if err != nil && ctl.RefusalCode(err) != ctl.CodeNoProtocol {
		return nil, err
	}
	return readBIRDSessions(reply), nil
}

// readBIRDSessions reads the BGP protocols of the reply to "show protocols all". One that
// waits for neighbors of a range is no session: it makes a protocol for each.
func readBIRDSessions(reply ctl.Reply) peerings {
	var all peerings
	for i, l := range reply.Lines {
		words := strings.Fields(l.Text)
		if l.Code != ctl.CodeProtocol || len(words) < 4 || words[1] != "BGP" {
			continue
		}
		details := birdDetails(reply.Lines[i+1:])
		address := details["Neighbor address"]
		if address == "" {
			continue
		}
		state := cmp.Or(details["BGP state"], words[3])
		// Since is in a format that the operator can choose, and may have a blank. Two are behind it.
		_, since, _ := strings.Cut(l.Text, " "+words[3]+" ")
		since, _, _ = strings.Cut(strings.TrimSpace(since), "  ")
		why := ""
		if text := details["Last error"]; text != "" {
			why = "last error: " + text
		}
		all = append(all, peering{
			label: words[0] + " " + address,
			names: []string{words[0], sameName(address)},
			up:    state == "Established",
			state: strings.TrimSpace(state + " since " + since),
			why:   why,
		})
	}
	return all
}

// birdDetails returns what is told of one protocol, by the words before the colon. What is told of
// its channels comes last, and does not count where the words are the same.
func birdDetails(lines []ctl.Line) map[string]string {
	details := map[string]string{}
	for _, l := range lines {
		if l.Code != ctl.CodeDetails {
			break
		}
		key, value, _ := strings.Cut(strings.TrimSpace(l.Text), ":")
		if _, twice := details[key]; !twice {
			details[key] = strings.TrimSpace(value)
		}
	}
	return details
}

func (b *BGP) vrf() string { return cmp.Or(b.VRF, "default") }

// askFRR asks bgpd. An answer about a VRF without an instance is as empty as one about an
// instance without neighbors, so the instances are asked for, too.
func (b *BGP) askFRR(ctx context.Context) (peerings, error) {
	answers, err := askFRR(ctx, b.at(), "bgpd", "show bgp vrf "+b.vrf()+" summary json", "show bgp vrfs json")
	if err != nil {
		return nil, err
	}
	var instances struct {
		VRFs map[string]json.RawMessage `json:"vrfs"`
	}
	if err := readFRR("bgpd", answers[1], &instances); err != nil {
		return nil, err
	}
	if _, there := instances.VRFs[b.vrf()]; !there {
		of := "there is none at all"
		if len(instances.VRFs) > 0 {
			of = "there are " + fewOf(slices.Sorted(maps.Keys(instances.VRFs)))
		}
		return nil, fmt.Errorf("bgpd has no BGP instance in VRF %s (%s)", b.vrf(), of)
	}
	return readFRRSessions(answers[0])
}

// frrPeer is a neighbor, as bgpd tells of it in a summary.
type frrPeer struct {
	State    string `json:"state"`
	UptimeMS int64  `json:"peerUptimeMsec"` // since it came up, or went down; 0 if it never was up
}

// frrFamily are the neighbors of an address family.
type frrFamily struct {
	Peers map[string]frrPeer `json:"peers"`
}

// readFRRSessions reads the answer to "show bgp summary json", which has the neighbors of each
// address family. One that carries several is one session.
func readFRRSessions(text string) (peerings, error) {
	var families map[string]frrFamily
	if err := readFRR("bgpd", text, &families); err != nil {
		return nil, err
	}
	peers := map[string]frrPeer{}
	for _, family := range families {
		maps.Copy(peers, family.Peers)
	}
	var all peerings
	for _, name := range slices.Sorted(maps.Keys(peers)) {
		p := peers[name]
		s := peering{label: name, names: []string{sameName(name)}, up: p.State == "Established", state: p.State + ", was never established"}
		if p.UptimeMS > 0 {
			s.state = fmt.Sprintf("%s for %s", p.State, (time.Duration(p.UptimeMS) * time.Millisecond).Round(time.Second))
		}
		all = append(all, s)
	}
	return all, nil
}

// askWhy asks bgpd what ended the sessions that an error will name. An error says enough without
// it, so what can't be had is left out.
func (b *BGP) askWhy(ctx context.Context, all peerings) {
	var commands []string
	var of []*peering
	for i, s := range all {
		if !s.up && len(of) < mostSessions && validNames("", s.names) == nil { // a blank would end the name
			commands = append(commands, "show bgp vrf "+b.vrf()+" neighbors "+s.names[0]+" json")
			of = append(of, &all[i])
		}
	}
	if len(commands) == 0 {
		return
	}
	answers, err := askFRR(ctx, b.at(), "bgpd", commands...)
	if err != nil {
		return
	}
	for i, s := range of {
		s.why = readFRRReset(answers[i])
	}
}

// readFRRReset reads why a session ended from the answer to "show bgp neighbors NAME json"; ""
// if that is not told.
func readFRRReset(text string) string {
	var peers map[string]struct {
		Due    string `json:"lastResetDueTo"`
		Reason string `json:"lastNotificationReason"`
	}
	if json.Unmarshal([]byte(text), &peers) != nil {
		return ""
	}
	for _, p := range peers { // there is one
		switch {
		case p.Due != "" && p.Reason != "":
			return fmt.Sprintf("last reset: %s: %s", p.Due, p.Reason)
		case p.Due != "":
			return "last reset: " + p.Due
		}
	}
	return ""
}
