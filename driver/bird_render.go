package driver

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/keepcast/keepcast/templates"
)

const birdTemplate = "bird.conf.tmpl"

// birdSnippet is what the template is executed on.
type birdSnippet struct {
	Path      string // where the snippet is put
	State     string // fingerprint of all the rest
	Interface string
	AS        int   // 0: not known, nothing is prepended
	Prepends  []int // 1, 2, ... up to the most that Prepend may be
	Groups    []birdGroup
}

// birdGroup is the announced routes of one family that have the same attributes.
// BIRD takes both families in one filter, but not in one set, and no set that is
// empty (before 2.0.11), so there is none without routes.
type birdGroup struct {
	Degraded *birdAttributes // nil: announced as they are
	Routes   []Route
}

// birdAttributes are those that make a degraded prefix the second choice.
type birdAttributes struct {
	MED, LocalPref, Metric, Prepend int
}

// Render returns the snippet for want, byte for byte as Apply would write it.
func (b *BIRD) Render(want State) ([]byte, error) {
	text, _, err := b.render(want)
	return text, err
}

// render returns the snippet and its fingerprint. That is taken from the text
// as it is without one.
func (b *BIRD) render(want State) (text []byte, state string, err error) {
	if want.Interface == "" || strings.ContainsAny(want.Interface, "\"\n*?") {
		return nil, "", fmt.Errorf("interface %q: BIRD's configuration cannot name it", want.Interface)
	}
	s := birdSnippet{Path: b.Snippet, Interface: want.Interface, AS: b.AS, Prepends: []int{1, 2, 3}, Groups: b.groups(want)}
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
	return text, s.State, nil
}

// groups sorts the announced routes into groups, in the order of their first routes.
func (b *BIRD) groups(want State) []birdGroup {
	type key struct {
		v4    bool
		worse birdAttributes // zero: none, as the metric is at least 1
	}
	var groups []birdGroup
	index := map[key]int{}
	for _, r := range want.Announced() {
		k := key{v4: r.Prefix.Addr().Is4()}
		var worse *birdAttributes
		if r.Degraded {
			worse = &birdAttributes{MED: b.MED, LocalPref: b.LocalPref, Metric: b.Metric, Prepend: b.Prepend}
			k.worse = *worse
		}
		i, ok := index[k]
		if !ok {
			i = len(groups)
			index[k] = i
			groups = append(groups, birdGroup{Degraded: worse})
		}
		groups[i].Routes = append(groups[i].Routes, r)
	}
	return groups
}
