package driver

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/keepcast/keepcast/templates"
)

const (
	birdTemplate = "bird.conf.tmpl"
	birdDirect   = "keepcast"           // the protocol that reads the state's interface
	birdMark     = "keepcast_announced" // the attribute of what came through the gate
)

// birdSnippet is what the template is executed on. Fields are added to it, but none
// is changed or removed; so with all that templates are given.
type birdSnippet struct {
	Path       string          `doc:"Where the snippet is put."`
	State      string          `doc:"Fingerprint of all the rest. The snippet must have the line define keepcast_state = \"{{.State}}\"; and a gate that sets keepcast_announced."`
	Interfaces []birdInterface `doc:"The interfaces that carry addresses, the one of the top level first."`
	AS         uint32          `doc:"The driver's setting as; 0: nothing is prepended."`
	Prepends   []int           `doc:"1, 2, ... up to the most that a group may prepend; always as many, since a changed export sends every route again."`
	Groups     []birdGroup     `doc:"What is announced: the routes of one family that have the same attributes, none without routes."`
}

// birdInterface is an interface and the direct protocol that reads it.
type birdInterface struct {
	Name     string `doc:"The name of the interface."`
	Protocol string `doc:"The name of the direct protocol that reads it, quoted where it has to be. One for each: a changed list of interfaces would restart a protocol."`
}

// birdInterfaces returns them for want. The state's own has the name that an
// operator looks for; those of the others begin alike and are quoted.
func birdInterfaces(want State) []birdInterface {
	var out []birdInterface
	for _, name := range want.Interfaces() {
		out = append(out, birdInterface{name, "'" + birdDirect + "-" + name + "'"})
	}
	out[0].Protocol = birdDirect
	return out
}

// birdOwn returns the names of the protocols that the snippet for want has.
func birdOwn(want State) []string {
	names := []string{"keepcast_pipe4", "keepcast_pipe6"}
	for _, i := range birdInterfaces(want) {
		names = append(names, strings.Trim(i.Protocol, "'"))
	}
	return names
}

// birdGroup is the announced routes of one family that have the same attributes.
// BIRD takes both families in one filter, but not in one set, and no set that is
// empty (before 2.0.11), so there is none without routes.
type birdGroup struct {
	Attributes                 // of all its routes
	RIP        uint32          `doc:"The metric in the scale of RIP."`
	Babel      uint32          `doc:"The metric in the scale of Babel."`
	Routes     []TemplateRoute `doc:"Its routes, sorted by prefix."`
}

// Render returns the snippet for want, byte for byte as Apply would write it.
func (b *BIRD) Render(want State) ([]byte, error) {
	text, _, err := b.render(want)
	return text, err
}

// render returns the snippet and its fingerprint. That is taken from the text
// as it is without one.
func (b *BIRD) render(want State) (text []byte, state string, err error) {
	for _, name := range want.Interfaces() {
		if !birdNames(name) {
			return nil, "", fmt.Errorf("interface %q: BIRD's configuration cannot name it", name)
		}
	}
	s := birdSnippet{Path: b.Snippet, Interfaces: birdInterfaces(want), AS: b.AS, Groups: b.groups(want)}
	for n := range prependMost {
		s.Prepends = append(s.Prepends, n+1)
	}
	bare, err := templates.Render(b.host.Templates, birdTemplate, s)
	if err != nil {
		return nil, "", err
	}
	sum := sha256.Sum256(bare)
	s.State = hex.EncodeToString(sum[:6])
	if text, err = templates.Render(b.host.Templates, birdTemplate, s); err != nil {
		return nil, "", err
	}
	if !bytes.Contains(text, []byte(s.State)) {
		return nil, "", fmt.Errorf(`template %s: it must have the line 'define keepcast_state = "{{.State}}";'`, birdTemplate)
	}
	if !bytes.Contains(text, []byte(birdMark)) {
		return nil, "", fmt.Errorf(`template %s: it must have the line 'attribute int %s;', and its gate set that`, birdTemplate, birdMark)
	}
	return text, s.State, nil
}

// birdNames reports whether BIRD's configuration can have that name in quotes of
// either kind: those of a text, where * and ? match others, and of a symbol.
func birdNames(name string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	return name != "" && strings.Trim(name, letters+"_-.:") == ""
}

// groups sorts the announced routes into groups, in the order of their first routes.
func (b *BIRD) groups(want State) []birdGroup {
	var groups []birdGroup
	for _, r := range want.Announced() {
		i := slices.IndexFunc(groups, func(g birdGroup) bool {
			return g.Equal(r.Attributes) && g.Routes[0].Prefix.Addr().Is4() == r.Prefix.Addr().Is4()
		})
		if i < 0 {
			i = len(groups)
			g := birdGroup{Attributes: r.Attributes}
			if g.Metric != nil {
				g.RIP, g.Babel = min(*g.Metric, ripMost), min(*g.Metric, babelMost)
			}
			groups = append(groups, g)
		}
		groups[i].Routes = append(groups[i].Routes, want.templateRoute(r))
	}
	return groups
}
