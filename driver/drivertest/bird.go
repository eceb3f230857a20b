package drivertest

import (
	"bufio"
	"cmp"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// BIRD is a real BIRD in a network namespace of its own: a host under test, or the
// router of one.
type BIRD struct {
	T      testing.TB
	Dir    string // of its files
	NS     string // the name of its namespace
	ID     string // its router id
	Socket string
	cmd    *exec.Cmd
}

// RouterConf is what a router runs that has an eBGP session of each family and an iBGP
// one with 10.99.0.1, fd99::1 and 10.98.0.1.
const RouterConf = `
protocol bgp e4 { local 10.99.0.2 as 65002; neighbor 10.99.0.1 as 65001; connect delay time 1; error wait time 1, 2; ipv4 { import all; export none; }; }
protocol bgp e6 { local fd99::2 as 65002; neighbor fd99::1 as 65001; connect delay time 1; error wait time 1, 2; ipv6 { import all; export none; }; }
protocol bgp i4 { local 10.98.0.2 as 65001; neighbor 10.98.0.1 as 65001; connect delay time 1; error wait time 1, 2; ipv4 { import all; export none; }; }
`

var birds atomic.Int32

// NewBIRD makes the namespace, which goes with the test. The BIRD is not started.
func NewBIRD(t testing.TB) *BIRD {
	t.Helper()
	BIRDProgram(t)
	NeedsRoot(t, "for a network namespace")
	dir := SocketDir(t)
	b := &BIRD{
		T: t, Dir: dir, Socket: filepath.Join(dir, "bird.ctl"), ID: "10.99.0.1",
		NS: fmt.Sprintf("kc-bird-%d-%d", os.Getpid(), birds.Add(1)),
	}
	b.IP("netns add " + b.NS)
	t.Cleanup(func() {
		b.Stop()
		b.IP("netns del " + b.NS)
		if t.Failed() {
			t.Logf("bird in %s said:\n%s", b.NS, b.Log())
		}
	})
	b.IP("-n " + b.NS + " link set lo up")
	return b
}

// BIRDProgram finds the bird under test; KEEPCAST_BIRD names another one, or the
// directory that it is in.
func BIRDProgram(t testing.TB) string {
	t.Helper()
	name := cmp.Or(os.Getenv("KEEPCAST_BIRD"), "bird")
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		name = filepath.Join(name, "bird")
	}
	return Program(t, name)
}

// IP runs the ip command; words are split at blanks.
func (b *BIRD) IP(words string) {
	b.T.Helper()
	if out, err := exec.Command("ip", strings.Fields(words)...).CombinedOutput(); err != nil {
		b.T.Fatalf("ip %s: %v: %s", words, err, out)
	}
}

// Interface gives it an interface anycast0 with addresses, 192.0.2.99 of which is
// the operator's own.
func (b *BIRD) Interface(addrs ...string) {
	b.T.Helper()
	b.IP("-n " + b.NS + " link add anycast0 type ifb")
	b.IP("-n " + b.NS + " link set anycast0 up")
	for _, a := range append(addrs, "192.0.2.99/32") {
		b.IP("-n " + b.NS + " addr add " + a + " dev anycast0")
	}
}

// Protocols writes a configuration that includes the snippet, as it is meant to be.
func (b *BIRD) Protocols(more string) {
	b.T.Helper()
	b.Config(`include "` + b.Dir + `/keepcast.conf";` + "\n" + more)
}

// Config writes a configuration.
func (b *BIRD) Config(more string) {
	b.T.Helper()
	WriteFile(b.T, filepath.Join(b.Dir, "bird.conf"), "log \""+b.Dir+"/bird.log\" all;\nrouter id "+b.ID+";\nprotocol device {}\n"+more)
}

// Start runs BIRD and waits until it answers.
func (b *BIRD) Start() {
	b.T.Helper()
	b.cmd = exec.Command("ip", "netns", "exec", b.NS, BIRDProgram(b.T), "-f", "-c", filepath.Join(b.Dir, "bird.conf"),
		"-s", b.Socket, "-P", filepath.Join(b.Dir, "bird.pid"))
	if err := b.cmd.Start(); err != nil {
		b.T.Fatal(err)
	}
	Eventually(b.T, "bird answers", func() bool {
		_, err := b.ask("show status")
		return err == nil
	})
}

// Stop kills BIRD, which leaves its socket behind.
func (b *BIRD) Stop() {
	if b.cmd == nil {
		return
	}
	_ = b.cmd.Process.Kill()
	_ = b.cmd.Wait()
	b.cmd = nil
}

// Say sends a command and returns the lines of the reply, refusals too, without
// their codes.
func (b *BIRD) Say(command string) string {
	b.T.Helper()
	reply, err := b.ask(command)
	if err != nil {
		b.T.Fatalf("%s: %v", command, err)
	}
	return reply
}

// ask sends a command over a connection of its own: what the driver under test
// reads must not be judged by what the driver reads.
func (b *BIRD) ask(command string) (string, error) {
	conn, err := net.DialTimeout("unix", b.Socket, 20*time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return "", err
	}
	in := bufio.NewReader(conn)
	if _, err := readBIRD(in); err != nil { // the banner
		return "", err
	}
	if _, err := fmt.Fprintln(conn, command); err != nil {
		return "", err
	}
	return readBIRD(in)
}

// readBIRD reads a reply: its last line has a blank behind the code.
func readBIRD(in *bufio.Reader) (string, error) {
	var out strings.Builder
	for {
		line, err := in.ReadString('\n')
		switch {
		case err != nil:
			return "", err
		case line[0] == '+': // said unasked
		case line[0] == ' ':
			out.WriteString(line[1:])
		case len(line) < 6:
			return "", fmt.Errorf("no line of a reply: %q", line)
		default:
			out.WriteString(line[5:])
			if line[4] == ' ' {
				return out.String(), nil
			}
		}
	}
}

// Log returns what BIRD logged.
func (b *BIRD) Log() string {
	text, _ := os.ReadFile(filepath.Join(b.Dir, "bird.log"))
	return string(text)
}

// Configures counts the configurations that BIRD loaded since its first start.
func (b *BIRD) Configures() int { return strings.Count(b.Log(), "> Reconfigured") }

// CPU returns the processor time that BIRD has taken, in nanoseconds.
func (b *BIRD) CPU() (sum int64) {
	b.T.Helper()
	pid := strings.TrimSpace(ReadFile(b.T, filepath.Join(b.Dir, "bird.pid")))
	threads, err := filepath.Glob("/proc/" + pid + "/task/*/schedstat")
	if err != nil || len(threads) == 0 {
		b.T.Fatalf("no processor times of %s: %v", pid, err)
	}
	for _, thread := range threads {
		var ran int64
		if _, err := fmt.Sscan(ReadFile(b.T, thread), &ran); err != nil {
			b.T.Fatal(err)
		}
		sum += ran
	}
	return sum
}

var imports = regexp.MustCompile(`Import (updates|withdraws):\s+(\d+)`)

// Imports returns how many updates and withdraws came in a session since it is up.
func (b *BIRD) Imports(session string) string {
	b.T.Helper()
	out := b.Say("show protocols all " + session)
	var counts []string
	for _, m := range imports.FindAllStringSubmatch(out, -1) {
		counts = append(counts, m[1]+" "+m[2])
	}
	if !strings.Contains(out, "Established") {
		return "not established"
	}
	return strings.Join(counts, ", ")
}
