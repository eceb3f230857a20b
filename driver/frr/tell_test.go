package frr

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/keepcast/keepcast/driver/frr/vty"
)

// tell says commands to a daemon on a connection of its own; it returns the last
// answer. A mgmtd that has just started, or works for keepcast, is waited for.
func (r *realFRR) tell(name string, commands ...string) (string, error) {
	to := vty.Client{Daemon: name, Path: filepath.Join(r.dir, name+".vty"), Timeout: 10 * time.Second}
	defer to.Close()
	if _, err := to.Open(r.t.Context()); err != nil {
		return "", err
	}
	var text string
	for _, c := range commands { // one at a time: mgmtd 10.3 loses what comes while it commits
		answer, err := insist(r.t.Context(), &to, c, "could not lock")
		if err = errors.Join(err, vty.Refusals(name, []vty.Answer{answer})); err != nil {
			return "", err
		}
		text = answer.Text
	}
	return text, nil
}

// ask is tell for what has to work.
func (r *realFRR) ask(name string, commands ...string) string {
	r.t.Helper()
	text, err := r.tell(name, commands...)
	if err != nil {
		r.t.Fatal(err)
	}
	return text
}

// operators returns a running configuration without what is keepcast's.
func (r *realFRR) operators(name string) string {
	r.t.Helper()
	var out []string
	eachLine(r.ask(name, "show running-config"), func(blocks []string, line string) {
		if !strings.Contains(strings.Join(append(blocks, line), " "), mark) || strings.HasPrefix(line, "redistribute") {
			out = append(out, strings.Join(append(slices.Clone(blocks), line), " / "))
		}
	})
	slices.Sort(out) // a line that isisd is told again moves behind its like
	return strings.Join(out, "\n")
}

// addr adds or deletes an address on anycast0.
func (r *realFRR) addr(verb, prefix string) {
	r.t.Helper()
	frrRun(r.t, "ip addr "+verb+" "+prefix+" dev anycast0")
}
