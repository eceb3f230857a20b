package main

import (
	"cmp"
	"context"
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
	return &cobra.Command{
		Use:   "probe SERVICE[/CHECK]...",
		Short: "run checks once, now, and say what they find",
		Long: `Probe runs checks of the configuration once, from this command, with their timeouts,
and changes nothing. Without a name it runs all. A run is void when keepcast itself could not
probe: it says nothing of the service. Exit code 1 when one fails or is void.`,
		Example: `  keepcast probe
  keepcast probe dns
  keepcast probe dns/answers`,
		ValidArgsFunction: a.completeServices,
		Args:              cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := config.Load(a.configFile)
			if err != nil {
				return err
			}
			chosen, err := choose(cfg, args)
			if err != nil {
				return usageError{err}
			}
			kernel := kernelOf(cfg)
			ctx := guarded(c.Context(), cfg, kernel)
			failed, void := 0, 0
			for _, one := range chosen {
				inVRF := checks.WithDevice(ctx, func() (string, error) { return kernel.VRF(one.on) })
				switch err := one.probe(inVRF, c.OutOrStdout()); {
				case health.IsVoid(err):
					void++
				case err != nil:
					failed++
				}
			}
			return verdict(failed, void, len(chosen))
		},
	}
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
	on      string // the interface of the service
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
				out = append(out, chosenCheck{service, cmp.Or(s.Interface, cfg.Interface), c})
			}
		}
		if len(out) == before {
			return nil, fmt.Errorf("service %s has no check %q (configured: %s)", service, check, strings.Join(known, ", "))
		}
	}
	return out, nil
}

// guarded refuses to probe a managed address that is not on this host, as the
// daemon does.
func guarded(ctx context.Context, cfg *config.Config, kernel *kernel.Kernel) context.Context {
	managed := map[netip.Addr]bool{}
	for _, s := range cfg.Services {
		for _, address := range s.Addresses {
			managed[address.Addr()] = true
		}
	}
	return checks.WithGuard(ctx, checks.OnlyLocal(func(a netip.Addr) bool { return managed[a] }, kernel.Local))
}

// kernelOf returns the kernel's side of a configuration, to be asked only.
func kernelOf(cfg *config.Config) *kernel.Kernel {
	k := kernel.New(cfg.Interface, slog.New(slog.DiscardHandler))
	for i := range cfg.Services {
		k.Manage(cfg.Services[i].Routes(driver.Absent, false))
	}
	return k
}

// probe runs the check once, prints what came of it, and returns why it is not known to
// be fit.
func (c chosenCheck) probe(ctx context.Context, out io.Writer) error {
	start := time.Now()
	err := health.Once(ctx, c.check.Checker, c.check.Timeout)
	took := time.Since(start).Round(10 * time.Microsecond)
	switch {
	case health.IsVoid(err):
		fmt.Fprintf(out, "%s/%s: void, which says nothing of the service: %v\n", c.service, c.check.Name, err)
	case err != nil:
		fmt.Fprintf(out, "%s/%s: failed after %s: %v\n", c.service, c.check.Name, took, err)
	default:
		fmt.Fprintf(out, "%s/%s: fit (%s)\n", c.service, c.check.Name, took)
	}
	return err
}
