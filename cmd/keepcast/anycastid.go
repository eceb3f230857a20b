package main

import (
	"fmt"
	"net/netip"

	"github.com/spf13/cobra"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
)

func anycastIDCommand() *cobra.Command {
	var id int
	var format string
	c := &cobra.Command{
		Use:   "anycast-id SUBNET",
		Short: "print a reserved subnet anycast address (RFC 2526)",
		Long: `Anycast-id prints the address that RFC 2526 reserves in an IPv6 subnet for an anycast
identifier: the highest 128 interface identifiers. A /64 outside 0000::/3 has EUI-64
based identifiers with the universal/local bit zero (fdff:ffff:ffff:ff80 and up);
any other length has all bits one. --format overrides that choice.`,
		Example: `  keepcast anycast-id 2001:db8:53::/64 --id 1
  keepcast anycast-id 2001:db8:53::/56 --id 126`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			subnet, err := netip.ParsePrefix(args[0])
			if err != nil {
				return usageError{fmt.Errorf("%q is no subnet, such as 2001:db8:53::/64", args[0])}
			}
			a, err := config.SubnetAnycast(subnet, id, config.IDFormat(format))
			if err != nil {
				return usageError{err}
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), a)
			return err
		},
	}
	c.Flags().IntVar(&id, "id", 0, "anycast identifier, 0 to 127 (126 is taken by Mobile IPv6 home agents)")
	c.Flags().StringVar(&format, "format", string(config.FormatAuto), "eui64, other, or auto: as the RFC says for the subnet")
	if err := c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"auto", "eui64", "other"}, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag stands three lines above
	}
	return c
}
