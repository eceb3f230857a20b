package frr

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/keepcast/keepcast/driver"
)

// Examine implements driver.Examiner.
func (s *suite) Examine(ctx context.Context, desired driver.State) []driver.Finding {
	out, zebra := s.examineBeside(ctx)
	m, err := s.managed(desired)
	if err != nil {
		return append(out, driver.Finding{Name: "daemon-unreachable", Level: driver.LevelError, Subject: "the kernel", Text: err.Error(), Fix: "look at its log: journalctl -k"})
	}
	sections, err := s.examineTemplate(desired)
	if err != nil {
		out = append(out, driver.Finding{Name: "template", Level: driver.LevelError, Subject: s.dialect.template, Text: err.Error(), Fix: "repair the template"})
	}
	found := make([][]driver.Finding, len(s.daemons()))
	_ = s.each(func(i int, d *daemon) error { // what goes wrong is among the findings
		found[i] = d.examine(ctx, sections[d.name], desired, m, zebra)
		return nil
	})
	return slices.Concat(out, slices.Concat(found...), s.examineSaved(desired))
}

// examineTemplate returns the sections that the template makes of a state.
func (s *suite) examineTemplate(desired driver.State) (map[string]config, error) {
	text, err := s.Render(desired)
	if err == nil {
		err = s.Loadable(text)
	}
	if err != nil {
		return nil, err
	}
	return s.dialect.parseSections(text)
}

// examineBeside looks at the daemons that all the others depend on, and returns their
// configurations as far as they are told.
func (s *suite) examineBeside(ctx context.Context) (found []driver.Finding, running string) {
	for _, name := range s.dialect.beside {
		client := s.client(name)
		text := ""
		_, err := client.Open(ctx)
		if err == nil {
			var texts []string
			if texts, err = client.Ask(ctx, "show running-config"); err == nil {
				text = texts[0]
			}
		}
		_ = client.Close()                                                        // nothing was written
		if err != nil && (name != mgmtdName || !errors.Is(err, fs.ErrNotExist)) { // FRR 8 has no mgmtd
			found = append(found, s.dialect.unreachable(name, err))
		}
		running += text
	}
	return found, running
}

// unreachable says that a daemon can't be asked.
func (l *dialect) unreachable(daemon string, err error) driver.Finding {
	f := driver.Finding{
		Name: "daemon-unreachable", Level: driver.LevelError, Subject: daemon, Text: err.Error(),
		Fix: "look at the daemon's log: journalctl -u " + l.unit(daemon),
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		f.Fix = "usermod -aG " + l.group + " keepcast && systemctl restart keepcast"
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ECONNREFUSED):
		f.Name, f.Fix = "daemon-down", l.start(daemon)
	}
	return f
}

// examine asks the daemon all that an examination wants to know.
func (d *daemon) examine(ctx context.Context, section config, desired driver.State, m managed, zebra string) []driver.Finding {
	o, err := d.observe(ctx, section, desired, m)
	if err != nil {
		return []driver.Finding{d.dialect.unreachable(d.name, err)}
	}
	running, err := d.configClient().Ask(ctx, "show running-config")
	if err != nil {
		return append(o.findings, d.dialect.unreachable(d.configClient().Daemon, err))
	}
	version, err := d.vty.Ask(ctx, "show version")
	if err != nil {
		return append(o.findings, d.dialect.unreachable(d.name, err))
	}
	e := exam{spec: d.spec, version: version[0], running: d.dialect.read(running[0]), zebra: zebra, desired: desired}
	found := append(o.findings, e.findings(d.exams)...)
	for _, vrf := range m.vrfsOf(parseRunning(e.running), desired) {
		said, err := d.examineVRF(ctx, vrf, e)
		if err != nil {
			return append(found, d.dialect.unreachable(d.name, err))
		}
		found = append(found, foundIn(vrf, said)...)
	}
	return found
}

// examineVRF asks for what an examination wants to know of one VRF.
func (d *daemon) examineVRF(ctx context.Context, vrf string, e exam) ([]driver.Finding, error) {
	questions := []string{d.neighbors}
	if d.state != "" {
		questions = append(questions, d.state)
	}
	texts, err := d.ask(ctx, vrf, questions...)
	if err != nil {
		return nil, err
	}
	e.vrf, e.running = vrf, instanceOf(vrf, e.running)
	e.neighbors, e.state = texts[0], strings.Join(texts[1:], "")
	return e.findings(d.vrfExams), nil
}

// findings returns what some of the exams find.
func (e exam) findings(exams []func(exam) []driver.Finding) []driver.Finding {
	var out []driver.Finding
	for _, find := range exams {
		out = append(out, find(e)...)
	}
	return out
}

// examineSaved looks for an open gate in the files that the daemons start with, which an
// operator's `write memory` has put there. They may not be readable.
func (s *suite) examineSaved(desired driver.State) []driver.Finding {
	var out []driver.Finding
	dir := s.dialect.saved(s.settings().directory)
	for _, name := range append([]string{s.dialect.savedAs}, s.settings().daemons...) {
		path := filepath.Join(dir, name+".conf")
		if text, err := os.ReadFile(path); err == nil {
			out = append(out, savedGate(path, s.dialect.read(string(text)), desired.Managed())...)
		}
	}
	return out
}

// savedGate returns a finding if a saved configuration permits something of keepcast's,
// and one if babeld starts with it without a list: it takes a list that is missing for one
// that permits everything. For a route-map that is missing the others deny.
func savedGate(path, text string, owned map[netip.Prefix]bool) []driver.Finding {
	saved := parseRunning(text)
	open := saved.listed()
	for _, bgp := range saved.instances() {
		maps.Copy(open, bgp.entered(owned))
	}
	var out []driver.Finding
	if len(open) > 0 {
		out = append(out, driver.Finding{
			Name: "open-gate-saved", Level: driver.LevelWarning, Subject: path,
			Text: fmt.Sprintf("permits %s, by a 'write memory' while it was announced: after a start the daemon announces it as soon as it is there (one of the prefixes at once), until keepcast has looked", sortedPrefixes(open)[0]),
			Fix:  "take the lines that name " + mark + " (lists, route-maps and network lines, not the redistribute and neighbor lines) out of the file",
		})
	}
	for _, family := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		if list := ipOf(family) + " prefix-list " + gateOf(family); saved.babelUnlisted(family) {
			out = append(out, driver.Finding{
				Name: "open-gate-saved", Level: driver.LevelWarning, Subject: path,
				Text: "has no '" + list + "', and babeld takes a missing list for one that permits everything: after a start it announces all that it redistributes, until keepcast has come",
				Fix:  "add '" + list + " seq 65535 deny any' to the file; in the running babeld keepcast replaces it",
			})
		}
	}
	return out
}

// babelUnlisted tells whether babeld redistributes the family of a without a list of
// keepcast's.
func (c config) babelUnlisted(a netip.Addr) bool {
	listed := slices.ContainsFunc(sortedKeys(c.entries), func(k entryKey) bool { return k.kind == ipOf(a)+" prefix-list" && k.name == gateOf(a) })
	return !listed && slices.ContainsFunc(c.redistribute, func(l redistribution) bool {
		return l.router() == "router babel" && slices.Contains(strings.Fields(l.line), strings.ToLower(familyOf(a)))
	})
}

// version is a major and a minor number.
type version [2]int

func (v version) String() string { return fmt.Sprintf("%d.%d", v[0], v[1]) }

// before tells whether v is older than other.
func (v version) before(other version) bool { return slices.Compare(v[:], other[:]) < 0 }

// versionOf reads `show version`: "FRRouting 8.4.4 (host) on Linux(6.1)."
func versionOf(text string) (v version, ok bool) {
	_, rest, found := strings.Cut(text, "FRRouting ")
	numbers := strings.FieldsFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if !found || len(numbers) < 2 {
		return version{}, false
	}
	for i := range v {
		n, err := strconv.Atoi(numbers[i])
		if err != nil {
			return version{}, false
		}
		v[i] = n
	}
	return v, true
}
