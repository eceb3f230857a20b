package lab

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"time"
)

// templates are the configurations of the daemons, as an operator writes them.
//
//go:embed *.tmpl
var templates embed.FS

// settings is what the templates of the routing daemons are executed on.
type settings struct {
	Name, Protocol, RouterID string
	Instance, Interface      string // of a host
	Links                    []link
	Snippet                  string // the file that keepcast writes for BIRD
	Table                    string // the file that SetTable writes for a router with BIRD
	Extra                    string
	Number                   int // of the daemon, in its IS-IS system id
	HostAS, RouterAS         int
	Host, Sticky, IBGP       bool
	Shared                   bool // the host has another such daemon
}

// configureDaemons writes the configuration of the node's routing daemons and
// adds their processes.
func (n *Node) configureDaemons() error {
	o := n.lab.options
	instances := n.instances()
	for i, instance := range instances {
		s := o.settings(n.name, n.number(instance), n.links)
		s.Table = n.table()
		s.Instance, s.Shared = instance, len(instances) > 1
		if s.Host {
			s.Links, s.Interface = n.links[i:i+1], anycastInterface(instance)
			s.Snippet = (&Host{n, instance}).Snippet()
		}
		if instance == "" {
			s.Extra = o.Extra[n.name]
		}
		configure := map[string]func(settings) error{
			BIRD: n.configureBIRD, FRR: n.configureFRR, OpenBGPD: n.configureOpenBGPD, GoBGP: n.configureGoBGP,
		}[o.daemon(n.name)]
		if err := configure(s); err != nil {
			return err
		}
	}
	return nil
}

// settings are those of a node's daemon, with what does not depend on a lab that runs.
func (o Options) settings(name string, number int, links []link) settings {
	s := settings{
		Name: name, Protocol: o.Protocol, RouterID: routerID(number), Number: number, Links: links,
		Host: name != "r", HostAS: 65001, RouterAS: 65002, Sticky: o.Sticky, IBGP: o.IBGP,
	}
	if o.IBGP {
		s.RouterAS = s.HostAS
	}
	return s
}

// HostConfig is the configuration of an anycast host's routing daemon for a
// protocol: what the hosts of a lab run, with the snippet at its usual
// place. The documentation shows it.
func HostConfig(daemon, protocol string) (string, error) {
	o := Options{Daemon: FRR, Daemons: map[string]string{"a": daemon}, Protocol: protocol}
	if err := o.validateProtocol(); err != nil {
		return "", err
	}
	_, far := ends(1, "a", uplink)
	s := o.settings("a", 1, []link{far})
	s.Snippet = map[string]string{BIRD: "/var/lib/keepcast/bird.conf", OpenBGPD: "/var/lib/keepcast/openbgpd.conf"}[daemon]
	text, err := render(daemon+"-host.conf.tmpl", s)
	return string(text), err
}

// DriverConfig is keepcast's side of HostConfig for BIRD and FRR: the entry of
// drivers in keepcast.yaml, with the daemon's snippet at its usual place.
func DriverConfig(daemon, protocol string) string {
	if daemon == BIRD {
		return "{kind: bird, as: 65001, snippet: /var/lib/keepcast/bird.conf}"
	}
	daemons := strings.Join(frrDaemons(protocol)[1:], ", ") // without zebra
	return "{kind: frr, daemons: [" + daemons + "], snippet: /var/lib/keepcast/frr.conf}"
}

// render executes a template.
func render(name string, data any) ([]byte, error) {
	t, err := template.ParseFS(templates, name)
	if err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	var text bytes.Buffer
	if err := t.Execute(&text, data); err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	return text.Bytes(), nil
}

// write executes a template into a file of the node's directory.
func (n *Node) write(file, name string, data any) (string, error) {
	text, err := render(name, data)
	if err != nil {
		return "", err
	}
	path := filepath.Join(n.dir, file)
	if err := os.WriteFile(path, text, 0o644); err != nil {
		return "", fmt.Errorf("configuration: %w", err)
	}
	return path, nil
}

// addDaemon is Add for a process of a routing daemon.
func (n *Node) addDaemon(p Program) error {
	process, err := n.Add(p)
	if err == nil {
		n.daemons = append(n.daemons, process)
	}
	return err
}

// Daemons are the processes of the node's routing daemon in the order they start:
// bird, or zebra and one for each protocol.
func (n *Node) Daemons() []*Process { return n.daemons }

// StartDaemons starts those processes of the routing daemon that do not run.
func (n *Node) StartDaemons(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for _, p := range n.Daemons() {
		if p.Running() {
			continue
		}
		if err := p.Start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// StopDaemons stops the routing daemon, the last started process first.
func (n *Node) StopDaemons(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	all := n.Daemons()
	for _, a := range slices.Backward(all) {
		if !a.Running() {
			continue
		}
		if err := a.Stop(ctx); err != nil {
			return err
		}
	}
	return nil
}

// listens returns nil if somebody accepts connections on the Unix socket.
func listens(ctx context.Context, path string) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return err
	}
	return conn.Close()
}
