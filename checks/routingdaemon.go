package checks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
)

// routingDaemon is a routing daemon of this host, and where it is asked: the settings that
// the kinds of check for its sessions have in common.
type routingDaemon struct {
	Daemon    string `config:"daemon" required:"true" enum:"bird|frr" doc:"The routing daemon to ask."`
	Socket    string `config:"socket" doc:"Control socket of BIRD. Empty: '/run/bird/bird.ctl'. keepcast's user must be in the group that owns it."`
	Directory string `config:"directory" doc:"Directory of FRR's vty sockets. Empty: '/run/frr'. keepcast's user must be in group frrvty."`
}

// validate is the part of Validate that is about the daemon.
func (d routingDaemon) validate() error {
	switch {
	case d.Daemon != "bird" && d.Daemon != "frr":
		return fmt.Errorf("daemon: %q is neither bird nor frr", d.Daemon)
	case d.Daemon != "bird" && d.Socket != "":
		return errors.New("socket: only with daemon: bird (FRR has a directory of sockets)")
	case d.Daemon != "frr" && d.Directory != "":
		return errors.New("directory: only with daemon: frr (BIRD has one socket)")
	}
	for setting, path := range map[string]string{"socket": d.Socket, "directory": d.Directory} {
		if path != "" && !filepath.IsAbs(path) {
			return fmt.Errorf("%s: %q is no absolute path", setting, path)
		}
	}
	return nil
}

// at returns the socket of BIRD, or the directory of those of FRR.
func (d routingDaemon) at() string {
	if d.Daemon == "bird" {
		return cmp.Or(d.Socket, "/run/bird/bird.ctl")
	}
	return cmp.Or(d.Directory, "/run/frr")
}

// unanswering is what unable is for servers, for routing daemons. None of their failures is
// certain. Haste gains nothing where nobody announces, and it would spoil a graceful
// restart, in which the neighbors keep the routes that the daemon is about to send again.
func unanswering(err error) error {
	if queueFull(err) {
		return errors.New("the daemon does not accept connections: the queue of its socket is full")
	}
	return err
}

// peering is a session of BGP or BFD, as its daemon tells of it.
type peering struct {
	label string   // what an operator calls it
	names []string // what the settings may call it
	up    bool
	state string // in the daemon's words, with how long it lasts
	why   string // what ended it, if that is known
}

// String returns what it is called, and how it is.
func (p peering) String() string {
	if p.up || p.why == "" {
		return fmt.Sprintf("%s (%s)", p.label, p.state)
	}
	return fmt.Sprintf("%s (%s; %s)", p.label, p.state, p.why)
}

// peerings are the sessions of one daemon.
type peerings []peering

// named returns the sessions that names call, all if there are none. A name that calls none
// is an error.
func (all peerings) named(setting string, names []string) (peerings, error) {
	if len(names) == 0 {
		return all, nil
	}
	var chosen peerings
	known := map[string]bool{}
	for _, p := range all {
		calls := func(name string) bool { return slices.Contains(p.names, sameName(name)) }
		if slices.ContainsFunc(names, calls) {
			chosen = append(chosen, p)
		}
		for _, name := range p.names {
			known[name] = true
		}
	}
	for _, name := range names {
		if !known[sameName(name)] {
			return nil, fmt.Errorf("%s: there is no %s (there %s)", setting, name, all.are())
		}
	}
	return chosen, nil
}

// are returns which sessions there are, as the end of a sentence.
func (all peerings) are() string {
	var names []string
	for _, p := range all {
		names = append(names, p.label)
	}
	if len(names) == 0 {
		return "is none at all"
	}
	return "are " + fewOf(names)
}

// note shows them to an operator who asks.
func (all peerings) note(ctx context.Context) {
	if see := sight(ctx); see != nil {
		for _, p := range all {
			see.saw("session", "%s", p)
		}
	}
}

// judge returns an error that names those that are not up, unless enough are. What they are,
// and what they are to be, is a word each, such as BGP and established.
func (all peerings) judge(what, good string, enough int) error {
	var missing []string
	for _, p := range all {
		if !p.up {
			missing = append(missing, p.String())
		}
	}
	up := len(all) - len(missing)
	switch {
	case len(all) == 0:
		return fmt.Errorf("there is no %s session at all, expected %d %s", what, enough, good)
	case up >= enough:
		return nil
	case len(missing) == 0:
		return fmt.Errorf("%d of %d %s sessions %s, expected %d: there are no more", up, up, what, good, enough)
	}
	return fmt.Errorf("%d of %d %s sessions %s, expected %d; not so: %s", up, len(all), what, good, enough, fewOf(missing))
}

// mostSessions bounds what an error tells: a route server has hundreds.
const mostSessions = 8

// fewOf lists the first of these words of a daemon, and how many more there are.
func fewOf(words []string) string {
	var few []string
	for _, word := range words[:min(len(words), mostSessions)] {
		few = append(few, seenLine(word))
	}
	text := strings.Join(few, ", ")
	if more := len(words) - mostSessions; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// sameName returns the one spelling of an address, and other names as they are.
func sameName(name string) string {
	if a, err := netip.ParseAddr(name); err == nil {
		return a.Unmap().String()
	}
	return name
}

// validNames says what is wrong with a list of names.
func validNames(setting string, names []string) error {
	for i, name := range names {
		switch {
		case name == "" || strings.ContainsAny(name, " \t\r\n\x00"):
			return fmt.Errorf("%s[%d]: %q is neither an address nor a name", setting, i, name)
		case slices.ContainsFunc(names[:i], func(other string) bool { return sameName(other) == sameName(name) }):
			return fmt.Errorf("%s[%d]: %s is there twice", setting, i, name)
		}
	}
	return nil
}
