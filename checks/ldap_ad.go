package checks

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
)

// activeDirectory is the capability of each of its domain controllers, whether they are of
// Windows or of Samba ([MS-ADTS] section 3.1.1.3.4.3).
const activeDirectory = "1.2.840.113556.1.4.800"

// WindowsLevel is a functional level, by its number in the rootDSE ([MS-ADTS] sections
// 3.1.1.3.2.25 to 3.1.1.3.2.27); 0: any. As text it is the version of Windows Server.
type WindowsLevel int

// windowsLevels are the names by number. Those of 1, 8 and 9 never came to be, or are none
// to ask for.
func windowsLevels() []string {
	return []string{0: "any", 2: "2003", 3: "2008", 4: "2008R2", 5: "2012", 6: "2012R2", 7: "2016", 10: "2025"}
}

// UnmarshalText reads a name. A type of its own lets YAML have it without quotes.
func (w *WindowsLevel) UnmarshalText(text []byte) error {
	names := windowsLevels()
	level := slices.Index(names, string(text))
	if level < 0 || len(text) == 0 {
		known := slices.DeleteFunc(names, func(name string) bool { return name == "" })
		return fmt.Errorf("no functional level %q (known: %s)", text, strings.Join(known, ", "))
	}
	*w = WindowsLevel(level)
	return nil
}

// MarshalText returns the name.
func (w WindowsLevel) MarshalText() ([]byte, error) { return []byte(w.String()), nil }

// String returns the name.
func (w WindowsLevel) String() string { return windowsLevels()[w] }

// askController looks at the rootDSE of a domain controller, which anybody may read.
func (l *LDAP) askController(ctx context.Context, s *ldapSession) error {
	q := ldapQuery{limit: 1, attributes: []string{
		"supportedCapabilities", "dsServiceName", "dnsHostName", "isSynchronized", "isGlobalCatalogReady",
		"domainControllerFunctionality", "domainFunctionality", "forestFunctionality",
	}}
	var err error
	if q.filter, err = ldapFilter("(objectClass=*)"); err != nil {
		return err
	}
	found, err := s.search(ctx, q)
	if err != nil {
		return fmt.Errorf("searching the rootDSE: %w", err)
	}
	if len(found.entries) == 0 {
		return errors.New("the server shows no rootDSE")
	}
	root := found.entries[0]
	if s := sight(ctx); s != nil {
		for _, name := range q.attributes[1:] {
			s.saw(name, "%s", excerpt([]byte(strings.Join(root.values(name), ", "))))
		}
	}
	return l.judgeController(root)
}

// judgeController says why a domain controller is not fit.
func (l *LDAP) judgeController(root ldapEntry) error {
	if !slices.Contains(root.values("supportedCapabilities"), activeDirectory) {
		return errors.New("this is no domain controller of Active Directory: its supportedCapabilities lack " + activeDirectory)
	}
	if err := isTrue(root, "isSynchronized", "the domain controller has not finished its initial synchronization"); err != nil {
		return err
	}
	if l.catalog() {
		if err := isTrue(root, "isGlobalCatalogReady", "the global catalog is not ready, or the domain controller is none"); err != nil {
			return err
		}
	}
	return l.FunctionalLevel.judge(root)
}

// judge says what is below the level.
func (w WindowsLevel) judge(root ldapEntry) error {
	if w == 0 {
		return nil
	}
	for _, about := range [][2]string{
		{"domainControllerFunctionality", "domain controller"},
		{"domainFunctionality", "domain"},
		{"forestFunctionality", "forest"},
	} {
		name, of := about[0], about[1]
		text, err := onlyValue(root, name)
		if err != nil {
			return err
		}
		level, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("%s is %s, which is no number", name, excerpt([]byte(text)))
		}
		if level < int(w) {
			return fmt.Errorf("the functional level of the %s is too low: %s is %d, expected at least %d (%s)", of, name, level, int(w), w)
		}
	}
	return nil
}

// catalog reports whether the global catalog has to be ready.
func (l *LDAP) catalog() bool {
	_, address, _, err := l.endpoint()
	_, port, _ := net.SplitHostPort(address)
	return l.GlobalCatalog || err == nil && (port == "3268" || port == "3269")
}

// isTrue says what it means if an attribute of the rootDSE is not true.
func isTrue(root ldapEntry, name, otherwise string) error {
	value, err := onlyValue(root, name)
	if err == nil && value != "TRUE" {
		err = fmt.Errorf("%s (%s is %s)", otherwise, name, excerpt([]byte(value)))
	}
	return err
}

// onlyValue returns the value of an attribute that has one.
func onlyValue(root ldapEntry, name string) (string, error) {
	values := root.values(name)
	if len(values) != 1 {
		return "", fmt.Errorf("the rootDSE has %d values of %s, expected one", len(values), name)
	}
	return values[0], nil
}
