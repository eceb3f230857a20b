package checks

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// What pimd 8.4.4 of Debian 12 says of an RP, shortened. That of 10.3 has the same members.
const (
	saidRPs = `{
  "192.0.2.53":[
    {"rpAddress":"192.0.2.53","outboundInterface":"anycast0","iAmRP":true,"group":"224.0.0.0/4","source":"Static","groupType":"ASM"}
  ],
  "192.0.2.98":[
    {"rpAddress":"192.0.2.98","outboundInterface":"Unknown","iAmRP":false,"prefixList":"GR","source":"Static","groupType":"ASM"}
  ],
  "192.0.2.99":[
    {"rpAddress":"192.0.2.99","outboundInterface":"Unknown","iAmRP":false,"group":"239.5.0.0/16","source":"Static","groupType":"ASM"}
  ]
}`
	saidInterfaces = `{
  "eth0":{"name":"eth0","state":"up","address":"10.9.1.2","index":2,"drPriority":1,"helloTimer":"00:00:28","bsmEnabled":true},
  "eth1":{"name":"eth1","state":"up","address":"10.9.3.1","index":4,"drAddress":"*","helloTimer":"--:--:--"},
  "eth2":{"name":"eth2","state":"down","address":"0.0.0.0","index":5,"helloTimer":"00:00:28"}
}`
	saidNeighbors = `{
  "anycast0":{
  },
  "eth0":{
    "10.9.1.1":{"interface":"eth0","neighbor":"10.9.1.1","upTime":"00:00:08","holdTime":"00:00:02","holdTimeMax":3,"drPriority":1}
  },
  "eth2":{"10.9.5.1":{}, "10.9.5.2":{}}
}`
	saidPeers = `{
  "10.9.2.2":{"peer":"10.9.2.2","local":"10.9.1.2","state":"established","upTime":"00:00:52","saCount":3},
  "10.9.2.3":{"peer":"10.9.2.3","local":"10.9.1.2","state":"connecting","upTime":"-","saCount":0}
}`
)

// fakePIMD is a pimd that says so. It returns its directory.
func fakePIMD(t *testing.T, said map[string]string) string {
	t.Helper()
	dir := drivertest.SocketDir(t)
	drivertest.NewVtyServer(t, filepath.Join(dir, "pimd.vty"), func(command string) string { return said[command] + drivertest.VtyDone })
	return dir
}

func truePIMD(t *testing.T) string {
	return fakePIMD(t, map[string]string{
		"show ip pim rp-info json": saidRPs, "show ip pim interface detail json": saidInterfaces,
		"show ip pim neighbor json": saidNeighbors, "show ip msdp peer json": saidPeers,
	})
}

func TestPIM(t *testing.T) {
	noLeaks(t)
	dir := truePIMD(t)
	rp := addr("192.0.2.53")
	groups := netip.MustParsePrefix
	const elsewhere = ": its address must be on an interface that is up and has `ip pim` (and stay there while keepcast has it withdrawn: manage_addresses: false)"
	for name, tt := range map[string]struct {
		pim PIM
		err string
	}{
		"all":                {PIM{RP: rp, Groups: groups("239.1.0.0/16"), Interfaces: []string{"eth0"}, Neighbors: 1, MSDPPeers: []netip.Addr{addr("10.9.2.2")}}, ""},
		"rp":                 {PIM{RP: rp}, ""},
		"unknown rp":         {PIM{RP: addr("192.0.2.1")}, "pimd: 192.0.2.1 is no RP that it knows: is `ip pim rp 192.0.2.1` (FRR 10: `rp 192.0.2.1` of `router pim`) in its configuration"},
		"elsewhere":          {PIM{RP: addr("192.0.2.98")}, "pimd: this host is not the RP 192.0.2.98" + elsewhere},
		"groups elsewhere":   {PIM{RP: addr("192.0.2.99"), Groups: groups("239.5.1.0/24")}, "pimd: this host is not the RP 192.0.2.99" + elsewhere},
		"part of the groups": {PIM{RP: rp, Groups: groups("224.0.0.0/4")}, "pimd: 192.0.2.99 is the RP for a part of 224.0.0.0/4, 239.5.0.0/16"},
		"groups of another":  {PIM{RP: rp, Groups: groups("239.5.1.0/24")}, "pimd: the RP for 239.5.1.0/24 is 192.0.2.99, not 192.0.2.53"},
		"same groups":        {PIM{RP: rp, Groups: groups("239.5.0.0/16")}, "pimd: the RP for 239.5.0.0/16 is 192.0.2.99, not 192.0.2.53"},
		"too many groups":    {PIM{RP: addr("192.0.2.99"), Groups: groups("239.0.0.0/8")}, "pimd: the RP for 239.0.0.0/8 is 192.0.2.53, not 192.0.2.99"},
		"groups of a list":   {PIM{RP: addr("192.0.2.98"), Groups: groups("239.5.1.0/24")}, `pimd: the groups of the RP 192.0.2.98 are those of the prefix list "GR", which groups can't be compared with: leave groups out`},
		"interface":          {PIM{Interfaces: []string{"eth0", "eth9"}}, "pimd: interface eth9 does not run PIM: is it there, and is `ip pim` in its configuration"},
		"interface for igmp": {PIM{Interfaces: []string{"eth1"}}, "pimd: interface eth1 does not run PIM, it sends no hello: `ip pim` is not in its configuration, it has no IPv4 address, or it is a loopback"},
		"interface down":     {PIM{Interfaces: []string{"eth2"}}, "pimd: interface eth2 is down"},
		"neighbors":          {PIM{Neighbors: 3}, ""},
		"too few neighbors":  {PIM{Neighbors: 4}, "pimd: it has 3 neighbors, less than 4"},
		"neighbors there":    {PIM{Neighbors: 2, Interfaces: []string{"eth0"}}, "pimd: it has 1 neighbors on eth0, less than 2"},
		"peer connecting":    {PIM{MSDPPeers: []netip.Addr{addr("10.9.2.2"), addr("10.9.2.3")}}, "pimd: the session with the MSDP peer 10.9.2.3 is not established, but connecting"},
		"unknown peer":       {PIM{MSDPPeers: []netip.Addr{addr("10.9.2.4")}}, "pimd: 10.9.2.4 is no MSDP peer that it knows: is it in its configuration"},
	} {
		t.Run(name, func(t *testing.T) {
			tt.pim.Directory = dir
			if err := tt.pim.Validate(); err != nil {
				t.Fatal(err)
			}
			err := tt.pim.Check(within(t))
			sameError(t, err, tt.err, "")
			if health.IsCertain(err) || health.IsVoid(err) {
				t.Errorf("certain or void: %v", err)
			}
		})
	}
	sameSeen(t, &PIM{Directory: dir, RP: rp, Interfaces: []string{"eth0"}, Neighbors: 1, MSDPPeers: []netip.Addr{addr("10.9.2.2")}},
		"connected: to "+dir+"/pimd.vty",
		"rp: 192.0.2.53 for 224.0.0.0/4: this host", "rp: 192.0.2.98 for prefix list GR: elsewhere", "rp: 192.0.2.99 for 239.5.0.0/16: elsewhere",
		"interface: eth0: up, next hello in 00:00:28", "neighbor: 10.9.1.1 on eth0", "msdp: 10.9.2.2: established, 3 sources")
}

func TestPIMNoAnswer(t *testing.T) {
	noLeaks(t)
	const command = "show ip pim rp-info json"
	for name, tt := range map[string]struct {
		said string
		err  string
	}{
		"nothing":      {"", `pimd: its RPs can't be read: unexpected end of JSON input: ""`},
		"old pimd":     {"% Unknown command: " + command, `pimd: its RPs can't be read: invalid character '%' looking for beginning of value: "% Unknown command: show ip pim rp-info json"`},
		"no RPs":       {"{\n}\n", "pimd: 192.0.2.53 is no RP that it knows: is `ip pim rp 192.0.2.53` (FRR 10: `rp 192.0.2.53` of `router pim`) in its configuration"},
		"a list":       {"[]", `pimd: its RPs can't be read: json: cannot unmarshal array into Go value of type map[string][]checks.pimRP: "[]"`},
		"no address":   {`{"a":[{"group":"224.0.0.0/4"}]}`, `pimd: its RPs can't be read: one has no address or no groups: "{\"a\":[{\"group\":\"224.0.0.0/4\"}]}"`},
		"no groups":    {`{"a":[{"rpAddress":"192.0.2.53","iAmRP":true}]}`, `pimd: its RPs can't be read: one has no address or no groups: "{\"a\":[{\"rpAddress\":\"192.0.2.53\",\"iAmRP\":true}]}"`},
		"much":         {strings.Repeat(" ", 8<<20) + saidRPs, ""},
		"much garbage": {strings.Repeat("\x07", 8<<20), `pimd: its RPs can't be read: invalid character '\a' looking for beginning of value: "` + strings.Repeat(`\a`, 120) + `"...`},
		"too much":     {strings.Repeat(" ", 65<<20), `pimd: "` + command + `": the answer is longer than 67108864 bytes`},
	} {
		t.Run(name, func(t *testing.T) {
			c := &PIM{Directory: fakePIMD(t, map[string]string{command: tt.said}), RP: addr("192.0.2.53")}
			sameError(t, c.Check(within(t)), tt.err, "")
		})
	}
	for name, c := range map[string]PIM{
		"interfaces": {Interfaces: []string{"eth0"}}, "neighbors": {Neighbors: 1}, "MSDP peers": {MSDPPeers: []netip.Addr{addr("10.9.2.2")}},
	} {
		c.Directory = fakePIMD(t, nil)
		sameError(t, c.Check(within(t)), "pimd: its "+name+` can't be read: unexpected end of JSON input: ""`, "")
	}
	c := &PIM{RP: addr("192.0.2.53"), Groups: netip.MustParsePrefix("239.0.0.0/8")}
	c.Directory = fakePIMD(t, map[string]string{"show ip pim rp-info json": `{"a":[{"rpAddress":"192.0.2.53","iAmRP":true,"group":"239.5.0.0/16"}]}`})
	sameError(t, c.Check(within(t)), "pimd: no RP is for all of 239.0.0.0/8", "")
	c = &PIM{MSDPPeers: []netip.Addr{addr("10.9.2.2")}}
	c.Directory = fakePIMD(t, map[string]string{"show ip msdp peer json": `{"10.9.2.2":{"state":"` + strings.Repeat("x", 200) + `"}}`})
	sameError(t, c.Check(within(t)), `pimd: the session with the MSDP peer 10.9.2.2 is not established, but "`+strings.Repeat("x", 120)+`"...`, "")
	c = &PIM{Directory: drivertest.SocketDir(t), RP: addr("192.0.2.53")}
	at := c.Directory + "/pimd.vty"
	sameError(t, c.Check(within(t)), "pimd is not running (socket ADDR): dial unix ADDR: connect: no such file or directory", at)
}

func TestPIMValidate(t *testing.T) {
	full := PIM{
		Directory: "/run/frr", RP: addr("192.0.2.53"), Groups: netip.MustParsePrefix("239.0.0.0/8"), Interfaces: []string{"eth0"},
		Neighbors: 1, MSDPPeers: []netip.Addr{addr("10.0.0.1")},
	}
	for name, tt := range map[string]struct {
		change func(*PIM)
		err    string
	}{
		"full":             {func(*PIM) {}, ""},
		"all groups":       {func(c *PIM) { c.Groups = netip.MustParsePrefix("224.0.0.0/4") }, ""},
		"only neighbors":   {func(c *PIM) { *c = PIM{Directory: "/run/frr", Neighbors: 1} }, ""},
		"nothing":          {func(c *PIM) { *c = PIM{Directory: "/run/frr"} }, "rp, interfaces, neighbors, msdp_peers: at least one is needed"},
		"directory":        {func(c *PIM) { c.Directory = "frr" }, `directory: "frr" is not an absolute path`},
		"rp of IPv6":       {func(c *PIM) { c.RP = addr("2001:db8::1") }, "rp: 2001:db8::1 is no unicast IPv4 address"},
		"rp is a group":    {func(c *PIM) { c.RP = addr("239.0.0.1") }, "rp: 239.0.0.1 is no unicast IPv4 address"},
		"rp of zeros":      {func(c *PIM) { c.RP = addr("0.0.0.0") }, "rp: 0.0.0.0 is no unicast IPv4 address"},
		"groups, no rp":    {func(c *PIM) { c.RP = netip.Addr{} }, "groups: only with rp"},
		"groups of hosts":  {func(c *PIM) { c.Groups = netip.MustParsePrefix("10.0.0.0/8") }, "groups: 10.0.0.0/8 is not within 224.0.0.0/4"},
		"groups and more":  {func(c *PIM) { c.Groups = netip.MustParsePrefix("224.0.0.0/3") }, "groups: 224.0.0.0/3 is not within 224.0.0.0/4"},
		"groups of IPv6":   {func(c *PIM) { c.Groups = netip.MustParsePrefix("ff00::/8") }, "groups: ff00::/8 is not within 224.0.0.0/4"},
		"bits":             {func(c *PIM) { c.Groups = netip.MustParsePrefix("239.1.1.1/8") }, "groups: 239.1.1.1/8 has bits beyond its length (239.0.0.0/8?)"},
		"interface":        {func(c *PIM) { c.Interfaces = []string{"eth0 eth1"} }, `interfaces: "eth0 eth1" is no name of an interface`},
		"no interface":     {func(c *PIM) { c.Interfaces = []string{""} }, `interfaces: "" is no name of an interface`},
		"peer of IPv6":     {func(c *PIM) { c.MSDPPeers = []netip.Addr{addr("::1")} }, "msdp_peers: ::1 is no unicast IPv4 address"},
		"peer is a group":  {func(c *PIM) { c.MSDPPeers = []netip.Addr{addr("224.0.0.1")} }, "msdp_peers: 224.0.0.1 is no unicast IPv4 address"},
		"peer of zeros":    {func(c *PIM) { c.MSDPPeers = []netip.Addr{addr("0.0.0.0")} }, "msdp_peers: 0.0.0.0 is no unicast IPv4 address"},
		"second interface": {func(c *PIM) { c.Interfaces = []string{"eth0", "a/b"} }, `interfaces: "a/b" is no name of an interface`},
	} {
		t.Run(name, func(t *testing.T) {
			c := full
			tt.change(&c)
			sameError(t, c.Validate(), tt.err, "")
		})
	}
}

// FuzzPIM holds that no answer of pimd is more than an error, and no error long.
func FuzzPIM(f *testing.F) {
	for _, said := range []string{saidRPs, saidInterfaces, saidNeighbors, saidPeers, "{}", "null", `{"a":null}`, `{"a":[null]}`, `{"a":{"b":null}}`, "% Unknown command"} {
		f.Add(said)
	}
	f.Fuzz(func(t *testing.T, said string) {
		c := &PIM{RP: addr("192.0.2.53"), Groups: netip.MustParsePrefix("239.0.0.0/8"), Interfaces: []string{"eth0"}, Neighbors: 1, MSDPPeers: []netip.Addr{addr("10.9.2.2")}}
		for _, q := range c.questions() {
			s := new(Sight)
			if err := q.judge(WithSight(t.Context(), s), said); err != nil && len(err.Error()) > 2000 {
				t.Errorf("%s: %d bytes: %v", q.command, len(err.Error()), err)
			}
		}
	})
}

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
