package frr

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keepcast/keepcast/driver"
)

// frrRun runs a command in the namespace of the test.
func frrRun(t *testing.T, words string) {
	t.Helper()
	w := strings.Fields(words)
	if out, err := exec.Command(w[0], w[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", words, err, out)
	}
}

// frrUntil waits for a condition, 60 s at most.
func frrUntil(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); !cond(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("%s: not within a minute", what)
		}
	}
}

// frrObserves waits until exactly these are observed; a degraded one is written "P!".
func frrObserves(t *testing.T, f *FRR, want ...string) {
	t.Helper()
	last := ""
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("observed last: %s", last)
		}
	})
	defer func() {
		if t.Failed() {
			for _, d := range f.daemons() {
				h, err := d.observe(t.Context(), f.sections[d.name], f.asked, managed{owned: f.asked.Managed()})
				t.Logf("%s holds %v (%v)", d.vty.Daemon, h.held, err)
			}
		}
	}()
	frrUntil(t, "observing "+strings.Join(want, " "), func() bool {
		s, err := f.Observe(t.Context())
		var got []string
		for _, r := range s.Routes {
			p := r.Prefix.String()
			if r.Degraded {
				p += "!"
			}
			got = append(got, p)
		}
		last = fmt.Sprint(got, err)
		return err == nil && slices.Equal(got, want)
	})
}

// frrProxy stands between a driver and the daemons and notes the commands that
// are no questions.
type frrProxy struct {
	dir   string
	mu    sync.Mutex
	conns []*[]string // what each connection was told
	asked int         // how often one asked what runs
}

func newFRRProxy(t *testing.T, to string, daemons ...string) *frrProxy {
	t.Helper()
	p := &frrProxy{dir: t.TempDir()}
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	for _, name := range daemons {
		l, err := net.Listen("unix", filepath.Join(p.dir, name+".vty"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		wg.Go(func() {
			for {
				front, err := l.Accept()
				if err != nil {
					return
				}
				back, err := net.Dial("unix", filepath.Join(to, name+".vty"))
				if err != nil {
					front.Close()
					continue
				}
				wg.Go(func() { io.Copy(front, back); front.Close() })
				wg.Go(func() { p.pass(front, back) })
			}
		})
	}
	return p
}

func (p *frrProxy) pass(front, back net.Conn) {
	defer back.Close()
	var noted []string
	p.mu.Lock()
	p.conns = append(p.conns, &noted)
	p.mu.Unlock()
	for r := bufio.NewReader(front); ; {
		c, err := r.ReadString(0)
		if err != nil {
			return
		}
		c = strings.TrimSuffix(c, "\x00")
		p.mu.Lock()
		if c == "show running-config" {
			p.asked++
		} else if !strings.HasPrefix(c, "show ") && c != "enable" && c != "end" {
			noted = append(noted, c)
		}
		p.mu.Unlock()
		if _, err := io.WriteString(back, c+"\x00"); err != nil {
			return
		}
	}
}

func (p *frrProxy) questions() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

// taken returns the commands noted since the last call, those of each connection
// together: the daemons are told side by side.
func (p *frrProxy) taken() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for _, noted := range p.conns {
		out = append(out, *noted...)
		*noted = nil
	}
	return out
}

// frrApply applies routes and fails the test if that fails.
func frrApply(t *testing.T, f *FRR, routes ...driver.Route) {
	t.Helper()
	if err := f.Apply(t.Context(), frrState(routes...)); err != nil {
		t.Fatal(err)
	}
}

// networks returns the network lines in bgpd for these prefixes.
func (r *realFRR) networks(prefixes ...string) string {
	r.t.Helper()
	c := parseRunning(r.ask("bgpd", "show running-config"))
	var out []string
	for _, p := range prefixes {
		if rest, ok := c.networks[netip.MustParsePrefix(p)]; ok {
			out = append(out, p+" "+rest)
		}
	}
	return strings.Join(out, ", ")
}

// bgpOriginates tells whether an answer has a valid path of this host.
func bgpOriginates(text string) bool { return frrPath(text).valid }
