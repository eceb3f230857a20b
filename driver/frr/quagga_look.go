package frr

import (
	"context"
	"maps"
	"net/netip"
	"slices"

	"github.com/keepcast/keepcast/driver"
)

// look asks the daemon what it originates of what the gate permits, and to whom it
// sends that.
func (d *quaggaDaemon) look(ctx context.Context, section frrConfig, asked driver.State, on frrHost) (frrSight, error) {
	if _, err := d.vty.Open(ctx); err != nil {
		return frrSight{}, d.vty.Away(err)
	}
	run, err := d.running(ctx)
	if err != nil {
		return frrSight{}, err
	}
	permitted := run.listed()
	maps.Copy(permitted, run.entered(on.owned))
	var s frrSight
	switch d.vty.Daemon {
	case "bgpd":
		s, err = d.lookBGP(ctx, permitted)
	case "ospfd":
		s, err = d.lookIGP(ctx, permitted, "show ip ospf database external self-originate", "show ip ospf neighbor", quaggaOSPF, quaggaOSPFNeighbors)
	default:
		permitted = nil // whatever has its address on the interface
		s, err = d.lookIGP(ctx, permitted, "show isis database detail", "show isis neighbor detail", quaggaISIS, isisNeighbors)
	}
	if err != nil {
		return frrSight{}, err
	}
	inSync := len(quaggaDiff(run.frrConfig, section, on.owned)) == 0
	for _, r := range asked.Announced() {
		if _, held := s.held[r.Prefix.Masked()]; held {
			s.held[r.Prefix.Masked()] = r.Degraded && inSync && d.degrades(run, r)
		}
	}
	s.findings = slices.Concat(s.findings, d.findings(run, asked), unreached(d.vty.Daemon, d.role, asked, s.neighbors))
	return s, nil
}

// lookIGP asks a daemon that floods what it originates to all its neighbors; a
// nil permitted is all.
func (d *quaggaDaemon) lookIGP(ctx context.Context, permitted map[netip.Prefix]bool, originated, neighbors string,
	readOriginated func(string) map[netip.Prefix]bool, readNeighbors func(string) []frrNeighbor,
) (frrSight, error) {
	texts, err := d.vty.Ask(ctx, originated, neighbors)
	if err != nil {
		return frrSight{}, err
	}
	held := map[netip.Prefix]bool{}
	for p := range readOriginated(texts[0]) {
		if _, ok := permitted[p]; ok || permitted == nil {
			held[p] = false
		}
	}
	return flooded(d.vty.Daemon, held, readNeighbors(texts[1])), nil
}
