package config

import (
	"cmp"
	"slices"
)

// Use is an entry of a service's list checks that stands for a check of the top level.
type Use struct {
	Use       string `config:"use" required:"true" doc:"Name of a check of the top level."`
	Name      string `config:"name" doc:"Name of the check in this service; that of the top level unless given."`
	OnFailure string `config:"on_failure" enum:"withdraw|degrade" doc:"What it means for this service that the check is down; what the top level says unless given."`
}

// use returns the check of the top level that an entry stands for. All that use it have its
// Checker.
func (l *loader) use(path string, raw map[string]any, common []Check) Check {
	var names []string
	for i, c := range common {
		names = append(names, entryID(c.Raw, i)) // one with a fault may have no other name
	}
	var use Use
	allowed := pick(raw, Settings(Use{}))
	l.decode(path, allowed, &use)
	l.name(path, use.Name)
	at := slices.Index(names, use.Use)
	switch {
	case l.faulty[join(path, "use")]:
		return Check{Raw: raw}
	case len(names) == 0:
		l.lacks(join(path, "use"), "no check %q: there is no list checks at the top level", use.Use)
		return Check{Raw: raw}
	case at < 0:
		l.lacks(join(path, "use"), "no check %q at the top level%s", use.Use, suggest(use.Use, names))
		return Check{Raw: raw}
	}
	l.unused(path, raw, common[at])
	c := common[at]
	c.Use, c.Name, c.OnFailure = c.Name, cmp.Or(use.Name, c.Name), cmp.Or(use.OnFailure, c.OnFailure)
	c.Raw = merge(c.Raw, raw)
	return c
}

// unused says what an entry with use has beside its own settings.
func (l *loader) unused(path string, raw map[string]any, used Check) {
	var own []string
	for _, s := range Settings(Use{}) {
		own = append(own, s.Name)
	}
	others := Settings(Check{})
	if used.Checker != nil {
		others = append(others, Settings(used.Checker)...)
	}
	for _, key := range sortedKeys(raw) {
		_, elsewhere := find(others, key)
		switch {
		case slices.Contains(own, key):
		case elsewhere:
			l.fault(join(path, key), "not with use: it is checks[%s] that says so, for all who use it", entryID(used.Raw, 0))
		default:
			l.fault(join(path, key), "no such setting%s", suggest(key, own))
		}
	}
}

// uses reports whether a service uses the check of the top level of that name.
func (c *Config) uses(name string) bool {
	return slices.ContainsFunc(c.Services, func(s Service) bool { return s.UsesCheck(name) })
}

// UsesCheck reports whether the service uses the check of the top level of that name.
func (s Service) UsesCheck(name string) bool {
	return slices.ContainsFunc(s.Checks, func(check Check) bool { return check.Use == name })
}

// Used returns the checks of the top level that services use.
func (c *Config) Used() []Check {
	return slices.DeleteFunc(slices.Clone(c.Checks), func(one Check) bool { return !c.uses(one.Name) })
}

// Runs returns how many checks run: what several services use runs once.
func (c *Config) Runs() int {
	n := len(c.Used())
	for _, s := range c.Services {
		for _, check := range s.Checks {
			if check.Use == "" {
				n++
			}
		}
	}
	return n
}

// ProbesOn returns the interface in whose VRF a check of a service probes. What several
// services use is asked where the top level says.
func (c *Config) ProbesOn(s Service, check Check) string {
	if check.Use != "" {
		return c.Interface
	}
	return cmp.Or(s.Interface, c.Interface)
}
