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

	"github.com/keepcast/keepcast/driver"
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
	daemon    string
	vrf       string // that the state, the neighbors and the router blocks are of
	version   string // `show version`
	running   string // `show running-config`
	state     string // JSON of the daemon itself
	neighbors string // as frrQuestions ask for them; of bgpd the JSON
	zebra     string // the running configuration of zebra, and of mgmtd, which keeps it in FRR 10
	want      driver.State
	quagga    bool // it is one of Quagga
}

// Examine implements Examiner, on connections of its own.
func (f *FRR) Examine(ctx context.Context, want driver.State) []driver.Finding {
	out, zebra := f.examineZebra(ctx)
	on, err := f.on(want)
	if err != nil {
		return append(out, driver.Finding{Name: "daemon-unreachable", Level: driver.LevelError, Subject: "the kernel", Text: err.Error(), Fix: "look at its log: journalctl -k"})
	}
	text, err := f.Render(want)
	if err == nil {
		err = f.Loadable(text)
	}
	if err != nil {
		out = append(out, badTemplate(frrTemplate, err))
	}
	found := make([][]driver.Finding, len(f.Daemons))
	_ = sideBySide(f.Daemons, func(i int, name string) error { // what goes wrong is among the findings
		d := f.daemon(name)
		found[i] = d.examine(ctx, want, on, zebra)
		return errors.Join(d.vty.Close(), d.mgmtd.Close()) // nothing was written
	})
	return slices.Concat(out, slices.Concat(found...), f.examineSaved(want))
}

// examineZebra looks at the daemon that all the others depend on, and returns its
// configuration as far as it is told.
func (f *FRR) examineZebra(ctx context.Context) (found []driver.Finding, running string) {
	for _, name := range []string{"zebra", "mgmtd"} {
		v := f.vtyOf(name)
		if _, err := v.Open(ctx); err != nil {
			if name == "zebra" || !errors.Is(err, fs.ErrNotExist) { // FRR 8 has no mgmtd
				found = append(found, frrUnreachable(name, err))
			}
			continue
		}
		texts, err := v.Ask(ctx, "show running-config")
		if err != nil {
			found = append(found, frrUnreachable(name, err))
			continue
		}
		running += texts[0]
		_ = v.Close() // nothing was written
	}
	return found, running
}

// frrUnreachable says that a daemon can't be asked.
func frrUnreachable(daemon string, err error) driver.Finding {
	start := "systemctl start frr"
	if daemon != "zebra" && daemon != frrMgmtd {
		start = "set " + daemon + "=yes in /etc/frr/daemons and systemctl restart frr, or take " + daemon + " out of the driver's daemons"
	}
	return unreachable(daemon, err, "frr", "frrvty", start)
}

// examine asks one daemon all that an examination wants to know.
func (d *frrDaemon) examine(ctx context.Context, want driver.State, on frrHost, zebra string) []driver.Finding {
	sight, err := d.look(ctx, want, on)
	if err != nil {
		return []driver.Finding{frrUnreachable(d.vty.Daemon, err)}
	}
	running, err := d.config().Ask(ctx, "show running-config")
	if err != nil {
		return append(sight.findings, frrUnreachable(d.config().Daemon, err))
	}
	version, err := d.vty.Ask(ctx, "show version")
	if err != nil {
		return append(sight.findings, frrUnreachable(d.vty.Daemon, err))
	}
	e := frrExam{daemon: d.vty.Daemon, version: version[0], running: running[0], zebra: zebra, want: want}
	found := slices.Concat(sight.findings, e.findings())
	for _, vrf := range on.where(frrRunning(e.running), want) {
		said, err := d.examineIn(ctx, vrf, e)
		if err != nil {
			return append(found, frrUnreachable(d.vty.Daemon, err))
		}
		found = append(found, foundIn(vrf, said)...)
	}
	return found
}

// examineIn asks for what an examination wants to know of one VRF.
func (d *frrDaemon) examineIn(ctx context.Context, vrf string, e frrExam) ([]driver.Finding, error) {
	q := frrQuestionsOf(d.vty.Daemon)
	questions := []string{q.neighbors}
	if q.state != "" {
		questions = append(questions, q.state)
	}
	texts, err := d.ask(ctx, vrf, questions...)
	if err != nil {
		return nil, err
	}
	e.vrf, e.running = vrf, frrInstanceOf(vrf, e.running)
	e.neighbors, e.state = texts[0], strings.Join(texts[1:], "")
	return e.instance(), nil
}

// examineSaved looks for an open gate in the file that FRR starts with, which an
// operator's `write memory` has put there. It may not be readable.
func (f *FRR) examineSaved(want driver.State) []driver.Finding {
	return examineSaved(frrSavedDir(f.Directory), append([]string{"frr"}, f.Daemons...), want)
}

// frrSavedDir returns where an FRR with that directory of sockets keeps its
// configuration: a pathspace has its own. /var/run is the same as /run.
func frrSavedDir(sockets string) string {
	return filepath.Join("/etc/frr", strings.TrimPrefix(strings.TrimPrefix(filepath.Clean(sockets), "/var"), "/run/frr"))
}

// examineSaved looks at the configurations that daemons start with.
func examineSaved(dir string, names []string, want driver.State) []driver.Finding {
	var out []driver.Finding
	for _, name := range names {
		path := filepath.Join(dir, name+".conf")
		if text, err := os.ReadFile(path); err == nil {
			out = append(out, frrSaved(path, quaggaText(string(text)), want.Managed())...)
		}
	}
	return out
}

// frrSaved returns a finding if a saved configuration permits something of
// keepcast's.
func frrSaved(path, text string, owned map[netip.Prefix]bool) []driver.Finding {
	saved := frrRunning(text)
	open := map[netip.Prefix]bool{}
	maps.Copy(open, saved.listed())
	for _, bgp := range saved.instances() {
		maps.Copy(open, bgp.entered(owned))
	}
	if len(open) == 0 {
		return nil
	}
	return []driver.Finding{{
		Name: "open-gate-saved", Level: driver.LevelWarning, Subject: path,
		Text: fmt.Sprintf("permits %s, by a 'write memory' while it was announced: after a start FRR announces it as soon as it is there, until keepcast has looked", sortedPrefixes(open)[0]),
		Fix:  "take the lines that name " + frrMark + " (lists, route-maps and network lines, not the redistribute and neighbor lines) out of the file",
	}}
}
