package config

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"github.com/keepcast/keepcast/checks"
	"github.com/keepcast/keepcast/driver"
)

// across checks what can only be seen over the whole configuration.
func (l *loader) across(c *Config) {
	if len(c.Drivers) == 0 && !c.ManageAddresses {
		l.lacks("drivers", "no driver, and manage_addresses is false: nothing would ever be announced or withdrawn")
	}
	l.apart(c)
	l.uses(c)
	l.dependencies(c)
	taken := map[string]string{} // prefixes and addresses by their service
	for _, s := range c.Services {
		for i, a := range s.Addresses {
			if !a.IsValid() {
				continue
			}
			// Two services with one announced prefix could not be told apart by a router.
			for _, key := range slices.Compact([]string{a.Masked().String(), a.Addr().String()}) {
				if o, ok := taken[key]; ok && (o != s.Name || key == a.Addr().String()) {
					l.fault(fmt.Sprintf("services[%s].addresses[%d]", s.Name, i), "%s is taken by services[%s]: an address belongs to one service", key, o)
					break
				}
				taken[key] = s.Name
			}
		}
	}
	for _, s := range c.Services {
		for i, p := range s.Prefixes {
			if o, ok := taken[p.String()]; ok && p.IsValid() {
				l.fault(fmt.Sprintf("services[%s].prefixes[%d]", s.Name, i), "%s is announced for services[%s] already: a prefix is announced for one service, once", p, o)
			}
			taken[p.String()] = s.Name
		}
	}
}

// apart checks that no two drivers write one file or speak to one daemon: each
// would undo what the other does, for ever.
func (l *loader) apart(c *Config) {
	taken := map[string]string{} // paths by their driver
	for _, d := range c.Drivers {
		e, ok := d.Driver.(driver.Examiner)
		if !ok {
			continue
		}
		needs := e.Places()
		for i, path := range slices.Concat(needs.Files, needs.Sockets) {
			if path == "" { // what was written there is a fault
				continue
			}
			path = filepath.Clean(path)
			o, shared := taken[path]
			if !shared {
				taken[path] = d.Name
			}
			if !shared || o == d.Name {
				continue
			}
			text := "%s is the socket of drivers[%s] already: a daemon has one driver"
			if i < len(needs.Files) {
				text = "%s is written by drivers[%s] already: each driver has a file of its own"
			}
			l.fault("drivers["+d.Name+"]", text, path, o)
		}
	}
}

// uses checks that what services name is there.
func (l *loader) uses(c *Config) {
	var known []string
	for _, d := range c.Drivers {
		known = append(known, d.Name)
	}
	for _, s := range c.Services {
		path := "services[" + s.Name + "]"
		for i, name := range s.Drivers {
			if !slices.Contains(known, name) {
				l.lacks(fmt.Sprintf("%s.drivers[%d]", path, i), "no driver %q%s", name, suggest(name, known))
			}
		}
		if len(s.Prefixes) > 0 && len(c.Drivers) == 0 {
			l.lacks(path+".prefixes", "no driver is configured, and the kernel alone announces no prefix of a daemon")
		}
		l.limits(c, s, path)
		l.comesBack(c, s, path)
		l.holds(s, path)
		if why := interfaceFault(s.Interface); s.Interface != "" && why != "" {
			l.fault(path+".interface", "%s", why)
		}
	}
}

// limits checks that the drivers of a service can announce its prefixes.
func (l *loader) limits(c *Config, s Service, path string) {
	for i, p := range s.Prefixes {
		for _, d := range c.Drivers {
			limited, ok := d.Driver.(driver.Limited)
			if !ok || !s.Uses(d.Name) {
				continue
			}
			if err := limited.Refuses(p.Prefix); err != nil {
				l.fault(fmt.Sprintf("%s.prefixes[%d]", path, i), "drivers[%s] can't announce %s: %v", d.Name, p, err)
			}
		}
	}
}

// comesBack checks that a service which is withdrawn can be announced again: a check must not
// need what the withdrawal takes away.
func (l *loader) comesBack(c *Config, s Service, path string) {
	if !c.ManageAddresses {
		return
	}
	stuck := map[string]string{} // checks, and why
	withdrawing := 0
	for _, check := range s.Checks {
		if check.Degrades() {
			continue
		}
		withdrawing++
		if why := s.needsItself(check, cmp.Or(s.Interface, c.Interface)); why != "" {
			stuck[check.Name] = why
		}
	}
	if s.Require.Needed(withdrawing) <= withdrawing-len(stuck) {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(stuck)) {
		l.fault(path+".checks["+name+"]", "%s", stuck[name])
	}
}

// needsItself says why a check fails for as long as the service is withdrawn; empty: it does not.
// While the service is off the host, the guard refuses to probe its address.
func (s Service) needsItself(check Check, on string) string {
	own := func(a netip.Addr) bool {
		return slices.ContainsFunc(s.Addresses, func(o Address) bool { return o.Addr() == a })
	}
	if a, ok := check.Checker.(*checks.Address); ok && own(a.Address) && (a.Interface == "" || a.Interface == on) {
		return "waits for an address of the service itself, which is on " + on + " only while the service is not withdrawn: " +
			"it could never be announced. Look for another address of this host, or leave out the check"
	}
	if p, ok := check.Checker.(*checks.PIM); ok && own(p.RP) {
		return "takes this host for the RP only while the address is on it, and it is an address of the service itself, which is off while that is withdrawn: " +
			"it could never be announced. Have the address on the host for good, and set manage_addresses: false"
	}
	if aimed, ok := check.Checker.(checks.Aimed); ok && s.Absent() && own(aimed.Target()) {
		return "probes an address of the service itself, which is off the host while the service is withdrawn (while_withdrawn: absent): " +
			"it could never be announced. Probe another address of this host, such as 127.0.0.1, or leave out while_withdrawn: absent"
	}
	return ""
}

// holds checks that the first hold-down of a service is not cut to the longest one. What
// several services inherit is said once.
func (l *loader) holds(s Service, path string) {
	if s.HoldDown <= s.HoldDownMax {
		return
	}
	setting := "hold_down"
	for _, own := range []string{"hold_down_max", "hold_down"} {
		if _, written := l.where[strings.ToLower(join(path, own))]; written {
			setting = join(path, own)
		}
	}
	if !l.faulty[setting] {
		l.fault(setting, "hold_down, %v, is above hold_down_max, %v: a hold-down is never longer than that, so raise hold_down_max", s.HoldDown, s.HoldDownMax)
	}
}
