package checks

import (
	"net/netip"
	"path/filepath"
	"strings"
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
