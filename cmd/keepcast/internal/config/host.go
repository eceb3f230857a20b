package config

import (
	"errors"

	"github.com/keepcast/keepcast/driver/pace"
	"github.com/keepcast/keepcast/driver/trust"
)

// host finds what is wrong with the files of this host that checks and drivers need:
// programs, certificates. They are no part of the configuration. A start does not fail for
// want of one, for that would withdraw every service, not one; but whoever validates or
// reloads is there to be told. It looks at nothing in which another fault is.
func (l *loader) host(c *Config) {
	looks := []look{notDead("drain_directory", c.DrainDir), notDead("template_directory", c.TemplateDir)}
	if c.TemplateDir != "" {
		for _, path := range replacements(c.TemplateDir) {
			looks = append(looks, notDead("template_directory", path))
		}
	}
	l.lookAt(looks)
	for _, d := range c.Drivers {
		l.needs("drivers["+d.Name+"]", d.Driver)
	}
	for _, check := range c.Checks {
		l.needs("checks["+check.Name+"]", check.Checker)
	}
	for _, s := range c.Services {
		if s.Name == "" {
			continue // what is wrong with its checks is not known
		}
		for _, check := range s.Checks {
			if check.Use == "" {
				l.needs("services["+s.Name+"].checks["+check.Name+"]", check.Checker)
			}
		}
	}
}

// notDead is the look whether what may be missing is a link that leads nowhere: who made it
// means something by it.
func notDead(name, path string) look {
	return look{name, path, func() string { return leadsNowhere(path) }}
}

// needs looks at what one entry needs, if it names anything. Behind the first one that hangs
// it looks at no other: there may be hundreds of them on the same file system.
func (l *loader) needs(path string, entry any) {
	h, ok := entry.(interface {
		Host() func() ([]string, error)
	})
	if !ok || l.faulty[path] || l.stuck {
		return
	}
	look := h.Host()
	if look == nil {
		return
	}
	programs, err := pace.Answer(pace.Patience, look)
	if err != nil {
		l.fault(path, "%v", err)
	}
	l.stuck = errors.Is(err, pace.ErrHangs)
	for _, program := range programs {
		l.distrust(path, trust.Program(program))
	}
}
