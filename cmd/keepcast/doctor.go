package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/control"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/doctor"
	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/kernel"
)

// procSys is where the kernel's settings are.
const procSys = "/proc/sys"

func (a *app) doctorCommand() *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:   "doctor",
		Short: "look the host over for what prevents announcing or slows failover",
		Long: `Doctor looks at the configuration, the interfaces, the kernel's settings, the
permissions and the routing daemons, and prints what it finds, the worst first, each
with its fix. Then it shows how long a failure of each service may last, at the worst,
until it is withdrawn, computed from its checks.

It changes nothing and needs no running keepcast. Run it as root, so that it can see
everything. Exit code 1 when there is an error, or the configuration is bad.`,
		Example: `  keepcast doctor
  keepcast doctor -o json | jq '.findings[] | select(.level != "info")'`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			show, ok := map[string]func(io.Writer, doctor.Report) error{"table": reportTable, "json": asJSON[doctor.Report]}[format]
			if !ok {
				return usageError{fmt.Errorf("no output format %q (known: table, json)", format)}
			}
			report, err := a.examine(c.Context())
			if err != nil {
				return err
			}
			if err := show(c.OutOrStdout(), report); err != nil {
				return err
			}
			if n := report.Errors(); n > 0 {
				return fmt.Errorf("%s found", counted(n, "error"))
			}
			return nil
		},
	}
	c.Flags().StringVarP(&format, "output", "o", "table", "table or json")
	if err := c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json"}, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag stands above
	}
	return c
}

// examine looks at everything. Its error is that the host can't be looked at.
func (a *app) examine(ctx context.Context) (doctor.Report, error) {
	cfg, err := config.Load(a.configFile)
	if err != nil {
		return a.invalid(ctx, err), nil
	}
	equip(cfg, opener(cfg, slog.New(slog.DiscardHandler), nil))
	client := control.Client{Socket: a.socketOf(cfg)}
	h := doctor.Facts{Sysctls: os.DirFS(procSys), Sockets: doctor.ReadSockets(), Together: doctor.StopTogether(ctx, cfg)}
	if h.Network, err = doctor.ReadNetwork(); err != nil {
		return doctor.Report{}, err
	}
	if h.Account, err = doctor.RunsAs(ctx, client.Socket); err != nil {
		return doctor.Report{}, err
	}
	h.Barred = h.Account.Barred
	if h.Account.Examines() {
		_, lacking := config.LoadStrict(a.configFile)
		h.Unusable, _ = errors.AsType[config.Faults](lacking)
	}
	h.Running = running(ctx, client, cfg.RuntimeDir)
	return doctor.Examine(ctx, cfg, h), nil
}

// invalid reports on a configuration that can't be loaded.
func (a *app) invalid(ctx context.Context, err error) doctor.Report {
	h := doctor.Facts{Running: &doctor.Running{}} // it is not known which keepcast to ask
	if client, unknown := a.client(); unknown == nil {
		h.Running = running(ctx, client, a.glimpsedDir("runtime_directory"))
	}
	return doctor.Invalid(err, a.startsWith(), h)
}

// running is what a keepcast tells of itself, or why it does not; nil without one.
func running(ctx context.Context, client control.Client, runtimeDir string) *doctor.Running {
	client.RuntimeDir = runtimeDir
	s, err := client.Status(ctx)
	if errors.Is(err, control.ErrNotRunning) {
		return nil
	}
	if silent, ok := errors.AsType[*control.SilentError](err); ok {
		return &doctor.Running{Silent: silent.What()}
	}
	out := &doctor.Running{Mute: err, ConfigError: s.Config.Error, LastGood: s.Config.LastGood, Degraded: map[string]bool{}, Withdrawn: map[string]bool{}}
	for _, service := range s.Services {
		out.Degraded[service.Name] = service.Desired == api.Degraded
		out.Withdrawn[service.Name] = !service.Desired.Up()
	}
	return out
}

// reportTable is for people.
func reportTable(out io.Writer, r doctor.Report) error {
	if len(r.Findings) == 0 {
		fmt.Fprintln(out, "nothing found")
	}
	for _, f := range r.Findings {
		fmt.Fprintf(out, "%s: %s: %s [%s]\n", f.Level, f.Subject, indent(f.Text), f.Name)
		if f.Fix != "" {
			fmt.Fprintf(out, "    fix: %s\n", indent(f.Fix))
		}
	}
	if len(r.Services) == 0 {
		return nil
	}
	fmt.Fprintln(out, "\nFrom failure to withdrawal at the worst; until the network has converged is to be added.\n"+
		"What is seen at once takes some milliseconds as a rule, and more while a run is under way:")
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SERVICE\tCHECK\tWORST CASE\tHOW IT COMES ABOUT\tSEEN AT ONCE")
	for _, s := range r.Services {
		how, atOnce := fmt.Sprintf("require %s; %s if every check fails", s.Require, s.AllFail), "nothing"
		if len(s.DependsOn) > 0 {
			how += "; depends on " + strings.Join(s.DependsOn, ", ")
		}
		if s.Crash > 0 {
			atOnce = fmt.Sprintf("a crash: within %s", s.Crash)
		}
		fmt.Fprintf(w, "%s\t\t%s\t%s\t%s\n", s.Name, s.WorstCase, how, atOnce)
		for _, c := range s.Checks {
			how, atOnce := c.Makeup, "nothing"
			if c.OnFailure == "degrade" {
				how += " (degrades, does not withdraw)"
			}
			if c.AtOnce != "" {
				atOnce = fmt.Sprintf("%s: within %s", c.AtOnce, c.Certain)
			}
			fmt.Fprintf(w, "\t%s\t%s\t%s\t%s\n", c.Name, c.WorstCase, how, atOnce)
		}
	}
	return w.Flush()
}

// indent keeps the lines of a text below its first one, such as lines to paste,
// apart from what follows.
func indent(text string) string {
	return strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n        ")
}

// equip opens the drivers of a configuration.
func equip(cfg *config.Config, open func(config.Driver)) {
	for _, d := range cfg.Drivers {
		open(d)
	}
}

// opener returns what gives a driver its surroundings. Reloaded, which may be nil, is
// called with the name of a driver that had its daemon load something.
func opener(cfg *config.Config, log *slog.Logger, reloaded func(name string)) func(config.Driver) {
	vrf := kernel.New(cfg.Interface, log).VRF
	return func(d config.Driver) {
		h, ok := d.Driver.(driver.Opener)
		if !ok {
			return
		}
		host := driver.Options{Log: log.With("driver", d.Name), Templates: cfg.TemplateDir, VRF: vrf}
		if reloaded != nil {
			host.Reloaded = func() { reloaded(d.Name) }
		}
		h.Open(host)
	}
}
