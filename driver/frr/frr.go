package frr

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/frr/vty"
	"github.com/keepcast/keepcast/driver/snippet"
)

// Kind is the kind of driver that a configuration names frr.
func Kind() driver.Kind {
	return driver.Kind{
		Name: "frr",
		Doc: "Drives FRR (8.4 and later) over the vty socket of each of its daemons. " +
			"In bgpd it keeps the `network` lines of the announced prefixes; the operator configures `router bgp` and its neighbors, " +
			"and gives eBGP neighbors `route-map KEEPCAST-EBGP out` where the path is to be made longer (`prepend`). " +
			"Each service is announced in the instance of the VRF that its interface is in. " +
			"In ospfd, ospf6d, isisd, ripd and ripngd it keeps the route-maps `KEEPCAST` (IPv4) and `KEEPCAST6` (IPv6), which permit the announced prefixes and nothing else; " +
			"the operator adds `redistribute connected route-map KEEPCAST` (in isisd: `redistribute ipv4 connected level-2 route-map KEEPCAST`) once, " +
			"and the same with `static` for networks without an address (`prefixes`), which are a static route to `blackhole`. " +
			"babeld, and ripngd before FRR 10, can't filter what they redistribute: the operator adds `distribute-list prefix KEEPCAST out` (`ipv6 distribute-list prefix KEEPCAST6 out`) for each interface. " +
			"babeld does not tell its neighbors that an address is gone, they find out when it is not repeated, and it cannot degrade one. " +
			"ospf6d, ripd and ripngd take up to 5 s (RIP: its update interval) for what changes while the address stays. " +
			"`write memory` saves what is announced at that moment, too: after a reboot, it is announced again once its address is there, a network without an address at once. " +
			"Nothing else in FRR is touched.",
		Example:  "daemons: [bgpd]\nsnippet: /var/lib/keepcast/frr.conf\n",
		New:      func() driver.Driver { return new(FRR) },
		Template: driver.Template{Name: frrTemplate, Doc: "The snippet of the driver `frr`.", Data: frrData{}},
	}
}

// FRR drives the daemons of one FRR. Each daemon gets its section of the snippet
// as the difference to what it runs, over a connection of its own, so that one
// that is down or hangs does not keep the others from theirs.
type FRR struct {
	Directory string        `config:"directory" default:"/run/frr" doc:"Directory of the daemons' vty sockets (bgpd.vty and so on); of an FRR started with -N NAME, /run/frr/NAME. keepcast needs to be in group frrvty."`
	Snippet   string        `config:"snippet" default:"/var/lib/keepcast/frr.conf" doc:"File that shows what keepcast wants of FRR now. No daemon reads it."`
	Daemons   []string      `config:"daemons" default:"bgpd" doc:"The daemons to drive: bgpd, ospfd (IPv4), ospf6d (IPv6), isisd, ripd (IPv4), ripngd (IPv6), babeld. An address counts as announced once each of them that carries its family has it."`
	Timeout   time.Duration `config:"timeout" default:"5s" min:"100ms" max:"1m" doc:"How long a daemon may take to answer."`
	host      driver.Options

	mu      sync.Mutex // guards what is below
	daemons []*frrDaemon
	asked   driver.State // of the last Apply
}

// Validate implements Validator.
func (f *FRR) Validate() error {
	return validSuite(f.Directory, f.Snippet, f.Daemons, FRRDaemons())
}

// Places implements driver.Examiner.
func (f *FRR) Places() driver.Places {
	var sockets []string
	for _, name := range f.Daemons {
		sockets = append(sockets, f.vtyOf(name).Path)
	}
	return driver.Places{Files: []string{f.Snippet}, Sockets: sockets}
}

// Open implements driver.Opener.
func (f *FRR) Open(h driver.Options) { f.host = h }

// Apply implements Driver.
func (f *FRR) Apply(ctx context.Context, want driver.State) error {
	text, err := f.Render(want)
	if err != nil {
		return err
	}
	sections, err := frrSections(frrTemplate, text)
	if err != nil {
		return err
	}
	var errs []error
	// A full disk must not keep an address announced: the daemons get theirs anyway.
	if _, _, err := snippet.Write(f.Snippet, text, snippet.Public); err != nil {
		errs = append(errs, fmt.Errorf("snippet: %w", err))
	}
	f.mu.Lock()
	f.asked = want
	f.mu.Unlock()
	on, err := f.on(want)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	err = f.each(func(_ int, d *frrDaemon) error {
		section, err := sectionOf(frrTemplate, sections, d.vty.Daemon)
		if err != nil {
			return err
		}
		return d.apply(ctx, section, want, on)
	})
	return errors.Join(append(errs, err)...)
}

// frrTemplate is what the snippet is rendered from.
const frrTemplate = "frr.conf.tmpl"

// frrSectionMark begins the section of a daemon in the snippet.
const frrSectionMark = "! daemon: "

// frrSections returns the sections of a snippet by their daemon; template names
// what it was rendered from, for errors.
func frrSections(template string, snippet []byte) (map[string]frrConfig, error) {
	texts := map[string]*strings.Builder{}
	names := []string{}
	var current *strings.Builder
	for line := range bytes.Lines(snippet) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(string(line)), frrSectionMark); ok {
			current = new(strings.Builder)
			texts[name], names = current, append(names, name)
		}
		if current != nil {
			current.Write(line)
		}
	}
	sections := map[string]frrConfig{}
	for _, name := range names {
		c, err := frrSection(name, texts[name].String())
		if err != nil {
			return nil, fmt.Errorf("template %s: %w", template, err)
		}
		sections[name] = c
	}
	return sections, nil
}

// each calls work for all daemons at the same time and joins their errors, in the
// order of the setting.
func (f *FRR) each(work func(i int, d *frrDaemon) error) error {
	return sideBySide(f.all(), func(i int, d *frrDaemon) error {
		d.mu.Lock()
		defer d.mu.Unlock()
		return work(i, d)
	})
}

// all returns the daemons, which are made at the first use.
func (f *FRR) all() []*frrDaemon {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.daemons == nil {
		for _, name := range f.Daemons {
			f.daemons = append(f.daemons, f.daemon(name))
		}
	}
	return f.daemons
}

// daemon returns a daemon that is not connected yet.
func (f *FRR) daemon(name string) *frrDaemon {
	role, _ := frrRoleOf(name)
	return &frrDaemon{role: role, host: forDaemon(f.host, name), vty: f.vtyOf(name), mgmtd: f.vtyOf(frrMgmtd)}
}

// vtyOf returns a client of a daemon that is not connected yet.
func (f *FRR) vtyOf(daemon string) vty.Client {
	return vty.Client{Daemon: daemon, Path: filepath.Join(f.Directory, daemon+".vty"), Timeout: f.Timeout}
}

// Close implements Closer.
func (f *FRR) Close() error {
	return f.each(func(_ int, d *frrDaemon) error { return errors.Join(d.vty.Close(), d.mgmtd.Close()) })
}
