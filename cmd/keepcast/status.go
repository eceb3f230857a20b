package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/control"
)

func (a *app) statusCommand() *cobra.Command {
	var format string
	var watch bool
	c := &cobra.Command{
		Use:   "status",
		Short: "show the services, where their addresses are, and the daemons",
		Long: `Status shows what the running keepcast knows: each service with its state and the
reason for it, how many of its checks are up, each address with who has it (the kernel,
the routing daemons, when asked last) and to how many of its neighbors a daemon exported
it, whether the kernel and the daemons are in sync, and what stands in the way of
announcing. Each check by itself is in -o json and -o yaml.

A service is announced (or degraded) only once the daemons have told a neighbor;
until then it is announcing. It is withdrawn only once nobody has it any more; until
then it is withdrawing.`,
		Example: `  keepcast status
  keepcast status -o json | jq '.services[] | select(.state != "announced")'`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			show, err := shows(format, table)
			if err != nil {
				return err
			}
			client, err := a.client()
			if err != nil {
				return err
			}
			if watch {
				return watchStatus(c.Context(), client, printer(c), show)
			}
			s, err := client.Status(c.Context())
			if err != nil {
				return err
			}
			return show(c.OutOrStdout(), s)
		},
	}
	formatFlag(c, &format)
	c.Flags().BoolVarP(&watch, "watch", "w", false, "show it anew every second, until interrupted")
	return c
}

func watchStatus(ctx context.Context, client control.Client, out *escaped, show func(io.Writer, api.Status) error) error {
	every := time.NewTicker(time.Second)
	defer every.Stop()
	for {
		var screen bytes.Buffer
		s, err := client.Status(ctx)
		if err != nil {
			fmt.Fprintln(&screen, err) // it may come back: go on
		} else if err := show(&screen, s); err != nil {
			return err
		}
		if err := out.repaint(screen.String()); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
		}
	}
}

// table is for people.
func table(out io.Writer, s api.Status) error {
	now := time.Now()
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SERVICE\tSTATE\tSINCE\tCHECKS\tADDRESS\tDESIRED\tIN\tEXPORTED TO\tREASON")
	for _, svc := range s.Services {
		for i, a := range svc.Addresses {
			shown := fmt.Sprintf("%s\t%s\t%s\t%s", a.Address, a.Desired, observedIn(a), exported(a))
			if i == 0 {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", svc.Name, svc.State, ago(now, svc.Since), up(svc.Checks), shown, oneLine(svc.Reason))
			} else {
				fmt.Fprintf(w, "\t\t\t\t%s\t\n", shown)
			}
		}
	}
	fmt.Fprintln(w, "\nDRIVER\tIN SYNC\tSINCE\tNEIGHBORS\tERROR\t\t\t\t")
	for _, d := range s.Drivers {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", d.Name, inSync(d), ago(now, d.Since), neighbors(d), oneLine(d.Error))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	tableHeld(out, s.Services)
	findings := slices.Clone(s.Findings)
	for _, d := range s.Drivers {
		findings = append(findings, d.Findings...)
	}
	for _, f := range findings {
		fmt.Fprintf(out, "\n%s %s (%s)\n", f.Level, f.Subject, f.Name)
		fmt.Fprintf(out, "  %s\n", strings.ReplaceAll(f.Text, "\n", "\n  "))
		if f.Fix != "" {
			fmt.Fprintf(out, "  fix: %s\n", strings.ReplaceAll(f.Fix, "\n", "\n       "))
		}
	}
	switch {
	case s.Config.LastGood:
		fmt.Fprintf(out, "\nkeepcast was started with files that are not valid. It runs on what was in force before them (%s):\n%s\n", strings.Join(s.Config.Files, ", "), s.Config.Error)
	case s.Config.Error != "":
		fmt.Fprintf(out, "\nThe last reload was refused; the configuration of %s is in force:\n%s\n", s.Config.Loaded.Format(time.DateTime), s.Config.Error)
	}
	if s.Stopping {
		fmt.Fprintln(out, "\nkeepcast is stopping.")
	}
	return nil
}

func inSync(d api.DriverStatus) string {
	switch {
	case d.InSync:
		return "yes"
	case d.Pending():
		return "pending"
	}
	return "NO"
}

// neighbors counts those of a daemon that are up.
func neighbors(d api.DriverStatus) string {
	if len(d.Neighbors) == 0 {
		return "-"
	}
	return fmt.Sprintf("%d/%d up", d.Up(), len(d.Neighbors))
}

// observedIn names those that had the prefix when asked last, and with a question mark
// those that may have it, but could not be asked.
func observedIn(a api.AddressStatus) string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(a.Observed)) {
		switch {
		case a.Observed[name].Present:
			names = append(names, name)
		case a.Observed[name].Unknown:
			names = append(names, name+"?")
		}
	}
	return cmp.Or(strings.Join(names, ", "), "-")
}

// exported says to how many of its neighbors each daemon had exported the prefix.
func exported(a api.AddressStatus) string {
	var counts []string
	for _, name := range slices.Sorted(maps.Keys(a.Observed)) {
		if seen := a.Observed[name]; seen.Neighbors != nil && !seen.Unknown {
			counts = append(counts, fmt.Sprintf("%s %d/%d", name, len(seen.ExportedTo), *seen.Neighbors))
		}
	}
	return cmp.Or(strings.Join(counts, ", "), "-")
}

// tableHeld says which neighbors may still send packets for what is withdrawn.
func tableHeld(out io.Writer, services []api.ServiceStatus) {
	for _, svc := range services {
		for _, a := range svc.Addresses {
			for _, name := range slices.Sorted(maps.Keys(a.Observed)) {
				for _, h := range a.Observed[name].HeldBy {
					fmt.Fprintf(out, "\n%s may still be sent to this host by the neighbor of %s that waits for it: %s\n", a.Prefix, name, h)
				}
			}
		}
	}
}

// up counts the checks that are up, and those that could not be run when they were to.
func up(list []api.CheckStatus) string {
	n, void := 0, 0
	for _, c := range list {
		if c.Verdict == health.Up {
			n++
		}
		if c.Void {
			void++
		}
	}
	text := fmt.Sprintf("%d/%d up", n, len(list))
	if void > 0 {
		text += fmt.Sprintf(", %d void", void)
	}
	return text
}

// ago is the time since t, as short as a table wants it.
func ago(now, t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	d := now.Sub(t)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd", int(d.Hours())/24)
}
