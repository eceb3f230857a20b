package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// MakeRoot makes a root directory of Debian 13 (trixie) with BIRD 2.17 and FRR
// 10.3 in dir, for Options.Root, by mmdebstrap(1) from Debian's own archive. What
// mmdebstrap says goes to out. A dir that exists already is left alone: that
// it has the daemons is all that is asked of it.
func MakeRoot(ctx context.Context, dir string, out io.Writer) error {
	if _, err := os.Stat(dir); err == nil {
		return Options{Daemon: FRR, Daemons: map[string]string{"a": BIRD}, Protocol: OSPF, Root: dir}.Missing()
	}
	part := dir + ".part" // so that dir is complete or not there
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("lab root: %w", err)
	}
	if err := os.RemoveAll(part); err != nil {
		return fmt.Errorf("lab root: %w", err)
	}
	cmd := exec.CommandContext(ctx, "mmdebstrap", "--variant=minbase", "--include=bird2,frr", "trixie", part)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it unmounts what it mounted
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("mmdebstrap (of the package of that name): %w", err)
	}
	if err := os.Rename(part, dir); err != nil {
		return fmt.Errorf("lab root: %w", err)
	}
	return nil
}

// Missing returns an error that names the programs that such a lab needs and that
// the root, or this machine for those that do not run in the root, lacks; nil if
// there are none.
func (o Options) Missing() error {
	var errs []error
	for _, node := range []string{"a", "b", "r"} {
		d, root := o.daemon(node), o.Root
		if templated(d) {
			root = ""
		}
		names := map[string][]string{
			BIRD: {"bird", "birdc"}, FRR: append(frrDaemons(o.Protocol), "vtysh"), OpenBGPD: {"bgpctl"}, GoBGP: {"gobgp", "gobgpd"},
		}[d]
		for _, name := range names {
			if _, err := program(root, name); err != nil {
				errs = append(errs, err)
			}
		}
	}
	if _, err := program("", "unbound"); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// program returns the path of a program in root, as seen from inside root. FRR's
// directory comes first: other routing suites have a bgpd in /usr/sbin.
func program(root, name string) (string, error) {
	if filepath.IsAbs(name) {
		return name, nil
	}
	for _, dir := range []string{"/usr/lib/frr", "/usr/sbin", "/usr/bin", "/sbin", "/bin"} {
		if _, err := exec.LookPath(filepath.Join(root, dir, name)); err == nil {
			return filepath.Join(dir, name), nil
		}
	}
	return "", fmt.Errorf("%s: not installed in %s", name, filepath.Join("/", root))
}
