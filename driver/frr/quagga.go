package frr

import (
	"time"

	"github.com/keepcast/keepcast/driver"
)

// quaggaTemplate is what the snippet of Quagga is rendered from.
const quaggaTemplate = "quagga.conf.tmpl"

// QuaggaKind is the kind of driver that a configuration names quagga.
func QuaggaKind() driver.Kind {
	return driver.Kind{
		Name: "quagga",
		Doc: "Drives Quagga (1.2) over the vty socket of each of its daemons. The address decides everywhere. keepcast keeps the route-maps " +
			"`KEEPCAST` (IPv4) and `KEEPCAST6` (IPv6), which permit the announced prefixes and nothing else. " +
			"In bgpd and ospfd the operator adds `redistribute connected route-map KEEPCAST` once. For attributes add in bgpd `neighbor A route-map KEEPCAST-EBGP out` " +
			"(`KEEPCAST-OUT` towards iBGP, `KEEPCAST6-EBGP` and `KEEPCAST6-OUT` in `address-family ipv6`). " +
			"Each neighbor needs `advertisement-interval 1` (with 0, bgpd spins at 100 % CPU). " +
			"In isisd the interface of the addresses runs IS-IS passively, and keepcast loads nothing: a redistributed route would never leave the LSP. " +
			"Large communities cannot be set. The `prefixes` of a service are `network` lines in bgpd, which needs no route for them.",
		Example:  "daemons: [bgpd]\nas: 65001\nsnippet: /var/lib/keepcast/quagga.conf\n",
		New:      func() driver.Driver { return newQuagga() },
		Template: driver.Template{Name: quaggaTemplate, Doc: "The snippet of the driver `quagga`.", Data: quaggaData{}},
		Starter:  quaggaStarter(),
		Traits:   driver.Traits{FollowsAddress: true},
	}
}

// Quagga drives the daemons of one Quagga.
type Quagga struct {
	Directory string        `config:"directory" default:"/run/quagga" doc:"Directory of the daemons' vty sockets (bgpd.vty and so on). keepcast needs to be in group quaggavty."`
	Snippet   string        `config:"snippet" default:"/var/lib/keepcast/quagga.conf" doc:"File for people that shows what Quagga should have now. No daemon reads it."`
	Daemons   []string      `config:"daemons" default:"bgpd" doc:"The daemons to drive: bgpd, ospfd (IPv4), isisd. An address counts as announced once each of them that carries its family has it."`
	AS        uint32        `config:"as" default:"0" min:"0" max:"4294967295" doc:"The own AS number, which the route-map KEEPCAST-EBGP prepends to the path where prepend says so; 0 prepends nothing."`
	Timeout   time.Duration `config:"timeout" default:"5s" min:"100ms" max:"1m" doc:"How long a daemon may take to answer, and another vty session may hold the lock of its configuration."`

	suite
}

func newQuagga() *Quagga {
	q := new(Quagga)
	q.suite = suite{dialect: quaggaDialect(), settings: func() settings {
		return settings{directory: q.Directory, snippet: q.Snippet, daemons: q.Daemons, timeout: q.Timeout, as: q.AS}
	}}
	return q
}
