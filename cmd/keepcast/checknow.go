package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
)

func (a *app) checkNowCommand() *cobra.Command {
	var which selection
	c := &cobra.Command{
		Use:   "check-now SERVICE[/CHECK]... | --all",
		Short: "have the running keepcast run checks now, and say what they found",
		Long: `Check-now has the running keepcast run checks at once, beside their schedule, and waits up
to 8 s for them. It prints the verdict of each with the time that the run took, and what the
run found if that is not the verdict: the runs count as any other, so a verdict still takes as
many as rise and fall say. A check does not run twice at a time, nor more than four times a
second for those who ask. Exit code 1 when a run fails, is void or has not ended by then.`,
		Example: `  keepcast check-now dns
  keepcast check-now dns/answers web`,
		ValidArgsFunction: a.completeChecks,
		RunE: func(c *cobra.Command, args []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			answer, err := client.CheckNow(c.Context(), api.CheckNowRequest{Services: args, All: which.all})
			if err != nil {
				return err
			}
			failed, void := 0, 0
			for _, check := range answer.Checks {
				if _, err := fmt.Fprintln(c.OutOrStdout(), checked(check)); err != nil {
					return err
				}
				switch {
				case check.Void, check.Pending:
					void++
				case check.Error != "":
					failed++
				}
			}
			return verdict(failed, void, len(answer.Checks))
		},
	}
	which.flag(c)
	c.Args = which.check
	return c
}

// checked says of a check that ran its verdict, and what the run found where that says more.
func checked(c api.CheckedNow) string {
	line := fmt.Sprintf("%s/%s: %s", c.Service, c.Name, c.Verdict)
	if c.Pending {
		return line + ", as before: this run has not ended yet"
	}
	line += fmt.Sprintf(" (%s)", rounded(c.Seconds))
	switch {
	case c.Void:
		return line + ", for this run is void, which says nothing of the service: " + oneLine(c.Error)
	case c.Error != "" && c.Verdict == health.Down:
		return line + ": " + oneLine(c.Error)
	case c.Error != "":
		return line + ", but this run failed" + inARow(c, "down") + ": " + oneLine(c.Error)
	case c.Verdict != health.Up:
		return line + ", but this run is fit" + inARow(c, "up")
	}
	return line
}

// inARow says how many runs like the last one it takes for another verdict, and how many
// there were. Nothing where that is not why: a failure that patience waits for counts for none.
func inARow(c api.CheckedNow, verdict string) string {
	if c.InARow == 0 || c.InARow >= c.Takes {
		return ""
	}
	return fmt.Sprintf(" (%d of the %d in a row that make it %s)", c.InARow, c.Takes, verdict)
}
