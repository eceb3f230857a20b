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

// birdSnippet is what the template is executed on.
type birdSnippet struct {
	Path       string // where the snippet is put
	State      string // fingerprint of all the rest
	Interfaces []birdInterface
	AS         uint32 // 0: not known, nothing is prepended
	Prepends   []int  // 1, 2, ... up to the most that any group may prepend
	Groups     []birdGroup
}

// birdInterface is an interface and the direct protocol that reads it.
type birdInterface struct{ Name, Protocol string }

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
	Attributes
	RIP, Babel uint32 // the metric in their scales
	Routes     []Route
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
		groups[i].Routes = append(groups[i].Routes, r)
	}
	return groups
}
