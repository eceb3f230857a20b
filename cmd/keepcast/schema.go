package main

import (
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
)

func schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "print the JSON Schema of the configuration",
		Long: `Schema prints the JSON Schema of keepcast.yaml. An editor that has it completes and
checks while you write.`,
		Example: `  keepcast schema > keepcast.schema.json
  # then, as the first line of keepcast.yaml:
  # yaml-language-server: $schema=keepcast.schema.json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			enc := json.NewEncoder(c.OutOrStdout())
			enc.SetIndent("", "  ")
			enc.SetEscapeHTML(false)
			return enc.Encode(config.Schema())
		},
	}
}
