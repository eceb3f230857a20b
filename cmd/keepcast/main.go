// Keepcast announces each anycast address of this host, through the routing
// daemon that runs here already, exactly as long as the service behind it works.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/control"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/engine"
	"github.com/keepcast/keepcast/driver/pace"
)

// The exit codes. docs/reference/commands.md and the manual page show exitCodes.
const (
	exitOK         = 0
	exitFailed     = 1
	exitUsage      = 2
	exitConfig     = 3
	exitNotRunning = 4
	exitLeft       = 5
)

// exitCodes is what `keepcast --help` says of them.
const exitCodes = `Exit codes:
  0  done
  1  it failed, a check of probe or check-now did or could not be run, doctor found an
     error, or a reload was refused
  2  wrong usage; also a name that the configuration does not have (probe, render)
  3  validate, run, probe or render found the configuration not valid
  4  keepcast is not running here
  5  run stopped, and something may still be announced`

func main() {
	if os.Getpid() == 1 {
		os.Exit(asPID1(os.Args))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second one ends a command at once; run counts them itself
	code := keepcast(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// usageError marks an error in the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// keepcast runs one command line and returns its exit code.
func keepcast(ctx context.Context, args []string, out, errOut io.Writer) int {
	root, prints, errs := newRoot(), &escaped{out: out}, &escaped{out: errOut}
	root.SetArgs(args)
	root.SetOut(prints)
	root.SetErr(errs)
	command, err := root.ExecuteContextC(ctx)
	if last := prints.flush(); err == nil {
		err = last
	}
	if err == nil {
		return exitOK
	}
	words := text(err)
	var usage usageError
	var faults config.Faults
	if errors.As(err, &usage) {
		words += fmt.Sprintf("\nsee \"%s --help\"", command.CommandPath())
	}
	// The reader of a daemon's log may hang. Its end must not.
	pace.Within(logFlush, func() { fmt.Fprintln(errs, words) })
	switch {
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &faults):
		return exitConfig
	case errors.Is(err, control.ErrNotRunning):
		return exitNotRunning
	case errors.Is(err, engine.ErrNotWithdrawn):
		return exitLeft
	}
	return exitFailed
}

// text is the error as it is printed: faults begin with their place, so that
// editors can jump there, everything else with the program's name.
func text(err error) string {
	if faults, ok := errors.AsType[config.Faults](err); ok {
		return fmt.Sprintf("%v\n%s in the configuration", faults, counted(len(faults), "fault"))
	}
	return "keepcast: " + err.Error()
}

// counted returns how many there are of something, as in 1 check or 2 checks.
func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// defaultConfig is the main configuration file of the only keepcast of a host.
const defaultConfig = "/etc/keepcast/keepcast.yaml"

// app holds the flags that all commands share.
type app struct {
	configFile string
	socket     string // empty: as configured
}

func newRoot() *cobra.Command {
	a := &app{}
	root := &cobra.Command{
		Use:   "keepcast",
		Short: "announce anycast addresses exactly as long as the services behind them work",
		Long: `Keepcast runs beside the routing daemon of this host (BIRD, FRR, any other), probes
the services here, and announces each anycast address exactly as long as the
service behind it works.

` + exitCodes,
		SilenceErrors: true, SilenceUsage: true,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.PersistentFlags().StringVarP(&a.configFile, "config", "c", defaultConfig, "main configuration file; drop-ins are in conf.d beside it")
	root.PersistentFlags().StringVar(&a.socket, "socket", "", "control socket (default: as configured)")
	root.AddCommand(a.runCommand(), a.validateCommand(), a.doctorCommand(), a.statusCommand(), a.probeCommand(),
		a.drainCommand(), a.resumeCommand(), a.checkNowCommand(), a.reportCommand(), a.reloadCommand(), a.renderCommand(), a.initCommand(), a.withdrawAllCommand(), schemaCommand(), anycastIDCommand(), versionCommand())
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	markUsage(root)
	return root
}

// markUsage makes wrong arguments usage errors in every command.
func markUsage(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return usageError{err}
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		markUsage(sub)
	}
}

// client returns the client of the running keepcast. Without --socket the
// configuration says where it listens. A broken one must not keep an operator from
// draining: then it is looked at as far as it can be read, then at what that keepcast has
// in force. It never falls back on another keepcast of this host.
func (a *app) client() (control.Client, error) {
	if a.socket != "" {
		// The lock beside it is that of the same keepcast, or there is none.
		return control.Client{Socket: a.socket, RuntimeDir: filepath.Dir(a.socket)}, nil
	}
	cfg, err := config.Load(a.configFile)
	if err == nil {
		return control.Client{Socket: cfg.ControlSocket, RuntimeDir: cfg.RuntimeDir}, nil
	}
	dir := a.glimpsedDir("runtime_directory")
	if socket, found := config.Glimpse(a.configFile, "control_socket"); found {
		return control.Client{Socket: socket, RuntimeDir: dir}, nil
	}
	if dir != "" {
		if cfg, err := config.LoadSaved(engine.InForceFile(dir)); err == nil {
			return control.Client{Socket: cfg.ControlSocket, RuntimeDir: dir}, nil
		}
	}
	if a.configFile == defaultConfig {
		return control.Client{Socket: config.DefaultOf("control_socket"), RuntimeDir: dir}, nil
	}
	// Its faults are not what the operator asked about: the exit code is that of a failure.
	return control.Client{}, fmt.Errorf("%s is not valid, and does not say the control_socket of its keepcast: name it with --socket\n%v", a.configFile, err) //nolint:errorlint // as said
}

// socketOf returns the control socket of a keepcast with that configuration.
func (a *app) socketOf(cfg *config.Config) string { return cmp.Or(a.socket, cfg.ControlSocket) }

// completeServices completes the names of the configured services.
func (a *app) completeServices(_ *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	var names []string
	if cfg, err := config.Load(a.configFile); err == nil {
		for _, s := range cfg.Services {
			names = append(names, s.Name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeChecks completes the names of the configured services, and of a service that is
// named with its slash those of its checks.
func (a *app) completeChecks(c *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	name, _, ofOne := strings.Cut(begun, "/")
	if !ofOne {
		return a.completeServices(c, args, begun)
	}
	var names []string
	if cfg, err := config.Load(a.configFile); err == nil {
		if s, err := cfg.ServiceByName(name); err == nil {
			for _, check := range s.Checks {
				names = append(names, name+"/"+check.Name)
			}
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
