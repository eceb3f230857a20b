package bird

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/snippet"
	"github.com/keepcast/keepcast/templates"
)

const (
	templateName   = "bird.conf.tmpl"
	directProtocol = "keepcast"           // the protocol that reads the state's interface
	announcedMark  = "keepcast_announced" // the attribute of what came through the gate
)

// snippetData is what the template is executed on. Fields are added to it, but none
// is changed or removed; so with all that templates are given.
type snippetData struct {
	Path       string          `doc:"Where the snippet is put."`
	State      string          `doc:"Fingerprint of all the rest. The snippet must have the line define keepcast_state = \"{{.State}}\"; and a gate that sets keepcast_announced."`
	Interfaces []interfaceData `doc:"The interfaces that carry addresses, the one of the top level first."`
	AS         uint32          `doc:"The driver's setting as; 0: nothing is prepended."`
	Prepends   []int           `doc:"1, 2, ... up to the most that a group may prepend; always as many, since a changed export sends every route again."`
	Networks   []networkData   `doc:"The prefixes of all services, announced or not, sorted: the snippet originates them in its own tables."`
	Groups     []group         `doc:"What is announced: the routes of one family that have the same attributes, none without routes."`
}

// interfaceData is an interface and the direct protocol that reads it.
type interfaceData struct {
	Name     string `doc:"The name of the interface."`
	Protocol string `doc:"The name of the direct protocol that reads it, quoted where it has to be. One for each: a changed list of interfaces would restart a protocol."`
}

// interfacesOf returns those of a state. The state's own has the name that an
// operator looks for; those of the others begin alike and are quoted.
func interfacesOf(desired driver.State) []interfaceData {
	var out []interfaceData
	for _, name := range desired.Interfaces() {
		out = append(out, interfaceData{name, "'" + directProtocol + "-" + name + "'"})
	}
	out[0].Protocol = directProtocol
	return out
}

// ownProtocols returns the names of the protocols of the snippet for a state that have to
// be up.
func ownProtocols(desired driver.State) []string {
	names := []string{"keepcast_pipe4", "keepcast_pipe6", "keepcast_hosts_pipe4", "keepcast_hosts_pipe6"}
	for _, r := range desired.Announced() {
		if r.PrefixOnly {
			names = append(names, networkProtocol(r))
		}
	}
	for _, i := range interfacesOf(desired) {
		names = append(names, strings.Trim(i.Protocol, "'"))
	}
	return names
}

// group is the announced routes of one family that have the same attributes.
// BIRD allows no set of both families and, before 2.0.11, no empty set. So a group
// has one family, and at least one route.
type group struct {
	driver.Attributes                 // of all its routes
	RIP               uint32          `doc:"The metric in the scale of RIP."`
	Babel             uint32          `doc:"The metric in the scale of Babel."`
	Routes            []snippet.Route `doc:"Its routes, sorted by prefix."`
}

// Render implements driver.Renderer.
func (b *Driver) Render(desired driver.State) ([]byte, error) {
	text, _, err := b.render(desired)
	return text, err
}

// render returns the snippet and its fingerprint. That is taken from the text
// as it is without one.
func (b *Driver) render(desired driver.State) (text []byte, state string, err error) {
	for _, name := range desired.Interfaces() {
		if !nameable(name) {
			return nil, "", fmt.Errorf("interface %q: BIRD's configuration cannot name it", name)
		}
	}
	s := snippetData{Path: b.Snippet, Interfaces: interfacesOf(desired), AS: b.AS, Networks: networksOf(desired), Groups: b.groups(desired)}
	for n := range driver.PrependMax {
		s.Prepends = append(s.Prepends, n+1)
	}
	bare, err := templates.Render(b.opts.Templates, templateName, s)
	if err != nil {
		return nil, "", err
	}
	sum := sha256.Sum256(bare)
	s.State = hex.EncodeToString(sum[:6])
	if text, err = templates.Render(b.opts.Templates, templateName, s); err != nil {
		return nil, "", err
	}
	if !bytes.Contains(text, []byte(s.State)) {
		return nil, "", fmt.Errorf(`template %s: it must have the line 'define keepcast_state = "{{.State}}";'`, templateName)
	}
	if !bytes.Contains(text, []byte(announcedMark)) {
		return nil, "", fmt.Errorf(`template %s: it must have the line 'attribute int %s;', and its gate set that`, templateName, announcedMark)
	}
	return text, s.State, nil
}

// nameable reports whether bird.conf can have the name both as a string, in which *
// and ? would be wildcards, and as a quoted symbol.
func nameable(name string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	return name != "" && strings.Trim(name, letters+"_-.:") == ""
}

// groups sorts the announced routes into groups, in the order of their first routes.
func (b *Driver) groups(desired driver.State) []group {
	type common struct {
		attributes string
		ipv4       bool
	}
	var groups []group
	at := map[common]int{}
	for _, r := range desired.Announced() {
		key := common{r.Attributes.Key(), r.Prefix.Addr().Is4()}
		i, there := at[key]
		if !there {
			i = len(groups)
			g := group{Attributes: r.Attributes}
			if g.Metric != nil {
				g.RIP, g.Babel = min(*g.Metric, driver.RIPMetricMax), min(*g.Metric, driver.BabelMetricMax)
			}
			at[key], groups = i, append(groups, g)
		}
		groups[i].Routes = append(groups[i].Routes, snippet.RouteOf(desired, r))
	}
	return groups
}
