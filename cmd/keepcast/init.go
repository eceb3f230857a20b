package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keepcast/keepcast/cmd/keepcast/internal/starter"
)

func (a *app) initCommand() *cobra.Command {
	var kind, dir, root string
	c := &cobra.Command{
		Use:   "init",
		Short: "print or write a starter configuration for the routing daemon of this host",
		Long: `Init finds the routing daemon of this host (one that runs, else one that is installed)
and prints a commented configuration to begin with. It is valid as it stands; what has to be
changed, such as the address, is marked CHANGE ME. The lines that the daemon's own
configuration needs follow on the standard error output, so that they stay out of a file
that the output is directed to.

With --write the configuration is written to DIR/keepcast.yaml, which is never overwritten.
Exit code 1 when there is no routing daemon: name one with --daemon.`,
		Example: `  keepcast init | less
  keepcast init --write /etc/keepcast
  keepcast init --daemon frr > keepcast.yaml`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if kind != "" && !slices.Contains(starter.Kinds(), kind) {
				return usageError{fmt.Errorf("no starter for %q (known: %s)", kind, strings.Join(starter.Kinds(), ", "))}
			}
			d, others, err := pickDaemon(c, starter.Root(root), kind)
			if err != nil {
				return err
			}
			out, notes := c.OutOrStdout(), c.ErrOrStderr()
			if dir != "" {
				notes = out
			}
			return begin(d, others, dir, out, notes)
		},
	}
	c.Flags().StringVar(&kind, "daemon", "", "the routing daemon: "+strings.Join(starter.Kinds(), ", ")+" (default: the one that is found)")
	c.Flags().StringVar(&dir, "write", "", "write keepcast.yaml into this directory, in place of printing it")
	c.Flags().StringVar(&root, "root", "/", "where to look for daemons: the root directory of the host")
	if err := errors.Join(
		c.RegisterFlagCompletionFunc("daemon", cobra.FixedCompletions(starter.Kinds(), cobra.ShellCompDirectiveNoFileComp)),
		c.MarkFlagDirname("write"), c.MarkFlagDirname("root"),
	); err != nil {
		panic(err) // the flags stand above
	}
	return c
}

// pickDaemon returns the daemon that was asked for, else the likeliest one, and
// the others that were found.
func pickDaemon(c *cobra.Command, host starter.Root, kind string) (starter.Daemon, []starter.Daemon, error) {
	if kind != "" {
		d, err := host.Daemon(c.Context(), kind)
		return d, nil, err
	}
	found, looked, err := host.Find(c.Context())
	if err != nil {
		return starter.Daemon{}, nil, err
	}
	if len(found) == 0 {
		return starter.Daemon{}, nil, fmt.Errorf("no routing daemon on this host: looked for %s (name one with --daemon %s)",
			strings.Join(looked, ", "), strings.Join(starter.Kinds(), ", "))
	}
	return found[0], found[1:], nil
}

// begin prints or writes the configuration, then says what is to be done next.
func begin(d starter.Daemon, others []starter.Daemon, dir string, out, notes io.Writer) error {
	text, err := d.Configuration()
	if err != nil {
		return err
	}
	if dir == "" {
		if _, err := out.Write(text); err != nil {
			return err
		}
		fmt.Fprintln(notes)
	} else {
		path := filepath.Join(dir, "keepcast.yaml")
		if err := writeNew(path, text); err != nil {
			return err
		}
		fmt.Fprintf(notes, "wrote %s: correct what is marked CHANGE ME there, then run keepcast validate\n", path)
	}
	fmt.Fprintf(notes, "%s\n\n%s\n", origin(d, others), d.Lines)
	_, err = fmt.Fprintln(notes, "Then start keepcast, and see with \"keepcast doctor\" whether anything is missing.")
	return err
}

// origin says for which daemon, and what gave it away.
func origin(d starter.Daemon, others []starter.Daemon) string {
	how := "which was not found here, with its usual places."
	switch {
	case d.Running:
		how = "which runs here (" + d.Found + ")."
	case d.Found != "":
		how = "which is installed here (" + d.Found + "), but does not run."
	}
	words := []string{"For " + d.Title + ",", how}
	for _, o := range others {
		words = append(words, fmt.Sprintf("%s is here too (%s): for that, --daemon %s.", o.Title, o.Found, o.Kind))
	}
	return strings.Join(words, " ")
}

// writeNew writes a file that must not be there yet.
func writeNew(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("directory of the configuration: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already, and stays as it is: move it away, or write into another directory", path)
	}
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}
