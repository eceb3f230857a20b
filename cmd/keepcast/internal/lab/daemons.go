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
	Links                    []link
	Snippet                  string // the file that keepcast writes for BIRD
	Extra                    string
	Number                   int // of the node, in its IS-IS system id
	HostAS, RouterAS         int
	Host, Sticky, IBGP       bool
}

// configureDaemons writes the configuration of the node's routing daemon and
// adds its processes.
func (n *Node) configureDaemons() error {
	o := n.lab.options
	s := settings{
		Name: n.name, Protocol: o.Protocol, RouterID: n.routerID(), Links: n.links,
		Snippet: filepath.Join(n.dir, "keepcast.conf"), Extra: o.Extra[n.name], Host: n.name != "r", Sticky: o.Sticky,
		HostAS: 65001, RouterAS: 65002, IBGP: o.IBGP,
	}
	if o.IBGP {
		s.RouterAS = s.HostAS
	}
	s.Number = int(s.RouterID[len(s.RouterID)-1] - '0')
	if o.daemon(n.name) == BIRD {
		return n.configureBIRD(s)
	}
	return n.configureFRR(s)
}

// write executes a template into a file of the node's directory.
func (n *Node) write(file, name string, data any) (string, error) {
	t, err := template.ParseFS(templates, name)
	if err != nil {
		return "", fmt.Errorf("template: %w", err)
	}
	var text bytes.Buffer
	if err := t.Execute(&text, data); err != nil {
		return "", fmt.Errorf("template: %w", err)
	}
	path := filepath.Join(n.dir, file)
	if err := os.WriteFile(path, text.Bytes(), 0o644); err != nil {
		return "", fmt.Errorf("configuration: %w", err)
	}
	return path, nil
}

// Daemons are the processes of the node's routing daemon in the order they start:
// bird, or zebra and one for each protocol.
func (n *Node) Daemons() []*Process {
	names := []string{"bird"}
	if n.lab.options.daemon(n.name) == FRR {
		names = frrDaemons(n.lab.options.Protocol)
	}
	var all []*Process
	for _, name := range append([]string{"mgmtd"}, names...) {
		if p, ok := n.processes[name]; ok {
			all = append(all, p)
		}
	}
	return all
}

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
