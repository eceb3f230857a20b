package starter

import (
	"embed"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/keepcast/keepcast/driver/bird"
	"github.com/keepcast/keepcast/templates"
)

//go:embed *.tmpl
var texts embed.FS

// Title is how people call the daemon.
func (d Daemon) Title() string {
	return map[string]string{"bird": "BIRD", "frr": "FRR", "quagga": "Quagga"}[d.Kind]
}

// AS is the own AS number as far as it is known, and of one mind; else 0.
func (d Daemon) AS() uint32 {
	var as uint32
	for _, p := range d.Protocols {
		if p.AS != 0 && as != 0 && p.AS != as {
			return 0
		}
		as = max(as, p.AS)
	}
	return as
}

// List is the daemons as YAML has them.
func (d Daemon) List() string { return strings.Join(d.Daemons, ", ") }

// Pathspace is the name of an FRR that was started with -N, else empty.
func (d Daemon) Pathspace() string {
	if parent, name := filepath.Split(d.Directory); d.Kind == "frr" && parent == "/run/frr/" {
		return name
	}
	return ""
}

// Speaks reports whether the daemon of FRR or Quagga is one to be driven.
func (d Daemon) Speaks(name string) bool { return slices.Contains(d.Daemons, name) }

// Filter is the ready-made export filter for one of BIRD's protocols.
func (Daemon) Filter(p bird.RoutingProtocol) string {
	switch {
	case p.Kind != "bgp":
		return "keepcast_igp"
	case p.AS != 0 && p.AS == p.NeighborAS:
		return "keepcast_ibgp"
	}
	return "keepcast_ebgp"
}

// Configuration returns a starter keepcast.yaml. It is valid as it stands; what
// has to be changed says so.
func (d Daemon) Configuration() ([]byte, error) { return d.render("keepcast.yaml.tmpl") }

// Lines returns what goes into the daemon's own configuration, and around it.
func (d Daemon) Lines() ([]byte, error) { return d.render(d.Kind + ".txt.tmpl") }

func (d Daemon) render(name string) ([]byte, error) {
	text, err := texts.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("starter for %s: %w", d.Kind, err)
	}
	return templates.Execute(name, string(text), d)
}
