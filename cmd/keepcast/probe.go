package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/keepcast/keepcast/checks"
	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/kernel"
)

func (a *app) probeCommand() *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:   "probe SERVICE[/CHECK]...",
		Short: "run checks once, now, and say what they find",
		Long: `Probe runs checks of the configuration once, from this command, with their timeouts,
and changes nothing. Without a name it runs all, and prints a line for each. Of those that
are named it also prints what the run saw, each thing with the time since the run began:
connections, certificates, what was asked and what came back, and what one that ran out of
time waited for. Secrets are not shown. A run is void when keepcast itself could not probe:
it says nothing of the service. So is that of a check whose address is not on this host,
where keepcast puts it while it runs, and that of a check of kind push, whose reports only
the running keepcast has (see check-now). Exit code 1 when one fails or is void.`,
		Example: `  keepcast probe
  keepcast probe dns
  keepcast probe dns/answers -o json`,
		ValidArgsFunction: a.completeChecks,
		Args:              cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			show, err := shows(format, func(io.Writer, []probed) error { return nil })
			if err != nil {
				return err
			}
			cfg, err := config.Load(a.configFile)
			if err != nil {
				return err
			}
			chosen, err := choose(cfg, args)
			if err != nil {
				return usageError{err}
			}
			kernel := kernelOf(cfg)
			ctx := guarded(c.Context(), cfg, kernel.Local)
			all := make([]probed, 0, len(chosen))
			for _, one := range chosen {
				result := one.probe(checks.WithDevice(ctx, func() (string, error) { return kernel.VRF(one.on) }))
				if format == "table" { // somebody waits for each of them
					if _, err := io.WriteString(c.OutOrStdout(), result.lines(len(args) > 0)); err != nil {
						return err
					}
				}
				all = append(all, result)
			}
			if err := show(c.OutOrStdout(), all); err != nil {
				return err
			}
			return verdictOf(all)
		},
	}
	formatFlag(c, &format)
	return c
}

// verdict says how many checks are not known to be fit.
func verdict(failed, void, all int) error {
	switch {
	case failed > 0 && void > 0:
		return fmt.Errorf("%d of %d checks failed, and %d could not be run", failed, all, void)
	case failed > 0:
		return fmt.Errorf("%d of %d checks failed", failed, all)
	case void > 0:
		return fmt.Errorf("%d of %d checks could not be run", void, all)
	}
	return nil
}

// chosenCheck is a check that is to be probed.
type chosenCheck struct {
	service string
	on      string // the interface in whose VRF it probes
	check   config.Check
}

// choose finds the checks that names mean: SERVICE or SERVICE/CHECK, none: all.
func choose(cfg *config.Config, names []string) ([]chosenCheck, error) {
	if len(names) == 0 {
		for _, s := range cfg.Services {
			names = append(names, s.Name)
		}
	}
	var out []chosenCheck
	for _, name := range names {
		service, check, one := strings.Cut(name, "/")
		s, err := cfg.ServiceByName(service)
		if err != nil {
			return nil, err
		}
		var known []string
		before := len(out)
		for _, c := range s.Checks {
			known = append(known, c.Name)
			if !one || c.Name == check {
				out = append(out, chosenCheck{service, cfg.ProbesOn(*s, c), c})
			}
		}
		if len(out) == before {
			return nil, fmt.Errorf("service %s has no check %q%s", service, check, config.Hint(check, "configured", known))
		}
	}
	return out, nil
}

// guarded refuses to probe a managed address that is not on this host, as the
// daemon does: local says of an address whether it is, as kernel.Local.
func guarded(ctx context.Context, cfg *config.Config, local func(netip.Addr) error) context.Context {
	managed := map[netip.Addr]string{} // how each comes onto this host
	for _, s := range cfg.Services {
		for _, address := range s.Addresses {
			managed[address.Addr()] = comes(cfg, s)
		}
	}
	hinted := func(a netip.Addr) error {
		err := local(a)
		if errors.Is(err, driver.ErrElsewhere) {
			return fmt.Errorf("%w; %s", err, managed[a])
		}
		return err
	}
	return checks.WithGuard(ctx, checks.OnlyLocal(func(a netip.Addr) bool { return managed[a] != "" }, hinted))
}

// comes says how the addresses of a service come onto this host.
func comes(cfg *config.Config, s config.Service) string {
	switch {
	case !cfg.ManageAddresses:
		return "put it there first: with manage_addresses: false keepcast does not"
	case s.Absent():
		return fmt.Sprintf("keepcast puts it there while it runs and service %s is announced (while_withdrawn: absent)", s.Name)
	}
	return "keepcast puts it there while it runs: start it, then probe again"
}

// kernelOf returns the kernel's side of a configuration, to be asked only.
func kernelOf(cfg *config.Config) *kernel.Kernel {
	k := kernel.New(cfg.Interface, slog.New(slog.DiscardHandler))
	for i := range cfg.Services {
		k.Manage(cfg.Services[i].Routes(driver.Absent, false))
	}
	return k
}

// untold says that this process was told nothing by those who report to the running keepcast.
func (c chosenCheck) untold() error {
	if _, push := c.check.Checker.(*checks.Push); !push {
		return nil
	}
	return health.Void(fmt.Errorf("only the running keepcast has the reports: ask it with keepcast check-now %s/%s", c.service, c.check.Name))
}

// probe runs the check once.
func (c chosenCheck) probe(ctx context.Context) probed {
	var sight checks.Sight
	start := time.Now()
	err := c.untold()
	if err == nil {
		err = health.Once(checks.WithSight(ctx, &sight), c.check.Checker, c.check.Timeout)
	}
	took := time.Since(start)
	p := probed{
		Service: c.service, Check: c.check.Name, Kind: c.check.Kind, Outcome: outcomeFit,
		Certain: health.IsCertain(err), Seconds: took.Seconds(), Seen: []seen{},
	}
	saw, awaits := sight.Seen()
	for _, s := range saw {
		p.Seen = append(p.Seen, seen{s.After.Seconds(), s.What, s.Text})
	}
	switch {
	case health.IsVoid(err):
		p.Outcome = outcomeVoid
	case err != nil:
		p.Outcome = outcomeFailed
	}
	if err != nil {
		p.Error = err.Error()
	}
	if err != nil && took >= c.check.Timeout {
		p.WaitingFor = awaits
	}
	return p
}
