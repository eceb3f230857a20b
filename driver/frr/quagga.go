package frr

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/frr/vty"
	"github.com/keepcast/keepcast/driver/snippet"
)

// QuaggaKind is the kind of driver that a configuration names quagga.
func QuaggaKind() driver.Kind {
	return driver.Kind{
		Name: "quagga",
		Doc: "Drives Quagga (1.2) over the vty socket of each of its daemons. The address decides everywhere; keepcast keeps the route-maps " +
			"`KEEPCAST` (IPv4) and `KEEPCAST6` (IPv6), which permit the announced prefixes and nothing else. " +
			"In bgpd and ospfd the operator adds `redistribute connected route-map KEEPCAST` once, and in bgpd, for attributes, `neighbor A route-map KEEPCAST-EBGP out` " +
			"(`KEEPCAST-OUT` towards iBGP, `KEEPCAST6-EBGP` and `KEEPCAST6-OUT` in `address-family ipv6`) and `neighbor A advertisement-interval 1` (with 0, bgpd spins at 100 % CPU). " +
			"In isisd the interface of the addresses runs IS-IS passively, and there is nothing to load: a redistributed route would never leave the LSP. " +
			"Large communities cannot be set. The `prefixes` of a service are `network` lines in bgpd, which needs no route for them.",
		Example:        "daemons: [bgpd]\nas: 65001\nsnippet: /var/lib/keepcast/quagga.conf\n",
		New:            func() driver.Driver { return new(Quagga) },
		FollowsAddress: true,
		Template:       driver.Template{Name: quaggaTemplate, Doc: "The snippet of the driver `quagga`.", Data: quaggaData{}},
	}
}

// Quagga drives the daemons of one Quagga, each over a connection of its own, so
// that one that is down or hangs does not keep the others from theirs.
type Quagga struct {
	Directory string        `config:"directory" default:"/run/quagga" doc:"Directory of the daemons' vty sockets (bgpd.vty and so on). keepcast needs to be in group quaggavty."`
	Snippet   string        `config:"snippet" default:"/var/lib/keepcast/quagga.conf" doc:"File that shows what keepcast wants of Quagga now. No daemon reads it."`
	Daemons   []string      `config:"daemons" default:"bgpd" doc:"The daemons to drive: bgpd, ospfd (IPv4), isisd. An address counts as announced once each of them that carries its family has it."`
	AS        uint32        `config:"as" default:"0" min:"0" max:"4294967295" doc:"The own AS number, which the route-map KEEPCAST-EBGP prepends to the path where prepend says so; 0 prepends nothing."`
	Timeout   time.Duration `config:"timeout" default:"5s" min:"100ms" max:"1m" doc:"How long a daemon may take to answer, and another vty session may hold the lock of its configuration."`
	host      driver.Options

	mu      sync.Mutex // guards what is below
	daemons []*quaggaDaemon
	asked   driver.State // of the last Apply
}

// quaggaTemplate is what the snippet is rendered from.
const quaggaTemplate = "quagga.conf.tmpl"

// QuaggaDaemons returns the daemons of Quagga that keepcast can drive.
func QuaggaDaemons() []string { return []string{"bgpd", "ospfd", "isisd"} }

// Validate implements Validator.
func (q *Quagga) Validate() error {
	return validSuite(q.Directory, q.Snippet, q.Daemons, QuaggaDaemons())
}

// Places implements driver.Examiner.
func (q *Quagga) Places() driver.Places {
	var sockets []string
	for _, name := range q.Daemons {
		sockets = append(sockets, q.vtyOf(name).Path)
	}
	return driver.Places{Files: []string{q.Snippet}, Sockets: sockets}
}

// Open implements driver.Opener.
func (q *Quagga) Open(h driver.Options) { q.host = h }

// Apply implements Driver.
func (q *Quagga) Apply(ctx context.Context, want driver.State) error {
	text, err := q.Render(want)
	if err != nil {
		return err
	}
	sections, err := quaggaSections(text)
	if err != nil {
		return err
	}
	var errs []error
	// A full disk must not keep a gate open: the daemons get theirs anyway.
	if _, _, err := snippet.Write(q.Snippet, text, snippet.Public); err != nil {
		errs = append(errs, fmt.Errorf("snippet: %w", err))
	}
	q.mu.Lock()
	q.asked = want
	q.mu.Unlock()
	on := quaggaHost(want)
	return errors.Join(append(errs, q.each(func(_ int, d *quaggaDaemon) error {
		return d.apply(ctx, sections[d.vty.Daemon], want, on)
	}))...)
}

// quaggaHost returns which prefixes are keepcast's, and which of them are on the
// host; a network without an address always counts as being there.
func quaggaHost(want driver.State) frrHost {
	on := frrHostOf(want)
	for _, r := range want.Routes {
		if r.PrefixOnly {
			on.present[r.Prefix.Masked()] = true
		}
	}
	return on
}

// Observe implements Driver. Before the first Apply it returns all that is found
// under keepcast's names.
func (q *Quagga) Observe(ctx context.Context) (driver.State, error) {
	q.mu.Lock()
	asked := q.asked
	q.mu.Unlock()
	sections, err := q.sections(asked)
	if err != nil {
		return driver.State{}, err
	}
	on := quaggaHost(asked)
	looks := newFRRLooks(len(q.Daemons))
	err = q.each(func(i int, d *quaggaDaemon) error {
		s, err := d.look(ctx, sections[d.vty.Daemon], asked, on)
		return looks.took(i, d.role, s, err)
	})
	seen, err := looks.together(asked, err)
	if len(asked.Routes) == 0 && !slices.ContainsFunc(q.Daemons, func(name string) bool { return name != "isisd" }) {
		seen.Routes = nil // isisd has nothing under keepcast's names
	}
	return seen, err
}

// Watch implements Watcher.
func (q *Quagga) Watch(ctx context.Context, changed func()) error {
	f := FRR{Directory: q.Directory, Daemons: q.Daemons, Timeout: q.Timeout}
	return f.Watch(ctx, changed)
}

// Close implements Closer.
func (q *Quagga) Close() error {
	return q.each(func(_ int, d *quaggaDaemon) error { return d.vty.Close() })
}

// each calls work for all daemons at the same time and joins their errors, in the
// order of the setting.
func (q *Quagga) each(work func(i int, d *quaggaDaemon) error) error {
	return sideBySide(q.all(), func(i int, d *quaggaDaemon) error {
		d.mu.Lock()
		defer d.mu.Unlock()
		return work(i, d)
	})
}

// all returns the daemons, which are made at the first use.
func (q *Quagga) all() []*quaggaDaemon {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.daemons == nil {
		for _, name := range q.Daemons {
			q.daemons = append(q.daemons, q.daemon(name))
		}
	}
	return q.daemons
}

// daemon returns a daemon that is not connected yet.
func (q *Quagga) daemon(name string) *quaggaDaemon {
	role, _ := frrRoleOf(name)
	return &quaggaDaemon{role: role, host: forDaemon(q.host, name), as: q.AS, vty: q.vtyOf(name)}
}

// vtyOf returns a client of a daemon that is not connected yet.
func (q *Quagga) vtyOf(name string) vty.Client {
	return vty.Client{Daemon: name, Path: filepath.Join(q.Directory, name+".vty"), Timeout: q.Timeout, Group: "quaggavty"}
}

// sections returns the sections of the snippet for want by their daemon.
func (q *Quagga) sections(want driver.State) (map[string]frrConfig, error) {
	text, err := q.Render(want)
	if err != nil {
		return nil, err
	}
	return quaggaSections(text)
}

// quaggaSections returns the sections of a snippet by their daemon.
func quaggaSections(text []byte) (map[string]frrConfig, error) {
	return frrSections(quaggaTemplate, []byte(quaggaText(string(text))))
}

// services returns the name of the service of each prefix.
func services(s driver.State) map[netip.Prefix]string {
	out := map[netip.Prefix]string{}
	for _, r := range slices.Backward(s.Routes) {
		out[r.Prefix.Masked()] = r.Service
	}
	return out
}
