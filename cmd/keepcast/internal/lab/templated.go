package lab

import (
	"context"
	"fmt"
	"os"
)

// Daemons of a host that keepcast drives by its template driver. They speak BGP.
const (
	OpenBGPD = "openbgpd"
	GoBGP    = "gobgp"
)

// templated reports whether a daemon is one of these. They run on the machine itself,
// also when the others run in a root.
func templated(daemon string) bool { return daemon == OpenBGPD || daemon == GoBGP }

// configureOpenBGPD writes bgpd.conf, and in the place of what keepcast writes a
// file that announces nothing.
func (n *Node) configureOpenBGPD(s settings) error {
	conf, err := n.write("bgpd.conf", "openbgpd-host.conf.tmpl", s)
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.Snippet, []byte("# nothing is announced yet\n"), 0o600); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	// It wants nobody else to read its files, and a directory to lock itself into.
	if err := os.Chmod(conf, 0o600); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	if err := os.Mkdir(n.outside("/run/openbgpd"), 0o755); err != nil {
		return fmt.Errorf("run directory: %w", err)
	}
	// By its path: FRR has a bgpd as well.
	return n.addDaemon(Program{
		Name: OpenBGPD, Args: []string{"/usr/sbin/bgpd", "-d", "-f", conf},
		Ready: func(ctx context.Context) error { return listens(ctx, n.outside("/run/openbgpd/bgpd.sock.0")) },
	})
}

// configureGoBGP writes gobgpd.conf.
func (n *Node) configureGoBGP(s settings) error {
	conf, err := n.write("gobgpd.conf", "gobgp-host.conf.tmpl", s)
	if err != nil {
		return err
	}
	return n.addDaemon(Program{
		Name: GoBGP, Args: []string{"gobgpd", "-f", conf, "--api-hosts=127.0.0.1:50051"},
		Ready: func(ctx context.Context) error {
			_, err := n.Output(ctx, "gobgp", "neighbor")
			return err
		},
	})
}
