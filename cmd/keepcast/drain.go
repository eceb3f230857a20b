package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/api"
)

// selection is which services a command means: some by name, or --all.
type selection struct{ all bool }

func (s *selection) flag(c *cobra.Command) {
	c.Flags().BoolVar(&s.all, "all", false, "all services of this host")
}

func (s *selection) check(_ *cobra.Command, args []string) error {
	switch {
	case s.all && len(args) > 0:
		return errors.New("either services or --all, not both")
	case !s.all && len(args) == 0:
		return errors.New("which service? name one or more, or give --all")
	}
	return nil
}

func (a *app) drainCommand() *cobra.Command {
	var which selection
	var length time.Duration
	var reason string
	c := &cobra.Command{
		Use:   "drain SERVICE... | --all",
		Short: "withdraw services although they are fit",
		Long: `Drain withdraws services: the routes go at once. Packets that still arrive are served for
linger, and longer unless while_withdrawn is absent. A drain survives a restart and a
reboot. It ends with "keepcast resume" or when its time is over. It takes the place of an
earlier drain of the same services, also of a longer one.`,
		Example: `  keepcast drain dns --for 2h --reason "kernel update, CHG-4711"
  keepcast drain --all --reason "moving the rack"`,
		ValidArgsFunction: a.completeServices,
		RunE: func(c *cobra.Command, args []string) error {
			r := api.DrainRequest{Services: args, All: which.all, Reason: reason}
			if c.Flags().Changed("for") {
				if length <= 0 {
					return usageError{fmt.Errorf("--for %s: a time that is not over yet, please", length)}
				}
				r.Until = time.Now().Add(length)
			}
			client, err := a.client()
			if err != nil {
				return err
			}
			s, err := client.Drain(c.Context(), r)
			if err != nil {
				return err
			}
			return told(c.OutOrStdout(), s, args)
		},
	}
	which.flag(c)
	c.Args = which.check
	c.Flags().DurationVar(&length, "for", 0, "resume by itself after this time, such as 2h (default: only by command)")
	c.Flags().StringVar(&reason, "reason", "", "why, for those who look at the status")
	return c
}

func (a *app) resumeCommand() *cobra.Command {
	var which selection
	c := &cobra.Command{
		Use:   "resume SERVICE... | --all",
		Short: "end the drain of services",
		Long: `Resume ends drains: the services are announced again as soon as they are fit. A drain
by a file in the drain directory ends when that file is removed.`,
		Example:           "  keepcast resume dns",
		ValidArgsFunction: a.completeServices,
		RunE: func(c *cobra.Command, args []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			s, err := client.Resume(c.Context(), api.ResumeRequest{Services: args, All: which.all})
			if err != nil {
				return err
			}
			return told(c.OutOrStdout(), s, args)
		},
	}
	which.flag(c)
	c.Args = which.check
	return c
}

// told prints what became of the services.
func told(out io.Writer, s api.Status, names []string) error {
	for _, svc := range s.Services {
		if len(names) == 0 || slices.Contains(names, svc.Name) {
			if _, err := fmt.Fprintf(out, "%s: %s (%s)\n", svc.Name, svc.State, oneLine(svc.Reason)); err != nil {
				return err
			}
		}
	}
	return nil
}
