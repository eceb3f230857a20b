package driver

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
)

// frrVersion is a major and a minor number.
type frrVersion [2]int

func (v frrVersion) String() string { return fmt.Sprintf("%d.%d", v[0], v[1]) }

// before tells whether v is older than other.
func (v frrVersion) before(other frrVersion) bool { return slices.Compare(v[:], other[:]) < 0 }

// frrVersionOf reads `show version`: "FRRouting 8.4.4 (host) on Linux(6.1)."
func frrVersionOf(text string) (v frrVersion, ok bool) {
	_, rest, found := strings.Cut(text, "FRRouting ")
	numbers := strings.FieldsFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if !found || len(numbers) < 2 {
		return frrVersion{}, false
	}
	for i := range v {
		n, err := strconv.Atoi(numbers[i])
		if err != nil {
			return frrVersion{}, false
		}
		v[i] = n
	}
	return v, true
}

// frrExam is what an examination was told by one daemon.
type frrExam struct {
	daemon     string
	vrf        string // that the state, the neighbours and the router blocks are of
	version    string // `show version`
	running    string // `show running-config`
	state      string // JSON of the daemon itself
	neighbours string // as frrQuestions ask for them; of bgpd the JSON
	zebra      string // the running configuration of zebra, and of mgmtd, which keeps it in FRR 10
	want       State
	quagga     bool // it is one of Quagga
}

// Examine implements Examiner, on connections of its own.
func (f *FRR) Examine(ctx context.Context, want State) []Finding {
	out, zebra := f.examineZebra(ctx)
	on, err := f.on(want)
	if err != nil {
		return append(out, Finding{Name: "daemon-unreachable", Level: Breaks, Subject: "the kernel", Text: err.Error(), Fix: "look at its log: journalctl -k"})
	}
	snippet, err := f.Render(want)
	if err == nil {
		err = f.Loadable(snippet)
	}
	if err != nil {
		out = append(out, badTemplate(frrTemplate, err))
	}
	found := make([][]Finding, len(f.Daemons))
	_ = sideBySide(f.Daemons, func(i int, name string) error { // what goes wrong is among the findings
		d := f.daemon(name)
		found[i] = d.examine(ctx, want, on, zebra)
		return errors.Join(d.vty.close(), d.mgmtd.close()) // nothing was written
	})
	return slices.Concat(out, slices.Concat(found...), f.examineSaved(want))
}

// examineZebra looks at the daemon that all the others depend on, and returns its
// configuration as far as it is told.
func (f *FRR) examineZebra(ctx context.Context) (found []Finding, running string) {
	for _, name := range []string{"zebra", "mgmtd"} {
		v := f.vtyOf(name)
		if _, err := v.open(ctx); err != nil {
			if name == "zebra" || !errors.Is(err, fs.ErrNotExist) { // FRR 8 has no mgmtd
				found = append(found, frrUnreachable(name, err))
			}
			continue
		}
		texts, err := v.ask(ctx, "show running-config")
		if err != nil {
			found = append(found, frrUnreachable(name, err))
			continue
		}
		running += texts[0]
		_ = v.close() // nothing was written
	}
	return found, running
}

// frrUnreachable says that a daemon can't be asked.
func frrUnreachable(daemon string, err error) Finding {
	start := "systemctl start frr"
	if daemon != "zebra" && daemon != frrMgmtd {
		start = "set " + daemon + "=yes in /etc/frr/daemons and systemctl restart frr, or take " + daemon + " out of the driver's daemons"
	}
	return unreachable(daemon, err, "frr", "frrvty", start)
}

// examine asks one daemon all that an examination wants to know.
func (d *frrDaemon) examine(ctx context.Context, want State, on frrHost, zebra string) []Finding {
	sight, err := d.look(ctx, want, on)
	if err != nil {
		return []Finding{frrUnreachable(d.vty.daemon, err)}
	}
	running, err := d.config().ask(ctx, "show running-config")
	if err != nil {
		return append(sight.findings, frrUnreachable(d.config().daemon, err))
	}
	version, err := d.vty.ask(ctx, "show version")
	if err != nil {
		return append(sight.findings, frrUnreachable(d.vty.daemon, err))
	}
	e := frrExam{daemon: d.vty.daemon, version: version[0], running: running[0], zebra: zebra, want: want}
	found := slices.Concat(sight.findings, e.findings())
	for _, vrf := range on.where(frrRunning(e.running), want) {
		said, err := d.examineIn(ctx, vrf, e)
		if err != nil {
			return append(found, frrUnreachable(d.vty.daemon, err))
		}
		found = append(found, foundIn(vrf, said)...)
	}
	return found
}

// examineIn asks for what an examination wants to know of one VRF.
func (d *frrDaemon) examineIn(ctx context.Context, vrf string, e frrExam) ([]Finding, error) {
	q := frrQuestionsOf(d.vty.daemon)
	questions := []string{q.neighbours}
	if q.state != "" {
		questions = append(questions, q.state)
	}
	texts, err := d.ask(ctx, vrf, questions...)
	if err != nil {
		return nil, err
	}
	e.vrf, e.running = vrf, frrInstanceOf(vrf, e.running)
	e.neighbours, e.state = texts[0], strings.Join(texts[1:], "")
	return e.instance(), nil
}

// examineSaved looks for an open gate in the file that FRR starts with, which an
// operator's `write memory` has put there. It may not be readable.
func (f *FRR) examineSaved(want State) []Finding {
	return examineSaved(frrSavedDir(f.Directory), append([]string{"frr"}, f.Daemons...), want)
}

// frrSavedDir returns where an FRR with that directory of sockets keeps its
// configuration: a pathspace has its own. /var/run is the same as /run.
func frrSavedDir(sockets string) string {
	return filepath.Join("/etc/frr", strings.TrimPrefix(strings.TrimPrefix(filepath.Clean(sockets), "/var"), "/run/frr"))
}

// examineSaved looks at the configurations that daemons start with.
func examineSaved(dir string, names []string, want State) []Finding {
	var out []Finding
	for _, name := range names {
		path := filepath.Join(dir, name+".conf")
		if text, err := os.ReadFile(path); err == nil {
			out = append(out, frrSaved(path, quaggaText(string(text)), managed(want))...)
		}
	}
	return out
}

// frrSaved returns a finding if a saved configuration permits something of
// keepcast's.
func frrSaved(path, text string, owned map[netip.Prefix]bool) []Finding {
	saved := frrRunning(text)
	open := map[netip.Prefix]bool{}
	maps.Copy(open, saved.listed())
	for _, bgp := range saved.instances() {
		maps.Copy(open, bgp.entered(owned))
	}
	if len(open) == 0 {
		return nil
	}
	return []Finding{{
		Name: "open-gate-saved", Level: Risks, Subject: path,
		Text: fmt.Sprintf("permits %s, by a 'write memory' while it was announced: after a start FRR announces it as soon as it is there, until keepcast has looked", sortedPrefixes(open)[0]),
		Fix:  "take the lines that name " + frrMark + " (lists, route-maps and network lines, not the redistribute and neighbor lines) out of the file",
	}}
}
