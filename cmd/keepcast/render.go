package main

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/driver"
)

func (a *app) renderCommand() *cobra.Command {
	var announced bool
	c := &cobra.Command{
		Use:   "render DRIVER",
		Short: "print the snippet that a driver loads",
		Long: `Render prints the snippet of a driver, by its name in the configuration, for the state
at a first start: nothing announced. Put that where the daemon includes it before
keepcast ever ran. With --announced it shows all services announced.`,
		Example: `  keepcast render bird > /var/lib/keepcast/bird.conf
  keepcast render bird --announced | less`,
		Args: cobra.ExactArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var names []string
			if cfg, err := config.Load(a.configFile); err == nil {
				for _, d := range cfg.Drivers {
					names = append(names, d.Name)
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := config.Load(a.configFile)
			if err != nil {
				return err
			}
			snippet, err := render(cfg, args[0], announced)
			if err != nil {
				return err
			}
			_, err = printer(c).file().Write(snippet)
			return err
		},
	}
	c.Flags().BoolVar(&announced, "announced", false, "as if all services were announced")
	return c
}

func render(cfg *config.Config, name string, announced bool) ([]byte, error) {
	presence := driver.Delivered
	if announced {
		presence = driver.Announced
	}
	equip(cfg, opener(cfg, slog.New(slog.DiscardHandler), nil))
	var names []string
	for _, d := range cfg.Drivers {
		names = append(names, d.Name)
		if d.Name != name {
			continue
		}
		r, ok := d.Driver.(driver.Renderer)
		if !ok {
			return nil, usageError{fmt.Errorf("driver %s writes no snippet", name)}
		}
		return r.Render(cfg.State(name, presence))
	}
	if len(names) == 0 {
		return nil, usageError{errors.New("no driver is configured")}
	}
	return nil, usageError{fmt.Errorf("no driver %q%s", name, config.Hint(name, "configured", names))}
}
