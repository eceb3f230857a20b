package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (a *app) reloadCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "have the running keepcast load its configuration anew",
		Long: `Reload has the running keepcast load the main file and all drop-ins anew, and waits for
what becomes of it. Exit code 1 when it refuses them, since a file has a fault or a setting
has changed that takes a restart: then the configuration before stays in force. SIGHUP does
the same, but the result is only in the log.`,
		Example: "  keepcast reload",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			s, err := client.Reload(c.Context())
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "in force: %s of %s\n", counted(len(s.Services), "service"), counted(len(s.Config.Files), "file"))
			return err
		},
	}
}
