package bird

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"github.com/keepcast/keepcast/driver/bird/ctl"
)

// protocol is a protocol as "show protocols all" tells of it.
type protocol struct {
	name, kind, state string            // state: up, start, stop or down
	details           map[string]string // by the words before the colon, behind those of their heading
	channels          []channel
}

// channel is what ties a protocol to a table.
type channel struct {
	family string // ipv4, ipv6 or another
	state  string // UP, or not yet
	export string // name of the filter: REJECT, ACCEPT, (unnamed) or the operator's
}

// exports reports whether the protocol can export routes of the family. Where the
// neighbor did not agree to the family, the channel stays down.
func (p protocol) exports(family string) bool {
	return slices.ContainsFunc(p.channels, func(c channel) bool {
		return c.family == family && c.export != "" && c.export != "REJECT" && (p.state != "up" || c.state == "UP")
	})
}

// protocols asks for all protocols.
func (b *Driver) protocols(ctx context.Context) ([]protocol, error) {
	r, err := b.ask(ctx, "show protocols all")
	if ctl.RefusalCode(err) == ctl.CodeNoProtocol {
		return nil, nil
	}
	return readProtocols(r), err
}

// readProtocols reads the reply to "show protocols all". Since is in a format
// that the operator can choose, so nothing behind it on its line is read.
func readProtocols(r ctl.Reply) []protocol {
	var out []protocol
	heading := ""
	for _, l := range r.Lines {
		if f := strings.Fields(l.Text); l.Code == ctl.CodeProtocol && len(f) > 3 {
			out = append(out, protocol{name: f[0], kind: strings.ToLower(f[1]), state: f[3], details: map[string]string{}})
			heading = ""
		}
		if l.Code == ctl.CodeDetails && len(out) > 0 {
			heading = out[len(out)-1].read(l.Text, heading)
		}
	}
	return out
}

// read takes a line of details in, and returns the heading that the next is under.
// BIRD indents by two blanks for each level; headings that count are on the second.
func (p *protocol) read(line, heading string) string {
	text := strings.TrimLeft(line, " ")
	if family, ok := strings.CutPrefix(text, "Channel "); ok && len(line)-len(text) <= 2 {
		p.channels = append(p.channels, channel{family: family})
		return ""
	}
	key, value, ok := strings.Cut(text, ":")
	value = strings.TrimSpace(value)
	switch {
	case len(p.channels) > 0:
		p.channels[len(p.channels)-1].read(key, value)
		return ""
	case len(line)-len(text) > 4: // under the heading
		if !ok { // an ability
			value, ok = "yes", true
		}
	case !ok:
		return text + " "
	default:
		heading = ""
	}
	if _, twice := p.details[heading+key]; ok && !twice {
		p.details[heading+key] = value
	}
	return heading
}

func (c *channel) read(key, value string) {
	switch key {
	case "State":
		c.state = value
	case "Output filter":
		c.export = value
	}
}

// neighborRow is a neighbor of a list that "show ospf neighbors" and its like give:
// one for each protocol, with words in columns.
type neighborRow []string

// readRows returns the lines of a list that begin with an address: neighbors,
// neither headings nor the names of protocols.
func readRows(r ctl.Reply) []neighborRow {
	var out []neighborRow
	for _, l := range r.Lines {
		f := strings.Fields(l.Text)
		if len(f) == 0 {
			continue
		}
		if _, err := netip.ParseAddr(f[0]); err == nil {
			out = append(out, f)
		}
	}
	return out
}

// column returns the word in column i, or "".
func (r neighborRow) column(i int) string {
	if i < len(r) {
		return r[i]
	}
	return ""
}

// addressOnLink is an address as an operator names it: one that is only valid on a
// link with its interface.
func addressOnLink(text, link string) string {
	if a, err := netip.ParseAddr(text); err == nil && a.IsLinkLocalUnicast() && a.Zone() == "" && link != "" {
		return text + "%" + link
	}
	return text
}
