package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/config"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/control"
	"github.com/keepcast/keepcast/cmd/keepcast/internal/engine"
	"github.com/keepcast/keepcast/driver/kernel"
)

// withdrawal is what the flags of withdraw-all say.
type withdrawal struct {
	linger     time.Duration
	lingerSet  bool
	crashed    bool
	force      bool
	runtimeDir string
}

func (a *app) withdrawAllCommand() *cobra.Command {
	var w withdrawal
	c := &cobra.Command{
		Use:   "withdraw-all",
		Short: "take everything off this host, without a running keepcast",
		Long: `Withdraw-all takes every address of keepcast off the interfaces, closes the gates of the
routing daemons, and after linger ends the local delivery too, as a stop does. It is the
fail-safe for when keepcast can't run: it needs neither a running keepcast nor a valid
configuration. It goes by the configuration that was in force last, which a running
keepcast keeps in its runtime directory; where there is none, by that of --config; where
that is not valid, by the last good one in the state directory, which outlives a reboot;
and by what the kernel has that is marked as keepcast's. It changes none of these files. One
that others may write is not believed.

A running keepcast would announce everything again: drain it, or stop it first. Exit code 1
when something could not be withdrawn, or when nobody knows what keepcast announced; the rest
is withdrawn all the same. A routing daemon that does not run announces nothing: that is no
failure, as for a stop, though its neighbors may wait for it (graceful restart).`,
		Example: `  keepcast withdraw-all
  keepcast withdraw-all --linger 0s`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			w.lingerSet = c.Flags().Changed("linger")
			if w.linger < 0 {
				return usageError{fmt.Errorf("--linger %s: a time from 0s on, please", w.linger)}
			}
			return a.withdrawAll(c.Context(), w, c.OutOrStdout())
		},
	}
	c.Flags().DurationVar(&w.linger, "linger", 0, "how long to serve what still arrives (default: as configured, the longest of all services)")
	c.Flags().BoolVar(&w.crashed, "crashed", false, "do what on_crash says: for the fail-safe unit")
	c.Flags().BoolVar(&w.force, "force", false, "also while a keepcast is running, which may announce everything again")
	c.Flags().StringVar(&w.runtimeDir, "runtime-directory", "", "where the last run kept its state (default: as configured)")
	if err := c.MarkFlagDirname("runtime-directory"); err != nil {
		panic(err) // the flag stands above
	}
	return c
}

// errGates is what is left where no configuration names the daemons.
var errGates = errors.New("the gates of the routing daemons are not known, and stay as they are")

// withdrawAll does it, and prints each step.
func (a *app) withdrawAll(ctx context.Context, w withdrawal, out io.Writer) error {
	tell := func(format string, args ...any) { fmt.Fprintf(out, format+"\n", args...) }
	cfg, unread, err := a.inForce(w, tell)
	if err != nil {
		return err
	}
	hangs, err := a.mustNotRun(ctx, cfg, w)
	if err != nil {
		return err
	}
	if w.crashed && cfg.OnCrash == "keep" {
		tell("on_crash is keep: the host stays as it is")
		return nil
	}
	if len(cfg.Services) == 0 {
		unread = errors.Join(unread, errGates)
	}
	f := w.failSafe(cfg, slog.New(slog.DiscardHandler), tell) // what fails is in the error
	equip(cfg, f.Open)
	if err := errors.Join(unread, f.WithdrawAll(ctx), hangs); err != nil {
		return fmt.Errorf("not everything may be withdrawn: %w", err)
	}
	return nil
}

// failSafe is what withdraws by a configuration.
func (w withdrawal) failSafe(cfg *config.Config, log *slog.Logger, tell func(string, ...any)) engine.FailSafe {
	f := engine.FailSafe{Config: cfg, Linger: w.linger, Tell: tell, Open: opener(cfg, log, nil)}
	if !w.lingerSet {
		f.Linger = longestLinger(cfg)
	}
	if cfg.ManageAddresses {
		f.Kernel = kernel.New(cfg.Interface, log)
	}
	return f
}

// inForce returns the configuration to go by: what the last run had in force, else that
// of the operator, else a former one. Unread says why what the last run had can't be read.
// It is an error if nothing says which keepcast is meant: another one of this host must not
// be withdrawn in its place.
func (a *app) inForce(w withdrawal, tell func(string, ...any)) (cfg *config.Config, unread, err error) {
	own, ownErr := config.Load(a.configFile)
	dir := w.runtimeDir
	switch {
	case dir != "":
	case ownErr == nil:
		dir = own.RuntimeDir
	default:
		dir = a.glimpsedDir("runtime_directory")
	}
	if dir == "" {
		return nil, nil, fmt.Errorf("%s is not valid, and does not say the runtime_directory of its keepcast: name it with --runtime-directory\n%v", a.configFile, ownErr) //nolint:errorlint // its faults are not what the operator asked about
	}
	path := engine.InForceFile(dir)
	cfg, err = config.LoadSaved(path)
	switch {
	case err == nil:
		tell("going by the configuration that was in force last (%s)", path)
	case ownErr == nil:
		cfg = own
		tell("going by %s", a.configFile)
	default:
		cfg = a.former(ownErr, tell)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		unread = fmt.Errorf("what was in force last: %v", err) //nolint:errorlint // its faults are not those of the operator
	}
	cfg.RuntimeDir = dir
	return cfg, unread, nil
}

// former returns the last good configuration, which outlives a reboot. Where there is none,
// it returns the defaults, with which the addresses that the last run saved still go, but
// no gate is known.
func (a *app) former(ownErr error, tell func(string, ...any)) *config.Config {
	cfg, err := a.lastGood()
	if err == nil {
		tell("going by the last good configuration (%s)", cfg.Files[0])
		return cfg
	}
	tell("no valid configuration: the gates of the routing daemons are not known, and stay as they are")
	tell("  %s", ownErr)
	if !errors.Is(err, fs.ErrNotExist) {
		tell("  the last good one: %s", err)
	}
	return a.glimpsed()
}

// glimpsed returns the defaults, and what can still be read of the broken configuration.
func (a *app) glimpsed() *config.Config {
	cfg := config.Defaults()
	for name, setting := range map[string]*string{"control_socket": &cfg.ControlSocket, "interface": &cfg.Interface} {
		if said, found := config.Glimpse(a.configFile, name); found {
			*setting = said
		}
	}
	if said, found := config.Glimpse(a.configFile, "manage_addresses"); found {
		cfg.ManageAddresses = said != "false"
	}
	return cfg
}

// mustNotRun refuses while a keepcast runs, which would undo everything. One that hangs
// does not do so yet: hangs then says so.
func (a *app) mustNotRun(ctx context.Context, cfg *config.Config, w withdrawal) (hangs, err error) {
	socket := a.socketOf(cfg)
	_, asked := (control.Client{Socket: socket}).Status(ctx)
	pid, held := control.LockHolder(cfg.RuntimeDir)
	const undo = "would announce everything again: \"keepcast drain --all\", or stop it first; --force withdraws all the same"
	switch {
	case w.force:
		return nil, nil
	case asked == nil:
		return nil, fmt.Errorf("keepcast is running (it answers at %s) and "+undo, socket)
	case !held || w.crashed: // systemd has given it up
		return nil, nil
	case errors.Is(asked, control.ErrNotRunning):
		return nil, fmt.Errorf("keepcast is running (pid %d holds the lock in %s, though nobody answers at %s) and "+undo, pid, cfg.RuntimeDir, socket)
	}
	if silent, ok := errors.AsType[*control.SilentError](asked); ok {
		return fmt.Errorf("%s: end pid %d, or it may announce everything again", silent.What(), pid), nil
	}
	return fmt.Errorf("keepcast runs, and does not answer (%w): end pid %d, or it may announce everything again", asked, pid), nil
}

// longestLinger is the longest linger of all services.
func longestLinger(cfg *config.Config) time.Duration {
	longest := cfg.Linger
	for _, s := range cfg.Services {
		longest = max(longest, s.Linger)
	}
	return longest
}
