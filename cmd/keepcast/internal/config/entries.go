package config

import (
	"errors"
	"io/fs"
	"maps"
	"regexp"

	"github.com/keepcast/keepcast/checks"
	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/driver"
	"github.com/keepcast/keepcast/driver/kinds"
	"github.com/keepcast/keepcast/driver/trust"
)

// kernelName is what the reconciler calls its own driver.
const kernelName = "kernel"

func (l *loader) driver(path string, raw map[string]any) Driver {
	d := Driver{Raw: raw}
	kind, err := kinds.ByName(kindOf(raw))
	if err != nil {
		l.unknownKind(path, raw, err, namesOf(kinds.All(), func(k driver.Kind) string { return k.Name }))
		return d
	}
	d.Driver, d.Traits = kind.New(), kind.Traits
	l.kinded(path, raw, &d.Name, &d, d.Driver)
	if d.Name == kernelName {
		l.fault(join(path, "name"), "%q is what logs, metrics and status call the addresses that keepcast keeps in the kernel: take another name", d.Name)
	}
	return d
}

// service decodes one service. Common are the checks of the top level.
func (l *loader) service(path string, raw, defaults map[string]any, common []Check) Service {
	var s Service
	// What a service says of schedules is meant for its checks.
	schedule := Settings(health.Schedule{})
	defaults = merge(defaults, pick(raw, schedule))
	own := maps.Clone(raw)
	delete(own, "checks")
	var forChecks health.Schedule
	l.decode(path, own, &s, &forChecks)
	if !l.faulty[join(path, "addresses")] && !l.faulty[join(path, "prefixes")] {
		l.announcesAny(path, s, raw["addresses"] != nil)
	}
	defaults = l.sound(path, defaults)
	l.name(path, s.Name)
	var entries []map[string]any
	known := l.clean(func() { entries = l.entriesAt(join(path, "checks"), raw["checks"]) })
	for i, entry := range entries {
		at := join(path, "checks") + "[" + entryID(entry, i) + "]"
		if _, uses := entry["use"]; uses {
			s.Checks = append(s.Checks, l.use(at, entry, common))
			continue
		}
		s.Checks = append(s.Checks, l.check(at, merge(defaults, entry)))
	}
	if known {
		l.required(path, s)
	}
	return s
}

// announcesAny checks that the service has something to announce.
func (l *loader) announcesAny(path string, s Service, written bool) {
	switch {
	case len(s.Addresses)+len(s.Prefixes) > 0:
	case written:
		l.fault(join(path, "addresses"), "required, but the list is empty")
	default:
		l.lacks(join(path, "addresses"), "required, but missing: a service has addresses, prefixes, or both")
	}
}

// required checks that the service can be fit and unfit at all.
func (l *loader) required(path string, s Service) {
	if len(s.Checks) == 0 {
		l.lacks(join(path, "checks"), "required, but missing: without a check the service could never be announced")
		return
	}
	withdrawing := 0
	for _, c := range s.Checks {
		if !c.Degrades() {
			withdrawing++
		}
	}
	switch need := s.Require.Needed(withdrawing); {
	case withdrawing == 0:
		l.lacks(join(path, "checks"), "no check withdraws the service when it fails: add one, or leave out on_failure: degrade")
	case need > withdrawing:
		l.lacks(join(path, "require"), "%d checks required, but only %d with on_failure: withdraw", need, withdrawing)
	}
}

func (l *loader) check(path string, raw map[string]any) Check {
	c := Check{Raw: raw}
	kind, err := checks.KindByName(kindOf(raw))
	if err != nil {
		l.unknownKind(path, raw, err, namesOf(checks.Kinds(), func(k checks.Kind) string { return k.Name }))
		return c
	}
	c.Checker = kind.New()
	valid := l.clean(func() { l.kinded(path, raw, &c.Name, &c, c.Checker) })
	if timed, ok := c.Checker.(checks.Timed); ok && valid {
		if err := timed.ValidateWithin(c.Timeout); err != nil {
			l.fault(path, "%v", err)
		}
	}
	if periodic, ok := c.Checker.(checks.Periodic); ok && valid {
		if err := periodic.ValidateEvery(c.Interval); err != nil {
			l.fault(path, "%v", err)
		}
	}
	return c
}

// kinded decodes an entry into what all kinds have in common and what its own
// kind has, which may have rules between its settings.
func (l *loader) kinded(path string, raw map[string]any, name *string, common, own any) {
	valid := l.clean(func() { l.decode(path, raw, common, own) })
	if *name == "" {
		*name = kindOf(raw)
	}
	l.name(path, *name)
	if v, ok := own.(interface{ Validate() error }); ok && valid {
		if err := v.Validate(); err != nil && !l.elsewhere(err) {
			l.fault(path, "%v", err)
		}
	}
}

// elsewhere reports whether an error is about a file that is not for this host.
func (l *loader) elsewhere(err error) bool {
	_, distrusted := errors.AsType[trust.Violations](err)
	return l.offline && (distrusted || errors.Is(err, fs.ErrNotExist))
}

func kindOf(raw map[string]any) string {
	kind, _ := raw["kind"].(string)
	return kind
}

// unknownKind says that no kind has that name. Where one is near, the list of all is not.
func (l *loader) unknownKind(path string, raw map[string]any, err error, known []string) {
	if raw["kind"] == nil {
		l.lacks(join(path, "kind"), "required, but missing")
		return
	}
	if hint := suggest(kindOf(raw), known); hint != "" {
		l.fault(join(path, "kind"), "no kind %q%s", kindOf(raw), hint)
		return
	}
	l.fault(join(path, "kind"), "%v", err)
}

func namesOf[K any](kinds []K, name func(K) string) (names []string) {
	for _, k := range kinds {
		names = append(names, name(k))
	}
	return names
}

// names are what may end up in a BIRD or FRR file.
var names = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)

// maxName is what the name of a file may have (NAME_MAX).
const maxName = 255

func (l *loader) name(path, name string) {
	switch {
	case name == "":
	case !names.MatchString(name):
		l.fault(join(path, "name"), "%q is no name: letters, digits, '.', '-' and '_' only, beginning with a letter or digit", name)
	case len(name) > maxName:
		l.fault(join(path, "name"), "%d letters are too many: %d at most, for a file of that name drains the service", len(name), maxName)
	}
}
