package howto

import (
	"testing"

	"github.com/miekg/dns"

	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// noWayOut is a network without a way out, which is no reason to withdraw.
var noWayOut = found{"resolver/resolves": "asking 192.0.2.53"}

func TestUnbound(t *testing.T) {
	onHost(t, "unbound", func(h *host) {
		h.example("unbound.conf", "/etc/unbound/unbound.conf.d/anycast.conf")
		h.sh("/usr/libexec/unbound-helper root_trust_anchor_update") // as its unit does
		unbound := h.starts("unbound", "-dd")
		h.listens("192.0.2.53:53", "[2001:db8:53::53]:53")
		h.keepcast("resolver.yaml")
		h.lives(unbound, noWayOut)
	})
}

// TestDNSDist shows, too, that the check tells of dnsdist alone.
func TestDNSDist(t *testing.T) {
	onHost(t, "dnsdist", func(h *host) {
		h.example("dnsdist.conf", "/etc/dnsdist/dnsdist.conf")
		h.write("/etc/behind.conf", `server:
  interface: 198.51.100.11
  access-control: 0.0.0.0/0 allow
  local-zone: health.example.com static
  local-data: "health.example.com A 192.0.2.1"
`)
		h.sh("ip address add 198.51.100.11/24 dev eth0")
		behind := h.starts("unbound", "-dd", "-c", "/etc/behind.conf")
		dnsdist := h.starts("dnsdist", "--supervised", "--disable-syslog")
		h.listens("192.0.2.53:53", "[2001:db8:53::53]:53")
		h.keepcast("resolver.yaml")
		h.comesAndGoes(noWayOut)
		behind.stop()
		h.says("nobody is behind it", noWayOut)
		h.stops(dnsdist)
	})
}

// TestBIND shows, too, why the page wants the address on lo: BIND listens there only while it
// is on an interface.
func TestBIND(t *testing.T) {
	onHost(t, "named knotd", func(h *host) {
		h.example("named.conf", "/etc/bind/named.conf")
		h.sh("mkdir -m 775 /run/named; chgrp bind /run/named")
		h.primary()
		bind := h.starts("named", "-u", "bind", "-g")
		drivertest.Eventually(t, "BIND has the zone", func() bool { return serialAt(own) > 0 })
		h.keepcast("authoritative.yaml")
		refused := found{"authoritative/zone": "connection refused", "authoritative/signed": "connection refused"}
		h.says("on no interface", refused)
		h.presence(driver.Announced)
		h.says("on an interface", nil)
		h.presence(driver.Delivered)
		h.says("on no interface any more", refused)
		h.sh("ip address add 192.0.2.153/32 dev lo")
		h.secondary(bind)
	})
}

func TestNSD(t *testing.T) {
	onHost(t, "nsd knotd", func(h *host) {
		h.example("nsd.conf", "/etc/nsd/nsd.conf.d/anycast.conf")
		h.sh("install -d -o nsd /run/nsd")
		h.primary()
		h.secondary(h.starts("nsd", "-d", "-P", ""))
	})
}

func TestKnot(t *testing.T) {
	onHost(t, "knotd", func(h *host) {
		h.example("knot.conf", "/etc/knot/knot.conf")
		h.sh("install -d -o knot /run/knot")
		h.primary()
		h.secondary(h.starts("knotd"))
	})
}

func TestPowerDNS(t *testing.T) {
	onHost(t, "pdns_server knotd", func(h *host) {
		h.example("pdns.conf", "/etc/powerdns/pdns.d/anycast.conf")
		h.example("pdns-zones.conf", "/etc/powerdns/named.conf")
		h.sh("install -d -o pdns /run/pdns")
		h.sh("runuser -u pdns -- pdnsutil create-bind-db /var/lib/powerdns/zones.slave.d/dnssec.db")
		h.primary()
		h.secondary(h.starts("pdns_server", "--guardian=no", "--daemon=no", "--disable-syslog", "--write-pid=no", "--setuid=pdns", "--setgid=pdns"))
	})
}

// The addresses of the secondary and of its primary.
const own, master = "198.51.100.1", "198.51.100.10"

// zone is that of the primary, which counts its serial on by itself.
const zone = "@ 300 IN SOA ns.example. host.example. 10 3600 600 86400 300\n@ NS ns.example.\n"

// primary starts a primary that signs the zone.
func (h *host) primary() {
	h.Helper()
	h.write("/var/primary/example.com.zone", zone)
	h.write("/etc/primary.conf", `
server:
  rundir: /var/primary
  listen: 198.51.100.10@53
log:
  - target: stderr
    any: info
database:
  storage: /var/primary
remote:
  - id: secondary
    address: 198.51.100.1
    via: 198.51.100.10
acl:
  - id: all
    address: 0.0.0.0/0
    action: transfer
zone:
  - domain: example.com
    storage: /var/primary
    file: example.com.zone
    zonefile-sync: -1
    zonefile-load: difference-no-serial
    journal-content: all
    dnssec-signing: on
    notify: secondary
    acl: all
`)
	h.sh("ip address add 198.51.100.10/24 dev eth0")
	h.starts("knotd", "-c", "/etc/primary.conf")
	drivertest.Eventually(h, "the primary has the zone", func() bool { return serialAt(master) > 0 })
}

// secondary is lives for a secondary, which learns by NOTIFY what is new at the primary.
func (h *host) secondary(s *server) {
	h.Helper()
	h.listens("192.0.2.153:53", own+":53")
	h.keepcast("authoritative.yaml")
	h.comesAndGoes(nil)
	old := serialAt(own)
	h.write("/var/primary/example.com.zone", zone+"www A 192.0.2.80\n")
	h.sh("knotc -s /var/primary/knot.sock zone-reload example.com")
	drivertest.Eventually(h, "the secondary has what is new", func() bool { return serialAt(own) > old })
	h.stops(s)
}

// serialAt returns the serial of the zone at a server, 0 if it has none.
func serialAt(server string) uint32 {
	answer, err := dns.Exchange(new(dns.Msg).SetQuestion("example.com.", dns.TypeSOA), server+":53")
	if err != nil || len(answer.Answer) == 0 {
		return 0
	}
	soa, is := answer.Answer[0].(*dns.SOA)
	if !is {
		return 0
	}
	return soa.Serial
}
