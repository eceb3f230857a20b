package checks

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/miekg/dns"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// knotZone writes a zone with that serial.
func knotZone(t *testing.T, file string, serial int) {
	t.Helper()
	drivertest.WriteFile(t, file, fmt.Sprintf("@ 300 IN SOA ns.example. host.example. %d 3600 600 86400 300\n@ NS ns.example.\nwww A 192.0.2.1\n", serial))
}

// knot starts a server with more configuration, in which DIR is its directory.
func knot(t *testing.T, listen, more string) (dir string, daemon *os.Process) {
	t.Helper()
	program := drivertest.Program(t, "knotd")
	dir = drivertest.SocketDir(t)
	conf := filepath.Join(dir, "knot.conf")
	text := fmt.Sprintf(`
server:
  rundir: "DIR"
  listen: 127.0.0.1@%s
  udp-workers: 1
  tcp-workers: 1
  background-workers: 1
database:
  storage: "DIR"
`, portOf(listen))
	drivertest.WriteFile(t, conf, strings.ReplaceAll(text+more, "DIR", dir))
	return dir, startDaemon(t, program, "-c", conf)
}

// TestDNSKnotSerial has a secondary that is not told of what its primary has.
func TestDNSKnotSerial(t *testing.T) {
	primary, secondary := freeAddress(t), freeAddress(t)
	zones := t.TempDir()
	knotZone(t, zones+"/example.com.zone", 10)
	_, first := knot(t, primary, `
acl:
  - id: all
    address: 127.0.0.1
    action: transfer
zone:
  - domain: example.com
    file: "`+zones+`/example.com.zone"
    acl: all
`)
	fitAtLast(t, asksDNS(primary, "example.com", dns.TypeSOA))
	knot(t, secondary, `
remote:
  - id: primary
    address: 127.0.0.1@`+portOf(primary)+`
zone:
  - domain: example.com
    file: "DIR/example.com.zone"
    master: primary
`)
	c := asksDNS(secondary, "example.com", dns.TypeSOA)
	c.Primary, c.MaxSerialLag, c.AA = primary, 0, true
	fitAtLast(t, c)
	knotZone(t, zones+"/example.com.zone", 13)
	if err := first.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	moved := asksDNS(primary, "example.com", dns.TypeSOA)
	moved.Answers = []string{" 13 3600 "}
	fitAtLast(t, moved)
	sameError(t, c.Check(within(t)), "", secondary) // the primary's answer holds
	fresh := asksDNS(secondary, "example.com", dns.TypeSOA)
	fresh.dnsSerial = c.dnsSerial
	fresh.known = new(dnsKnown)
	sameError(t, fresh.Check(within(t)), "asking ADDR over udp for example.com. IN SOA: the serial 10 is 3 behind 13 of the primary "+primary+", at most 0 is allowed", secondary)
}
