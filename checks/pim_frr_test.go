package checks

import (
	"fmt"
	"net/netip"
	"os"
	"syscall"
	"testing"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// pimRouter is a host with zebra and pimd of Debian, in a namespace of its own.
type pimRouter struct {
	*space
	dir  string
	pimd *os.Process
}

// newPIMRouter starts the daemons with that configuration of pimd.
func newPIMRouter(t *testing.T, s *space, conf string) *pimRouter {
	t.Helper()
	r := &pimRouter{space: s, dir: accountOf(t, "frr").dir(t)}
	drivertest.WriteFile(t, r.dir+"/zebra.conf", "")
	drivertest.WriteFile(t, r.dir+"/pimd.conf", conf)
	r.daemon("zebra")
	r.startPIMD()
	return r
}

func (r *pimRouter) startPIMD() { r.pimd = r.daemon("pimd") }

// daemon starts a daemon of FRR, and waits until it listens.
func (r *pimRouter) daemon(name string) *os.Process {
	r.t.Helper()
	program := drivertest.Program(r.t, "/usr/lib/frr/"+name)
	process := startDaemon(r.t, "nsenter", fmt.Sprintf("--net=/proc/%d/fd/%d", os.Getpid(), int(r.ns)), program, "-u", "frr", "-g", "frr", "-P", "0",
		"--vty_socket", r.dir, "-z", r.dir+"/zserv.api", "-i", r.dir+"/"+name+".pid", "-f", r.dir+"/"+name+".conf", "--log", "stdout")
	drivertest.Eventually(r.t, name+" listens", func() bool {
		_, err := askFRR(within(r.t), r.dir, name, "show version")
		return err == nil
	})
	return process
}

// says waits until the check says so.
func (r *pimRouter) says(c PIM, want string) {
	r.t.Helper()
	c.Directory = r.dir
	var err error
	text := func() string {
		if err = c.Check(within(r.t)); err == nil {
			return ""
		}
		return err.Error()
	}
	if !drivertest.WaitFor(func() bool { return text() == want }) {
		sameError(r.t, err, want, "")
	}
}

// TestPIMReal asks pimd of FRR. No VRF: this kernel may have none.
func TestPIMReal(t *testing.T) {
	noLeaks(t)
	if os.Geteuid() != 0 {
		drivertest.Missing(t, "not root")
	}
	drivertest.Program(t, "nsenter")
	near, far := newSpace(t), newSpace(t)
	near.run(fmt.Sprintf("ip link add eth0 type veth peer name eth0 netns /proc/%d/fd/%d", os.Getpid(), int(far.ns)))
	for i, s := range []*space{far, near} {
		s.ip(fmt.Sprintf("addr add 10.9.1.%d/24 dev eth0", i+1))
		s.ip("link set eth0 up")
	}
	near.ip("addr add 192.0.2.53/32 dev lo")
	near.ip("link add eth1 type veth peer name eth2")
	near.ip("addr add 10.9.2.1/24 dev eth1")
	near.ip("link set eth1 up")
	near.ip("link set eth2 up")
	// In MSDP the one with the lower address connects. It tries again after a second here, not 30.
	const conf = "ip pim rp 192.0.2.53 224.0.0.0/4\ninterface eth0\n ip pim\n ip pim hello 1\n" +
		"ip msdp timers 1 3 1\nip msdp mesh-group rps source 10.9.1.%d\nip msdp mesh-group rps member 10.9.1.%d\n"
	rp := newPIMRouter(t, near, fmt.Sprintf(conf, 2, 1)+"interface lo\n ip pim\ninterface eth1\n ip igmp\n")
	other := newPIMRouter(t, far, fmt.Sprintf(conf, 1, 2))

	fit := PIM{RP: addr("192.0.2.53"), Groups: netip.MustParsePrefix("239.0.0.0/8"), Interfaces: []string{"eth0"}, Neighbors: 1}
	mesh := PIM{MSDPPeers: []netip.Addr{addr("10.9.1.1")}}
	rp.says(fit, "")
	rp.says(mesh, "")
	const elsewhere = "pimd: this host is not the RP 192.0.2.53: its address must be on an interface that is up and has `ip pim` (and stay there while keepcast has it withdrawn: manage_addresses: false)"
	other.says(fit, elsewhere)
	rp.says(PIM{RP: addr("192.0.2.54")}, "pimd: 192.0.2.54 is no RP that it knows: is `ip pim rp 192.0.2.54` (FRR 10: `rp 192.0.2.54` of `router pim`) in its configuration")
	for name, says := range map[string]string{
		"eth1": "pimd: interface eth1 does not run PIM, it sends no hello: `ip pim` is not in its configuration, it has no IPv4 address, or it is a loopback",
		"lo":   "pimd: interface lo does not run PIM, it sends no hello: `ip pim` is not in its configuration, it has no IPv4 address, or it is a loopback",
		"eth2": "pimd: interface eth2 does not run PIM: is it there, and is `ip pim` in its configuration",
	} {
		rp.says(PIM{Interfaces: []string{name}}, says)
	}
	rp.says(PIM{Neighbors: 2}, "pimd: it has 1 neighbors, less than 2")
	rp.says(PIM{MSDPPeers: []netip.Addr{addr("10.9.1.9")}}, "pimd: 10.9.1.9 is no MSDP peer that it knows: is it in its configuration")

	near.ip("addr del 192.0.2.53/32 dev lo")
	rp.says(fit, elsewhere)
	near.ip("addr add 192.0.2.53/32 dev lo")
	rp.says(fit, "")
	near.ip("link set eth0 down")
	rp.says(PIM{Interfaces: []string{"eth0"}}, "pimd: interface eth0 is down")
	near.ip("link set eth0 up")
	rp.says(fit, "")
	rp.says(mesh, "")

	other.pimd.Kill()
	rp.says(fit, "pimd: it has 0 neighbors on eth0, less than 1")
	rp.says(mesh, "pimd: the session with the MSDP peer 10.9.1.1 is not established, but listen")
	rp.says(PIM{RP: fit.RP}, "")

	// The hung daemon: its socket is there, and the kernel accepts for it.
	rp.pimd.Signal(syscall.SIGSTOP)
	c := &PIM{Directory: rp.dir, RP: fit.RP}
	sameError(t, c.Check(shortly(t)), `pimd: "enable": context deadline exceeded`, "")
	rp.pimd.Signal(syscall.SIGCONT)
	rp.says(PIM{RP: fit.RP}, "")
	rp.pimd.Kill()
	socket := rp.dir + "/pimd.vty"
	rp.says(PIM{RP: fit.RP}, fmt.Sprintf("pimd is not running (socket %s): dial unix %[1]s: connect: connection refused", socket))
	if err := c.Check(within(t)); !health.IsCertain(err) {
		t.Errorf("not certain: %v", err)
	}
	rp.startPIMD()
	rp.says(PIM{RP: fit.RP}, "")
}
