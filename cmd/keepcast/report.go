package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
)

func (a *app) reportCommand() *cobra.Command {
	var ttl time.Duration
	var reason string
	c := &cobra.Command{
		Use:   "report SERVICE/CHECK up|down",
		Short: "tell a check of kind push whether its service is fit",
		Long: `Report says for a check of kind push that its service is fit, or is not: for a batch job, a
monitoring system, a deployment. It holds for --ttl. Who reports has to do so again before
that is over: silence is failure. A report of down makes the check down at once; reports of
up make it up once the check has seen that as often as rise says. It prints nothing.`,
		Example: `  keepcast report dns/zones up --ttl 10m
  keepcast report web/deployment down --reason "release 4711 is being installed" --ttl 1h`,
		ValidArgsFunction: func(c *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 1 {
				return []string{"up", "down"}, cobra.ShellCompDirectiveNoFileComp
			}
			return a.completeChecks(c, args, begun)
		},
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			r := api.ReportRequest{Check: args[0], Up: args[1] == "up", Reason: reason, Seconds: ttl.Seconds()}
			if !r.Up && args[1] != "down" {
				return usageError{fmt.Errorf("%q is neither up nor down", args[1])}
			}
			if c.Flags().Changed("ttl") && ttl <= 0 {
				return usageError{fmt.Errorf("--ttl %s: how long the report holds is more than nothing", ttl)}
			}
			client, err := a.client()
			if err != nil {
				return err
			}
			return client.Report(c.Context(), r)
		},
	}
	c.Flags().DurationVar(&ttl, "ttl", 0, "how long the report holds, such as 10s (default: the ttl of the check)")
	c.Flags().StringVar(&reason, "reason", "", "why, for those who look at the status")
	return c
}
