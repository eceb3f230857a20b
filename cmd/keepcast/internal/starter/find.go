// Package starter finds the routing daemon of a host, and writes a configuration
// to begin with and the lines that the daemon's own configuration needs.
package starter

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/keepcast/keepcast/driver/bird"
	"github.com/keepcast/keepcast/driver/frr"
)

// Daemon is a routing daemon of the host, and what a configuration says of it.
type Daemon struct {
	Kind    string // of the driver: bird, frr or quagga
	Running bool
	Found   string // the socket or the program that gave it away; empty: it was not found
	Socket  string // of BIRD
	Conf    string // the daemon's own configuration
	Snippet string
	// Directory holds the sockets of FRR's or Quagga's daemons, Daemons are
	// those that speak a routing protocol.
	Directory string
	Daemons   []string
	// Protocols are BIRD's, as far as it runs and tells.
	Protocols []bird.RoutingProtocol
}

// Kinds returns the kinds of daemons that there is a starter for, the likeliest first.
func Kinds() []string { return []string{"bird", "frr", "quagga"} }

// Host is where daemons are looked for: below a root directory, mostly "/".
type Host struct{ Root string }

// Find returns the daemons of the host, running ones first, and where it looked.
func (h Host) Find(ctx context.Context) (found []Daemon, looked []string) {
	for _, kind := range Kinds() {
		d := h.Daemon(ctx, kind)
		looked = append(looked, sockets(kind)...)
		looked = append(looked, programs(kind)...)
		if d.Found != "" {
			found = append(found, d)
		}
	}
	slices.SortStableFunc(found, func(a, b Daemon) int {
		switch {
		case a.Running == b.Running:
			return 0
		case a.Running:
			return -1
		}
		return 1
	})
	return found, looked
}

// Daemon returns what is known of a kind of daemon on the host, which may be
// nothing: then the usual places are assumed.
func (h Host) Daemon(ctx context.Context, kind string) Daemon {
	d := Daemon{Kind: kind}
	var listening []string
	for _, pattern := range sockets(kind) {
		for _, path := range h.glob(pattern) {
			if h.listens(ctx, path) {
				listening = append(listening, path)
			}
		}
	}
	if len(listening) > 0 {
		d.Running, d.Found = true, listening[0]
	} else if at := h.first(programs(kind)...); at != "" {
		d.Found = at
	}
	if kind == "bird" {
		h.bird(ctx, &d, listening)
	} else {
		h.suite(&d, listening)
	}
	return d
}

// bird fills in what concerns BIRD only.
func (h Host) bird(ctx context.Context, d *Daemon, listening []string) {
	d.Socket, d.Conf, d.Snippet = "/run/bird/bird.ctl", "/etc/bird/bird.conf", "/var/lib/keepcast/bird.conf"
	if at := h.first("/etc/bird/bird.conf", "/etc/bird.conf", "/usr/local/etc/bird.conf"); at != "" {
		d.Conf = at
	}
	if len(listening) == 0 {
		return
	}
	d.Socket = listening[0]
	b := &bird.Driver{Socket: filepath.Join(h.Root, d.Socket), Timeout: 5 * time.Second}
	defer b.Close() //nolint:errcheck // it was only read from
	// A BIRD that does not tell is no obstacle: the lines are then an example.
	d.Protocols, _ = b.Protocols(ctx)
	d.Protocols = slices.DeleteFunc(d.Protocols, func(p bird.RoutingProtocol) bool { return strings.HasPrefix(p.Name, "keepcast") })
}

// suite fills in what concerns FRR and Quagga: of their daemons those that run,
// else those that are set to run, else bgpd. Where several FRRs run, each with its
// pathspace, it is the first that has a daemon to drive.
func (h Host) suite(d *Daemon, listening []string) {
	d.Directory, d.Conf, d.Snippet = "/run/frr", "/etc/frr/frr.conf", "/var/lib/keepcast/frr.conf"
	if d.Kind == "quagga" {
		d.Directory, d.Conf, d.Snippet = "/var/run/quagga", "/etc/quagga/bgpd.conf (and ospfd.conf, isisd.conf)", "/var/lib/keepcast/quagga.conf"
	}
	drives := drivable(d.Kind)
	for _, path := range listening {
		name := strings.TrimSuffix(filepath.Base(path), ".vty")
		if len(d.Daemons) == 0 && slices.Contains(drives, name) {
			d.Found, d.Directory = path, filepath.Dir(path)
		}
		if filepath.Dir(path) == d.Directory && slices.Contains(drives, name) {
			d.Daemons = append(d.Daemons, name)
		}
	}
	if space := d.Pathspace(); space != "" {
		d.Conf = filepath.Join("/etc/frr", space, "frr.conf")
	}
	if len(d.Daemons) == 0 {
		for _, name := range h.enabled("/etc/" + d.Kind + "/daemons") {
			if slices.Contains(drives, name) {
				d.Daemons = append(d.Daemons, name)
			}
		}
	}
	if len(d.Daemons) == 0 {
		d.Daemons = []string{"bgpd"}
	}
}

// drivable returns the daemons that the driver takes.
func drivable(kind string) []string {
	if kind == "quagga" {
		return frr.QuaggaDaemons()
	}
	return frr.FRRDaemons()
}

// enabledLine is a line of /etc/frr/daemons, which is a shell script.
var enabledLine = regexp.MustCompile(`(?m)^\s*([a-z0-9]+)=["']?(?:yes|true|1)["']?\s*(?:#.*)?$`)

// enabled returns the daemons that a file like /etc/frr/daemons starts.
func (h Host) enabled(path string) []string {
	text, err := os.ReadFile(filepath.Join(h.Root, path))
	if err != nil {
		return nil
	}
	var out []string
	for _, m := range enabledLine.FindAllSubmatch(text, -1) {
		out = append(out, string(m[1]))
	}
	return out
}

// sockets are the patterns of the daemons' control sockets. /var/run is mostly a
// link to /run, so it is second.
func sockets(kind string) []string {
	switch kind {
	case "bird":
		return []string{"/run/bird/bird.ctl", "/run/bird.ctl", "/var/run/bird.ctl", "/usr/local/var/run/bird.ctl"}
	case "quagga":
		return []string{"/run/quagga/*.vty", "/var/run/quagga/*.vty"}
	}
	return []string{"/run/frr/*.vty", "/var/run/frr/*.vty", "/run/frr/*/*.vty"} // the last those of pathspaces
}

func programs(kind string) []string {
	switch kind {
	case "bird":
		return []string{"/usr/sbin/bird", "/usr/local/sbin/bird"}
	case "quagga":
		return []string{"/usr/lib/quagga/zebra", "/usr/sbin/zebra"}
	}
	return []string{"/usr/lib/frr/zebra", "/usr/libexec/frr/zebra"}
}

// first returns the first of the paths that is there, or "".
func (h Host) first(paths ...string) string {
	for _, path := range paths {
		if _, err := os.Stat(filepath.Join(h.Root, path)); err == nil {
			return path
		}
	}
	return ""
}

// glob returns the paths below the root that match, without the root.
func (h Host) glob(pattern string) []string {
	found, err := filepath.Glob(filepath.Join(h.Root, pattern))
	if err != nil {
		return nil // the patterns are constants
	}
	for i, path := range found {
		found[i] = "/" + strings.TrimPrefix(strings.TrimPrefix(path, h.Root), "/")
	}
	return found
}

// listens reports whether somebody listens at a unix socket: a daemon that was
// killed leaves its socket behind.
func (h Host) listens(ctx context.Context, path string) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(h.Root, path))
	if err != nil {
		return errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EAGAIN)
	}
	conn.Close()
	return true
}
