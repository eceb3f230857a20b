package frr

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// quaggaConfs is what an operator writes once, per daemon, as docs/howto/quagga.md has it.
// Each daemon refuses a file that has another's blocks. In isisd net comes first, as
// isisd itself writes it: any line before it makes an LSP of the system 0000.0000.0000. But
// the LSP that net makes then holds the next one up for the default of 30 s.
var quaggaConfs = map[string]string{
	"zebra": "hostname q\nrouter-id 10.99.0.1\n",
	"bgpd": `hostname q
router bgp 65001
 bgp router-id 10.99.0.1
 redistribute connected route-map KEEPCAST
 neighbor 10.99.0.2 remote-as 65002
 neighbor 10.99.0.2 timers connect 1
 neighbor 10.99.0.2 advertisement-interval 1
 neighbor 10.99.0.2 route-map KEEPCAST-EBGP out
 neighbor fd99::2 remote-as 65002
 neighbor fd99::2 timers connect 1
 neighbor fd99::2 advertisement-interval 1
 no neighbor fd99::2 activate
 address-family ipv6
  redistribute connected route-map KEEPCAST6
  neighbor fd99::2 activate
  neighbor fd99::2 route-map KEEPCAST6-EBGP out
 exit-address-family
`,
	"ospfd": `hostname q
interface nh0
 ip ospf network point-to-point
 ip ospf hello-interval 1
 ip ospf dead-interval 4
router ospf
 ospf router-id 10.99.0.1
 redistribute connected route-map KEEPCAST
 network 10.99.0.0/30 area 0
 timers throttle spf 0 50 500
`,
	"isisd": `hostname q
interface nh0
 ip router isis A
 ipv6 router isis A
 isis network point-to-point
 isis hello-interval 1
interface anycast0
 ip router isis A
 ipv6 router isis A
 isis passive
router isis A
 net 49.0001.0000.0000.0001.00
 metric-style wide
 is-type level-2-only
 lsp-gen-interval 1
`,
}

// realQuagga is a Quagga in a network namespace of its own, set up as a realFRR is. The
// directory of its sockets is compiled in (localstatedir), so each daemon sees one of
// this test's there, in a mount namespace.
type realQuagga struct {
	*realFRR

	prefix string // that it is installed under: KEEPCAST_QUAGGA
	state  string // where its daemons look for their sockets
}

func newRealQuagga(t *testing.T, daemons ...string) *realQuagga {
	t.Helper()
	prefix := quaggaPrefix(t)
	drivertest.NeedsRoot(t, "for a network namespace")
	frrEnterSpace(t)
	q := &realQuagga{
		realFRR: &realFRR{t: t, dir: drivertest.SocketDir(t), procs: map[string]*exec.Cmd{}},
		prefix:  prefix, state: quaggaState(t, prefix),
	}
	if err := os.Chmod(q.dir, 0o777); err != nil { // the daemons run as the user that Quagga was built for
		t.Fatal(err)
	}
	for _, name := range append([]string{"zebra"}, daemons...) {
		q.start(name)
	}
	return q
}

// quaggaPrefix returns the directory that a Quagga is installed under.
func quaggaPrefix(t *testing.T) string {
	t.Helper()
	prefix := os.Getenv("KEEPCAST_QUAGGA")
	if prefix == "" {
		t.Skip("KEEPCAST_QUAGGA names no Quagga: no distribution has one any more, and the recordings in testdata stand for it")
	}
	return prefix
}

// quaggaState returns the directory that Quagga was built to have its sockets in.
func quaggaState(t *testing.T, prefix string) string {
	t.Helper()
	said, err := exec.Command(filepath.Join(prefix, "sbin/zebra"), "-v").CombinedOutput()
	_, rest, found := strings.Cut(string(said), "--localstatedir=")
	if err != nil || !found {
		t.Fatalf("zebra -v of KEEPCAST_QUAGGA tells no localstatedir: %v\n%s", err, said)
	}
	return strings.Fields(rest)[0]
}

// start runs a daemon, with the operator's configuration, until the end of the test, and
// returns once it answers.
func (q *realQuagga) start(name string) {
	q.t.Helper()
	conf := filepath.Join(q.dir, name+".conf")
	if _, err := os.Stat(conf); err != nil {
		drivertest.WriteFile(q.t, conf, quaggaConfs[name])
	}
	cmd := exec.Command("unshare", "--mount", "--propagation", "slave", "sh", "-c", `mount --bind "$0" "$1" && cd / && shift && exec "$@"`,
		q.dir, q.state, filepath.Join(q.prefix, "sbin", name),
		"-f", filepath.Join(q.state, name+".conf"), "-i", filepath.Join(q.state, name+".pid"), "-z", filepath.Join(q.state, "zserv.api"), "-A", "127.0.0.1", "-P", "0")
	said := new(drivertest.Buffer)
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		q.t.Fatal(err)
	}
	q.procs[name] = cmd
	q.t.Cleanup(func() {
		q.stop(name)
		if q.t.Failed() {
			q.t.Logf("%s said:\n%s", name, said)
		}
	})
	frrUntil(q.t, name+" answers", func() bool {
		_, err := q.tell(name, "show version")
		return err == nil
	})
}

// restart kills a daemon, as a crash does, and starts it again.
func (q *realQuagga) restart(name string) {
	q.t.Helper()
	q.stop(name)
	q.start(name)
}
