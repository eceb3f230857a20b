// Package frr drives FRR and Quagga, which share most of their code. Each of their
// daemons is a row of a table (spec) that says what it is told, what it is asked, and
// what is found about it. The differences between FRR and Quagga that apply to all
// daemons are a dialect.
package frr

import (
	"time"

	"github.com/keepcast/keepcast/driver"
)

// frrTemplate is what the snippet of FRR is rendered from.
const frrTemplate = "frr.conf.tmpl"

// Kind is the kind of driver that a configuration names frr.
func Kind() driver.Kind {
	return driver.Kind{
		Name: "frr",
		Doc: "Drives FRR (8.4 and later) over the vty socket of each of its daemons. " +
			"In bgpd it keeps the `network` lines of the announced prefixes. The operator configures `router bgp` and its neighbors. " +
			"For `prepend` the eBGP neighbors need `route-map KEEPCAST-EBGP out`. " +
			"Each service is announced in the instance of the VRF that its interface is in. " +
			"In ospfd, ospf6d, isisd, ripd and ripngd it keeps the route-maps `KEEPCAST` (IPv4) and `KEEPCAST6` (IPv6), which permit the announced prefixes and nothing else. " +
			"The operator adds `redistribute connected route-map KEEPCAST` once (in isisd: `redistribute ipv4 connected level-2 route-map KEEPCAST`). " +
			"For `prefixes`, each of which is a static route to `blackhole`, add the same with `static`. " +
			"babeld, and ripngd before FRR 10, can't filter what they redistribute. There the operator adds `distribute-list prefix KEEPCAST out` (`ipv6 distribute-list prefix KEEPCAST6 out`) for each interface. " +
			"babeld does not tell its neighbors that an address is gone: they drop it when it is no longer repeated. It cannot degrade an address. " +
			"ospf6d, ripd and ripngd take up to 5 s (RIP: its update interval) for a change that leaves the address on the host. " +
			"`write memory` also saves what is announced at that moment. After a reboot FRR announces it again until keepcast has started: an address as soon as it is there, one of `prefixes` at once. " +
			"Nothing else in FRR is touched.",
		Example:  "daemons: [bgpd]\nsnippet: /var/lib/keepcast/frr.conf\n",
		New:      func() driver.Driver { return newFRR() },
		Template: driver.Template{Name: frrTemplate, Doc: "The snippet of the driver `frr`.", Data: frrData{}},
		Starter:  frrStarter(),
		Traits:   driver.Traits{NeedsPrefixRoute: true}, // from FRR 10 on
	}
}

// FRR drives the daemons of one FRR.
type FRR struct {
	Directory string        `config:"directory" default:"/run/frr" doc:"Directory of the daemons' vty sockets (bgpd.vty and so on); of an FRR started with -N NAME, /run/frr/NAME. keepcast needs to be in group frrvty."`
	Snippet   string        `config:"snippet" default:"/var/lib/keepcast/frr.conf" doc:"File for people that shows what FRR should have now. No daemon reads it."`
	Daemons   []string      `config:"daemons" default:"bgpd" doc:"The daemons to drive: bgpd, ospfd (IPv4), ospf6d (IPv6), isisd, ripd (IPv4), ripngd (IPv6), babeld. An address counts as announced once each of them that carries its family has it."`
	Timeout   time.Duration `config:"timeout" default:"5s" min:"100ms" max:"1m" doc:"How long a daemon may take to answer."`

	suite
}

func newFRR() *FRR {
	f := new(FRR)
	f.suite = suite{dialect: frrDialect(), settings: func() settings {
		return settings{directory: f.Directory, snippet: f.Snippet, daemons: f.Daemons, timeout: f.Timeout}
	}}
	return f
}
