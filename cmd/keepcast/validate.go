package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
)

func (a *app) validateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "validate",
		Short: "check the configuration and name every fault",
		Long: `Validate reads the main file and all drop-ins and prints every fault of every file
as file:line:col: setting: what is wrong. Exit code 3 when there is one.`,
		Example: "  keepcast validate --config /etc/keepcast/keepcast.yaml",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := config.Load(a.configFile)
			if err != nil {
				return err
			}
			out := c.OutOrStdout()
			for _, note := range cfg.Notes() {
				fmt.Fprintln(out, note)
			}
			checks := 0
			for _, s := range cfg.Services {
				checks += len(s.Checks)
			}
			fmt.Fprintf(out, "valid: %d services, %d checks, %d drivers in %d files\n",
				len(cfg.Services), checks, len(cfg.Drivers), len(cfg.Files))
			return nil
		},
	}
}
