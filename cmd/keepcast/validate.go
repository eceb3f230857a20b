package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
)

func (a *app) validateCommand() *cobra.Command {
	var offline bool
	c := &cobra.Command{
		Use:   "validate",
		Short: "check the configuration and name every fault",
		Long: `Validate reads the main file and all drop-ins and prints every fault of every file
as file:line:col: setting: what is wrong. Exit code 3 when there is one. What depends on a
setting that is wrong by itself, such as a rule between two, is judged once that is right.

It is for the host that keepcast runs on: programs of checks, certificates and templates
that are named must be there, as a reload wants them too. (A start does not fail for want
of a program or certificate: the check that needs it does.) With --offline it looks at no
file but those of the configuration, for a build machine or a repository's CI.`,
		Example: `  keepcast validate --config /etc/keepcast/keepcast.yaml
  keepcast validate --offline --config host/keepcast.yaml`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("%q: validate takes no argument: name the file by --config %s", args[0], args[0])
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error {
			out := c.OutOrStdout()
			cfg, err := a.validated(offline)
			if !offline {
				a.tellOfLastGood(c.Context(), out)
			}
			if err != nil {
				return err
			}
			for _, note := range cfg.Notes() {
				fmt.Fprintln(out, note)
			}
			_, err = fmt.Fprintf(out, "valid: %s, %s, %s in %s\n",
				counted(len(cfg.Services), "service"), counted(cfg.Runs(), "check"), counted(len(cfg.Drivers), "driver"), counted(len(cfg.Files), "file"))
			return err
		},
	}
	c.Flags().BoolVar(&offline, "offline", false, "do not look at the files that settings name: for a machine that keepcast does not run on")
	return c
}

// validated loads the configuration, strictly.
func (a *app) validated(offline bool) (*config.Config, error) {
	if offline {
		return config.LoadOffline(a.configFile)
	}
	return config.LoadStrict(a.configFile)
}
