package frr

import (
	"context"
	_ "embed"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/templates"
)

//go:embed frr_starter.txt.tmpl
var frrLines string

//go:embed quagga_starter.txt.tmpl
var quaggaLines string

const starterSettings = `directory: {{.Directory}} # of the daemons' sockets
daemons: [{{.List}}]
{{if and .AS (.Speaks "bgpd")}}# as: 65001 # the own AS number, for prepending
{{end}}snippet: {{.Snippet}} # to be read; no daemon loads it
`

// frrStarter is what keepcast init knows of FRR.
func frrStarter() *driver.Starter {
	return &driver.Starter{
		Title:    "FRR",
		Sockets:  []string{"/run/frr/*.vty", "/var/run/frr/*.vty", "/run/frr/*/*.vty"}, // the last those of pathspaces
		Programs: []string{"/usr/lib/frr/zebra", "/usr/libexec/frr/zebra"},
		Begin: func(_ context.Context, root string, listening []string) (driver.Start, error) {
			return frrStart(root, listening).begin(frrLines)
		},
	}
}

// quaggaStarter is what keepcast init knows of Quagga.
func quaggaStarter() *driver.Starter {
	return &driver.Starter{
		Title:    "Quagga",
		Sockets:  []string{"/run/quagga/*.vty", "/var/run/quagga/*.vty"},
		Programs: []string{"/usr/lib/quagga/zebra", "/usr/sbin/zebra"},
		Begin: func(_ context.Context, root string, listening []string) (driver.Start, error) {
			return quaggaStart(root, listening).begin(quaggaLines)
		},
	}
}

// start is what the templates of a start are executed on.
type start struct {
	Listens   string // the socket of a daemon that runs
	Directory string // holds the daemons' sockets
	Conf      string // the daemons' own configuration
	Snippet   string
	AS        bool // there is a setting for the own AS
	// Daemons are those to drive: those that run, else those that are set to run, else
	// bgpd.
	Daemons []string
}

// frrStart returns what is known of the FRR of a host. Where several run, each with its
// pathspace, it is the first that has a daemon to drive.
func frrStart(root string, listening []string) start {
	s := start{Directory: "/run/frr", Conf: "/etc/frr/frr.conf", Snippet: "/var/lib/keepcast/frr.conf"}
	s.find(root, listening, frrDialect(), "/etc/frr/daemons")
	if space := s.Pathspace(); space != "" {
		s.Conf = filepath.Join("/etc/frr", space, "frr.conf")
	}
	return s
}

// quaggaStart returns what is known of the Quagga of a host.
func quaggaStart(root string, listening []string) start {
	s := start{
		Directory: "/var/run/quagga", Conf: "/etc/quagga (zebra.conf, bgpd.conf, ospfd.conf, isisd.conf)", Snippet: "/var/lib/keepcast/quagga.conf",
		AS: true,
	}
	s.find(root, listening, quaggaDialect(), "/etc/quagga/daemons")
	return s
}

// find finds the daemons to drive, and where they listen; enabled is the file that says
// which ones are set to run.
func (s *start) find(root string, listening []string, l *dialect, enabled string) {
	for _, path := range listening {
		name := strings.TrimSuffix(filepath.Base(path), ".vty")
		if !slices.Contains(l.names(), name) {
			continue
		}
		if len(s.Daemons) == 0 {
			s.Listens, s.Directory = path, filepath.Dir(path)
		}
		if filepath.Dir(path) == s.Directory {
			s.Daemons = append(s.Daemons, name)
		}
	}
	if len(s.Daemons) == 0 {
		s.Daemons = slices.DeleteFunc(enabledIn(filepath.Join(root, enabled)), func(name string) bool { return !slices.Contains(l.names(), name) })
	}
	if len(s.Daemons) == 0 {
		s.Daemons = []string{"bgpd"}
	}
}

// enabledLine is a line of /etc/frr/daemons, which is a shell script.
var enabledLine = regexp.MustCompile(`(?m)^\s*([a-z0-9]+)=["']?(?:yes|true|1)["']?\s*(?:#.*)?$`)

// enabledIn returns the daemons that a file like /etc/frr/daemons starts.
func enabledIn(path string) []string {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	var out []string
	for _, m := range enabledLine.FindAllSubmatch(text, -1) {
		out = append(out, string(m[1]))
	}
	return out
}

// begin writes what to begin with.
func (s start) begin(lines string) (driver.Start, error) {
	settings, err := templates.Execute("starter settings", starterSettings, s)
	if err != nil {
		return driver.Start{}, err
	}
	text, err := templates.Execute("starter lines", lines, s)
	return driver.Start{Socket: s.Listens, Settings: string(settings), Lines: string(text)}, err
}

// List is the daemons as YAML has them.
func (s start) List() string { return strings.Join(s.Daemons, ", ") }

// Speaks tells whether the daemon is one to be driven.
func (s start) Speaks(daemon string) bool { return slices.Contains(s.Daemons, daemon) }

// Pathspace is the name of an FRR that was started with -N, else empty.
func (s start) Pathspace() string {
	if parent, name := filepath.Split(s.Directory); parent == "/run/frr/" {
		return name
	}
	return ""
}
