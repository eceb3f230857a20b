package frr

import (
	"bufio"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// fakeQuagga is one daemon of Quagga 1.2 on a vty socket, as far as keepcast speaks
// to it: the framing, the nodes, the one lock, the statuses, and a configuration
// that is shown as Quagga shows it.
type fakeQuagga struct {
	router string // "router bgp 65001", "" without one

	mu       sync.Mutex
	locked   *quaggaSession
	blocks   map[string][]string      // header of a block: its lines
	family6  []string                 // lines of address-family ipv6
	lists    []string                 // prefix-list lines
	shown    map[string]string        // answers to show commands
	table    func(config) quaggaTable // what it announces; nil: whatever shown says
	commands []string                 // all that were no questions
	asked    int                      // how often the configuration was shown
}

// quaggaSession is one vty session.
type quaggaSession struct{ node, block string }

func newFakeQuagga(t *testing.T, dir, daemon, router string, lines ...string) *fakeQuagga {
	t.Helper()
	f := &fakeQuagga{router: router, blocks: map[string][]string{}, shown: map[string]string{}}
	if daemon == "zebra" {
		f.shown[zebraClients] = frrSaid(t, "124", "zebra-clients.txt") // all are connected
	} else if _, err := os.Stat(filepath.Join(dir, "zebra.vty")); err != nil {
		newFakeQuagga(t, dir, "zebra", "")
	}
	if router != "" {
		f.blocks[router] = lines
	}
	l, err := net.Listen("unix", filepath.Join(dir, daemon+".vty"))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var conns []net.Conn
	t.Cleanup(func() {
		l.Close()
		f.mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		f.mu.Unlock()
		wg.Wait()
	})
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			conns = append(conns, c)
			f.mu.Unlock()
			wg.Go(func() { f.serve(c) })
		}
	})
	return f
}

func (f *fakeQuagga) serve(c net.Conn) {
	defer c.Close()
	s := &quaggaSession{node: "view"}
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.unlock(s)
	}()
	for r := bufio.NewReader(c); ; {
		command, err := r.ReadString(0)
		if err != nil {
			return
		}
		f.mu.Lock()
		text, status := f.say(s, strings.TrimSuffix(command, "\x00"))
		f.mu.Unlock()
		if text != "" {
			text += "\n"
		}
		if _, err := c.Write(append([]byte(text), 0, 0, 0, status)); err != nil {
			return
		}
	}
}

func (f *fakeQuagga) unlock(s *quaggaSession) {
	if f.locked == s {
		f.locked = nil
	}
}

func (f *fakeQuagga) say(s *quaggaSession, command string) (string, byte) {
	words := strings.Fields(command)
	if words[0] == "show" {
		if command == "show running-config" {
			f.asked++
			return f.running(), 0
		}
		if f.table != nil {
			return f.table(parseQuagga(f.running())).answer(command), 0
		}
		return f.shown[command], 0
	}
	if command != "enable" && command != "end" {
		f.commands = append(f.commands, command)
	}
	switch {
	case command == "enable":
		s.node = "enable"
	case command == "end":
		f.unlock(s)
		s.node = "enable"
	case s.node == "view":
		return "% Unknown command.", 2
	case command == "configure terminal" && f.locked != nil && f.locked != s:
		return "VTY configuration is locked by other VTY", 1
	case command == "configure terminal":
		f.locked, s.node = s, "config"
	case words[0] == "clear" && s.node == "enable":
	case s.node == "enable":
		return "% Unknown command.", 2
	default:
		return f.configure(s, command, words)
	}
	return "", 0
}

// configure takes a command of the configuration.
func (f *fakeQuagga) configure(s *quaggaSession, command string, words []string) (string, byte) {
	no := words[0] == "no"
	if no {
		words = words[1:]
		command = strings.Join(words, " ")
	}
	switch {
	case len(words) > 1 && words[1] == "prefix-list":
		return f.list(no, command, words)
	case words[0] == "route-map" && len(words) == 4:
		return f.routeMap(s, no, words)
	case words[0] == "router" && command == f.router:
		s.node, s.block = "block", command
	case words[0] == "router":
		return "BGP is already running; AS is 65001", 1
	case s.node == "config":
		return "% Unknown command.", 2
	case command == "address-family ipv6" && strings.HasPrefix(s.block, "router bgp"):
		s.node = "family6"
	case command == "exit-address-family" && s.node == "family6":
		s.node = "block"
	case command == "set community graceful-shutdown additive":
		return "% Malformed communities attribute", 1
	case strings.HasPrefix(command, "address-family"), strings.HasPrefix(command, "set large-community"):
		return "% Unknown command.", 2
	case s.node == "family6":
		f.family6 = quaggaEdit(f.family6, no, command)
	default:
		f.blocks[s.block] = quaggaEdit(f.blocks[s.block], no, command)
	}
	return "", 0
}

// quaggaEdit adds or removes a line. A redistribute line is known by its source.
func quaggaEdit(lines []string, no bool, command string) []string {
	kept := slices.DeleteFunc(slices.Clone(lines), func(l string) bool {
		return l == command || strings.HasPrefix(command, "redistribute ") && strings.HasPrefix(l, strings.Join(strings.Fields(command)[:2], " "))
	})
	if no {
		return kept
	}
	return append(kept, command)
}

func (f *fakeQuagga) list(no bool, command string, words []string) (string, byte) {
	if len(words) != 7 {
		return "% Command incomplete.", 4
	}
	at := slices.IndexFunc(f.lists, func(l string) bool {
		return strings.HasPrefix(l, strings.Join(words[:5], " ")+" ")
	})
	twin := slices.ContainsFunc(f.lists, func(l string) bool {
		w := strings.Fields(l)
		return slices.Equal(w[:3], words[:3]) && slices.Equal(w[5:], words[5:]) && w[4] != words[4]
	})
	switch {
	case no && (at < 0 || f.lists[at] != command):
		return "% Can't find specified prefix-list", 1
	case no:
		f.lists = slices.Delete(f.lists, at, at+1)
	case twin:
		return "% Insertion failed - prefix-list entry exists:", 1
	case at >= 0:
		f.lists[at] = command
	default:
		f.lists = append(f.lists, command)
	}
	return "", 0
}

// routeMap enters an entry, which loses its content if its kind changes.
func (f *fakeQuagga) routeMap(s *quaggaSession, no bool, words []string) (string, byte) {
	header := strings.Join(words, " ")
	for _, kind := range []string{"permit", "deny"} {
		other := strings.Join([]string{words[0], words[1], kind, words[3]}, " ")
		if other != header {
			delete(f.blocks, other)
		}
	}
	if no {
		if _, ok := f.blocks[header]; !ok {
			return "% Could not find route-map " + words[1], 1
		}
		delete(f.blocks, header)
		return "", 0
	}
	if f.blocks[header] == nil {
		f.blocks[header] = []string{}
	}
	s.node, s.block = "block", header
	return "", 0
}

// running shows the configuration. The lines of an address family are no deeper
// than its header, and some communities have names.
func (f *fakeQuagga) running() string {
	var b strings.Builder
	b.WriteString("\nCurrent configuration:\n!\nhostname q\n!\n")
	for _, header := range slices.Sorted(maps.Keys(f.blocks)) {
		fmt.Fprintf(&b, "%s\n", header)
		for _, l := range f.blocks[header] {
			fmt.Fprintf(&b, " %s\n", strings.ReplaceAll(strings.ReplaceAll(l, "65535:65281", "no-export"), "65535:65283", "local-AS"))
		}
		if header == f.router && f.family6 != nil {
			b.WriteString("!\n address-family ipv6\n")
			for _, l := range f.family6 {
				fmt.Fprintf(&b, " %s\n", l)
			}
			b.WriteString(" exit-address-family\n")
		}
		b.WriteString("!\n")
	}
	b.WriteString(strings.Join(f.lists, "\n") + "\n!\nline vty\n!\nend\n")
	return b.String()
}

// taken returns the commands since the last call.
func (f *fakeQuagga) taken() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := f.commands
	f.commands = nil
	return out
}
