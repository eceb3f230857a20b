package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Host is an anycast host, a or b, with one of its routing daemons.
type Host struct {
	*Node
	instance string // "" or Second
}

// Question is the name that the services of the lab answer, with TXT "ok", an A
// and an AAAA record.
const Question = "health.example.com."

// AddService adds a real DNS server, unbound, bound to the addresses themselves:
// it can only start while the host has each of them, or delivers it locally. Its
// answers tell the host by NSID (RFC 5001). Process has it by its name.
func (h *Host) AddService(name string, addresses ...netip.Addr) (*Process, error) {
	conf, err := h.write(filepath.Join("unbound", name+".conf"), "unbound.conf.tmpl", struct {
		Host      string
		Addresses []netip.Addr
	}{h.name, addresses})
	if err != nil {
		return nil, err
	}
	p, err := h.Add(Program{Name: name, Args: []string{"unbound", "-d", "-c", "/etc/unbound/" + filepath.Base(conf)}})
	if err != nil {
		return nil, err
	}
	p.Ready = func(context.Context) error { return p.logged("start of service") }
	return p, nil
}

// logged returns nil if the process that runs now has written text.
func (p *Process) logged(text string) error {
	log, err := os.ReadFile(p.Log())
	if err != nil {
		return err
	}
	if int64(len(log)) < p.logStart || !strings.Contains(string(log[p.logStart:]), text) {
		return fmt.Errorf("%q not logged yet", text)
	}
	return nil
}

// AddKeepcast writes the host's keepcast.yaml and adds `keepcast run` as process
// keepcast, whose lines go to line, if that is not nil, and to its log. It is
// ready when it says so: the withdrawn addresses are delivered by then.
func (h *Host) AddKeepcast(config string, line func(string)) (*Process, error) {
	if h.lab.options.Keepcast == "" {
		return nil, errors.New("keepcast on " + h.name + ": no binary given")
	}
	if err := h.SetConfig(config); err != nil {
		return nil, err
	}
	p, err := h.Add(Program{Name: "keepcast", Args: []string{h.lab.options.Keepcast, "run", "--config", h.Config()}, Line: line})
	if err != nil {
		return nil, err
	}
	p.Ready = func(context.Context) error { return p.logged("msg=ready ") }
	return p, nil
}

// Config is the path of the host's keepcast.yaml.
func (h *Host) Config() string { return filepath.Join(h.dir, "keepcast.yaml") }

// SetConfig writes the host's keepcast.yaml; a running keepcast reads it on SIGHUP.
func (h *Host) SetConfig(text string) error {
	if err := os.WriteFile(h.Config(), []byte(text), 0o644); err != nil {
		return fmt.Errorf("configuration of %s: %w", h.name, err)
	}
	return nil
}

// outside is where a file of the node's /run is for the rest of the machine.
func (n *Node) outside(path string) string { return filepath.Join(n.dir, path) }

// Keepcast runs a keepcast command on the host: status, drain, resume.
func (h *Host) Keepcast(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return h.Output(ctx, append([]string{h.lab.options.Keepcast}, args...)...)
}
