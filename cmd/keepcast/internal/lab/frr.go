package lab

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// frrDaemons are the processes of FRR for a protocol, in the order they start.
func frrDaemons(protocol string) []string {
	return append([]string{"zebra"}, map[string][]string{BGP: {"bgpd"}, OSPF: {"ospfd", "ospf6d"}, ISIS: {"isisd"}, RIP: {"ripd", "ripngd"}, Babel: {"babeld"}}[protocol]...)
}

// configureFRR writes frr.conf, which vtysh gives to each daemon when it has
// started, as FRR's own watchfrr.sh does.
func (n *Node) configureFRR(s settings) error {
	name := "frr-router.conf.tmpl"
	if s.Host {
		name = "frr-host.conf.tmpl"
	}
	etc, run := filepath.Join("frr", s.Instance), n.outside(frrDirectory(s.Instance))
	owned := []string{run, filepath.Join(n.dir, etc), filepath.Join(n.dir, "lib", "frr")}
	for _, dir := range owned {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("frr's directory: %w", err)
		}
	}
	if _, err := n.write(filepath.Join(etc, "frr.conf"), name, s); err != nil {
		return err
	}
	vtysh := filepath.Join(n.dir, etc, "vtysh.conf")
	if err := os.WriteFile(vtysh, []byte("service integrated-vtysh-config\n"), 0o644); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	if err := n.owner("frr", owned...); err != nil {
		return err
	}
	daemons := frrDaemons(s.Protocol)
	if _, err := program(n.lab.options.Root, "mgmtd"); err == nil {
		daemons = append([]string{"mgmtd"}, daemons...) // since FRR 8.5
	}
	if strings.Contains(s.Extra, "ip route ") { // FRR has static routes in a daemon of their own
		daemons = append(daemons, "staticd")
	}
	if strings.Contains(s.Extra, "ip pim ") {
		daemons = append(daemons, "pimd")
	}
	for _, name := range daemons {
		err := n.addDaemon(Program{
			Name: suffixed(name, s.Instance), Rooted: true, Args: frrArgs(name, s.Instance),
			Ready: func(ctx context.Context) error { return listens(ctx, filepath.Join(run, name+".vty")) },
			Started: func(ctx context.Context) error {
				_, err := n.vtysh(ctx, s.Instance, "-b", "-d", name)
				return err
			},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// frrArgs are the command line of a daemon. A second bgpd leaves the BGP port and
// the kernel's routes to the first.
func frrArgs(daemon, instance string) []string {
	args := []string{daemon, "-P", "0", "--log", "stdout"}
	if instance == "" {
		return args
	}
	if daemon == "bgpd" {
		args = append(args, "-p", "0", "-n")
	}
	return append(args, "-N", instance)
}

// frrDirectory is where the sockets of an instance are, as the node sees it.
func frrDirectory(instance string) string { return filepath.Join("/run/frr", instance) }

// FRRDirectory is where the sockets of the host's FRR are.
func (h *Host) FRRDirectory() string { return frrDirectory(h.instance) }

// Vtysh runs commands in the host's FRR. What it says is not to be trusted where
// a daemon is down: it then returns nothing and no error.
func (h *Host) Vtysh(ctx context.Context, commands ...string) (string, error) {
	return h.vtysh(ctx, h.instance, each("-c", commands)...)
}

func (n *Node) vtysh(ctx context.Context, instance string, args ...string) (string, error) {
	argv := []string{"vtysh"}
	if instance != "" {
		argv = append(argv, "-N", instance)
	}
	return n.output(ctx, n.lab.options.Root, append(argv, args...))
}

// each puts the flag before each of the words.
func each(flag string, words []string) []string {
	var all []string
	for _, w := range words {
		all = append(all, flag, w)
	}
	return all
}

// show asks one FRR daemon over its own vty socket, which costs a hundredth of
// vtysh and says when the daemon is not there. An answer ends with three zero
// bytes and a status byte.
func (n *Node) show(ctx context.Context, daemon, command string) (string, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", filepath.Join(n.dir, "run", "frr", daemon+".vty"))
	if err != nil {
		return "", fmt.Errorf("%s on %s: %w", daemon, n.name, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if _, err := conn.Write([]byte(command + "\x00")); err != nil {
		return "", fmt.Errorf("%s on %s: %w", daemon, n.name, err)
	}
	in := bufio.NewReader(conn)
	var answer []byte
	for !bytes.HasSuffix(answer, []byte{0, 0, 0}) {
		c, err := in.ReadByte()
		if err != nil {
			return "", fmt.Errorf("%s on %s: %s: %w", daemon, n.name, command, err)
		}
		answer = append(answer, c)
	}
	text := string(bytes.TrimRight(answer, "\x00"))
	if status, err := in.ReadByte(); err != nil || status != 0 {
		return "", fmt.Errorf("%s on %s: %s: status %d: %s", daemon, n.name, command, status, strings.TrimSpace(text))
	}
	return text, nil
}
