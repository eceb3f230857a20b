// Package config holds what an operator may write: the one declaration of every
// setting, how it is read from the files, what is wrong with it, and the
// reference and the JSON Schema that follow from it.
package config

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/keepcast/keepcast/checks"
	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/driver"
)

// Config is a whole, valid configuration.
type Config struct {
	Main
	Drivers  []Driver
	Services []Service
	Checks   []Check  // of the top level, for services to use
	Files    []string // the files it came from, in the order they were read
	// Text returns all of it as one file, which Load reads like those that it came from.
	Text func() ([]byte, error)
}

// Main holds the settings at the top level, beside the lists.
type Main struct {
	Interface       string `config:"interface" default:"anycast0" change:"restart" doc:"The interface that carries the addresses. A dummy interface of that name is made if there is none; an existing interface of any type is used as it is."`
	ManageAddresses bool   `config:"manage_addresses" default:"true" change:"restart" doc:"Whether keepcast puts the addresses on the interface. With false somebody else does, and only the daemons' gates open and close."`
	Listen          string `config:"listen" default:"127.0.0.1:9911" change:"restart" doc:"Address and port of the read-only HTTP server with /metrics, /healthz, /readyz and /v1/status; empty: none."`
	ControlSocket   string `config:"control_socket" default:"/run/keepcast/keepcast.sock" change:"restart" doc:"Unix socket that the commands talk to; for root and the group keepcast."`
	RuntimeDir      string `config:"runtime_directory" default:"/run/keepcast" change:"restart" doc:"Directory for what must survive a restart, not a reboot."`
	StateDir        string `config:"state_directory" default:"/var/lib/keepcast" change:"restart" doc:"Directory for what must survive a reboot: the drains, and the configuration that was in force last (last-good.yaml)."`
	DrainDir        string `config:"drain_directory" default:"/etc/keepcast/drain.d" change:"restart" doc:"A file in it that is named like a service drains that service as long as it is there; its first line is shown as the reason. Empty: none."`
	TemplateDir     string `config:"template_directory" default:"/etc/keepcast/templates" change:"restart" doc:"A file in it that is named like an embedded template (bird.conf.tmpl, frr.conf.tmpl) replaces it."`
	OnStop          string `config:"on_stop" default:"auto" change:"reload" enum:"auto|withdraw|keep" doc:"What a stop does: withdraw (drain for linger, then exit), keep (leave all as it is), or auto: keep when systemd restarts the unit, else withdraw."`
	OnCrash         string `config:"on_crash" default:"withdraw" change:"reload" enum:"withdraw|keep" doc:"What the fail-safe does once systemd no longer restarts keepcast: withdraw everything, or keep the host as it is. Until then a crash changes nothing."`
	OnBadConfig     string `config:"on_bad_configuration" default:"last-good" change:"reload" enum:"last-good|exit" doc:"What a start with files that are not valid does: go on with the configuration that was in force last, and say so in log, status and metrics, or exit. It is taken from that configuration. Where there is none, or it is not valid either, keepcast exits, and the fail-safe withdraws everything."`
	LogLevel        string `config:"log_level" default:"info" change:"reload" enum:"debug|info|warn|error" doc:"The least level that is logged; debug shows every check."`
	Policy
}

// Policy says how a service moves between its states. At the top level it holds
// the defaults of all services.
type Policy struct {
	Linger         time.Duration `config:"linger" default:"10s" min:"0s" max:"1h" doc:"How long a service is draining before it is withdrawn or keepcast stops: packets that arrive while the network converges are served. An address that leaves the configuration is delivered for as long. What comes after it is set by while_withdrawn."`
	WhileWithdrawn string        `config:"while_withdrawn" default:"deliver" enum:"deliver|absent" doc:"Whether packets for a withdrawn address that still reach this host are delivered locally. With deliver, a service that binds to the address can restart. With absent, delivery ends after linger: for hosts whose own clients should then reach another host. Checks then have to probe another address of the host."`
	OnVoid         string        `config:"on_void" default:"keep" enum:"keep|withdraw" doc:"What it means that keepcast itself could not run a check for 30 s, for want of descriptors, processes, memory or processor time, or since the address is not on this host. With keep, what is announced stays, and what is not does not come. With withdraw, the check counts as down."`
	HoldDown       time.Duration `config:"hold_down" default:"0s" min:"0s" max:"1h" doc:"The least time that a service stays withdrawn after a failure. It doubles with each further failure within hold_down_max, so that no router upstream damps the prefix as one that flaps."`
	HoldDownMax    time.Duration `config:"hold_down_max" default:"5m" min:"0s" max:"24h" doc:"The longest hold-down; at least hold_down. A service that has not failed for so long begins again with hold_down."`

	Announce driver.Attributes `config:"announce" doc:"What an address is announced with while its service is fit. A backup site announces with prepend, for example. What is not set here is left to the daemon."`
	Degraded driver.Attributes `config:"degraded" default:"{med: 1000, local_pref: 50, prepend: 2, metric: 20000}" doc:"What an address is announced with while its service is degraded, so that other hosts are preferred. A setting that is not written has its default."`
}

// Driver is one entry of the list drivers.
type Driver struct {
	Name          string `config:"name" doc:"Name in logs, metrics and status; the kind unless given."`
	Kind          string `config:"kind" required:"true" doc:"Kind of driver."`
	Driver        driver.Driver
	driver.Traits                // those of the kind
	Raw           map[string]any // as written, to tell whether a reload changed it
}

// Service is one entry of the list services.
type Service struct {
	Name      string    `config:"name" required:"true" doc:"Name of the service: letters, digits, dots, dashes and underscores."`
	Addresses []Address `config:"addresses" doc:"The anycast addresses; at least one, unless there are prefixes. With a length, such as 203.0.113.1/24, that address is put on the interface and its network, 203.0.113.0/24, is announced; without, a /32 or /128."`
	Prefixes  []Prefix  `config:"prefixes" doc:"Prefixes that the routing daemon originates itself, such as a covering /24 or /48, or the default route (0.0.0.0/0, ::/0). They are announced as long as the service is. Only the gate of the daemon opens and closes for them; no address is put on the interface."`
	Interface string    `config:"interface" doc:"The interface that carries the addresses of this service; that of the top level unless given."`
	Drivers   []string  `config:"drivers" doc:"The names of the drivers that announce this service; all unless given."`
	DependsOn []string  `config:"depends_on" doc:"The names of services of this host that this one can't do without. It is fit only while each of them is fit. That one of them is drained or held down does not count."`
	Require   Require   `config:"require" default:"all" doc:"How many of the checks with on_failure: withdraw must be up: all, any, or a number."`
	Policy
	Checks []Check
}

// Check is one entry of a service's list checks.
type Check struct {
	Name      string `config:"name" doc:"Name in logs, metrics and status; the kind unless given. Unique in its service."`
	Kind      string `config:"kind" required:"true" doc:"Kind of check."`
	OnFailure string `config:"on_failure" default:"withdraw" enum:"withdraw|degrade" doc:"What it means that this check is down: withdraw the service, or announce it with worse attributes so that other hosts are preferred."`
	health.Schedule
	Use     string // the check of the top level that it is; empty: none
	Checker checks.Checker
	Raw     map[string]any // as written, with what it inherits
}

// Degrades reports whether a failure of the check degrades, not withdraws.
func (c Check) Degrades() bool { return c.OnFailure == "degrade" }

// WithdrawsOnVoid reports whether a check that keepcast can't run counts as down.
func (p Policy) WithdrawsOnVoid() bool { return p.OnVoid == "withdraw" }

// Absent reports whether a withdrawn address is taken off the host altogether.
func (p Policy) Absent() bool { return p.WhileWithdrawn == "absent" }

// ServiceByName returns the service of that name, or an error that names the one that may be meant.
func (c *Config) ServiceByName(name string) (*Service, error) {
	var names []string
	for i := range c.Services {
		if c.Services[i].Name == name {
			return &c.Services[i], nil
		}
		names = append(names, c.Services[i].Name)
	}
	return nil, fmt.Errorf("no service %q%s", name, Hint(name, "configured", names))
}

// Address is an anycast address with its length: the host bits stay.
type Address struct{ netip.Prefix }

// Syntax names the type in the reference.
func (Address) Syntax() string { return "address[/length]" }

// UnmarshalText reads 192.0.2.53, 203.0.113.1/24 or 2001:db8:53::53.
func (a *Address) UnmarshalText(text []byte) error {
	s := string(text)
	if !strings.Contains(s, "/") {
		addr, err := netip.ParseAddr(s)
		if err != nil {
			return fmt.Errorf("%q is no address", s)
		}
		a.Prefix = netip.PrefixFrom(addr.WithZone(""), addr.BitLen())
		return announceable(addr, addr.BitLen())
	}
	prefix, err := netip.ParsePrefix(s)
	if err != nil {
		return fmt.Errorf("%q is no address with a length", s)
	}
	a.Prefix = prefix
	return announceable(prefix.Addr(), prefix.Bits())
}

// Prefix is one of the prefixes of a service: it has no host bits.
type Prefix struct{ netip.Prefix }

// Syntax names the type in the reference.
func (Prefix) Syntax() string { return "prefix/length" }

// UnmarshalText reads 203.0.113.0/24 or 2001:db8::/48.
func (n *Prefix) UnmarshalText(text []byte) error {
	p, err := netip.ParsePrefix(string(text))
	if err != nil {
		return fmt.Errorf("%q is no prefix with its length, such as 203.0.113.0/24", text)
	}
	if p != p.Masked() {
		return fmt.Errorf("%s has host bits: the prefix is %s", p, p.Masked())
	}
	n.Prefix = p
	switch {
	case p.Bits() == 0:
		return nil // the default route stands for no address
	case p.IsSingleIP():
		return announceable(p.Addr(), p.Bits())
	}
	return announceable(p.Addr().Next(), p.Bits()) // any address of it tells
}

// Require is how many checks must be up: a number, or all of them.
type Require struct {
	n int // 0: all
}

// Syntax names the type in the reference.
func (Require) Syntax() string { return "all, any or a number" }

// UnmarshalText reads all, any or a number from 1.
func (r *Require) UnmarshalText(text []byte) error {
	switch s := string(text); s {
	case "all":
		r.n = 0
	case "any":
		r.n = 1
	default:
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return fmt.Errorf("%q: all, any or a number from 1 expected", s)
		}
		r.n = n
	}
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (r Require) MarshalText() ([]byte, error) {
	switch r.n {
	case 0:
		return []byte("all"), nil
	case 1:
		return []byte("any"), nil
	}
	return []byte(strconv.Itoa(r.n)), nil
}

// Needed returns how many of so many checks must be up.
func (r Require) Needed(checks int) int {
	if r.n == 0 {
		return checks
	}
	return r.n
}

// Notes are remarks that are no faults: addresses that a standard names, checks that nobody
// uses.
func (c *Config) Notes() []string {
	var notes []string
	for _, s := range c.Services {
		for _, a := range s.Addresses {
			if name := Reserved(a.Prefix); name != "" {
				notes = append(notes, fmt.Sprintf("note: services[%s]: %s is %s", s.Name, a.Addr(), name))
			}
		}
	}
	for _, one := range c.Checks {
		if !c.uses(one.Name) {
			notes = append(notes, fmt.Sprintf("note: checks[%s]: no service uses it, so it does not run", one.Name))
		}
	}
	return notes
}

// DefaultOf returns the default of a setting at the top level.
func DefaultOf(name string) string {
	s, ok := find(Settings(Main{}), name)
	if !ok {
		panic("config: no setting " + name)
	}
	return s.Default
}
