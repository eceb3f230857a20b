package lab

import (
	"context"
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
