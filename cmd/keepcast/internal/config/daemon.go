package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/keepcast/keepcast/driver/kinds"
	"github.com/keepcast/keepcast/driver/pace"
	"github.com/keepcast/keepcast/driver/trust"
)

// daemon checks what a run would fail on for itself, whatever the services are. A setting
// that is wrong by itself is not looked at.
func (l *loader) daemon(m Main) {
	if why := interfaceFault(m.Interface); why != "" && !l.faulty["interface"] {
		l.fault("interface", "%s", why)
	}
	if err := listenable(m.Listen); err != nil {
		l.fault("listen", "%v", err)
	}
	l.lookAt(slices.Concat(
		l.socket("control_socket", m.ControlSocket),
		l.directory("runtime_directory", m.RuntimeDir, true),
		l.directory("state_directory", m.StateDir, true),
		l.directory("drain_directory", m.DrainDir, false),
		l.directory("template_directory", m.TemplateDir, false),
	))
	l.templates(m.TemplateDir)
}

// templates checks that nobody else wrote what replaces an embedded template.
func (l *loader) templates(dir string) {
	if dir == "" || l.offline || l.unfit("template_directory") {
		return
	}
	for _, path := range replacements(dir) {
		_, err := trust.ReadFile(path)
		if l.distrust("template_directory", err); errors.Is(err, pace.ErrHangs) {
			l.hangs("template_directory", dir)
			return
		}
	}
}

// replacements are the files of a directory that replace an embedded template, if they are
// there.
func replacements(dir string) (paths []string) {
	for _, k := range kinds.All() {
		if strings.HasSuffix(k.Template.Name, ".tmpl") { // the others have no name of their own
			paths = append(paths, filepath.Join(dir, k.Template.Name))
		}
	}
	return paths
}

// interfaceName is what the kernel takes (at most IFNAMSIZ-1 bytes), less what
// would need quoting in a daemon's configuration.
var interfaceName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,14}$`)

// interfaceFault says why no interface can have that name; empty: one can.
func interfaceFault(name string) string {
	switch {
	case !interfaceName.MatchString(name):
		return fmt.Sprintf("%q is no name of an interface: up to 15 letters, digits, '.', '-', '_' and ':'", name)
	case name == "all" || name == "default":
		return fmt.Sprintf("%q is no name of an interface: the kernel has its sysctls for every interface under it", name)
	}
	return ""
}

// hostName is a name that can be looked up; one without a letter would be an address.
var hostName = regexp.MustCompile(`^[A-Za-z0-9_.-]*[A-Za-z][A-Za-z0-9_.-]*$`)

// listenable says what is wrong with an address to listen on; empty: none is meant.
func listenable(address string) error {
	if address == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(address)
	if wrong, ok := errors.AsType[*net.AddrError](err); ok {
		return fmt.Errorf("%q: %s: host:port expected, such as 127.0.0.1:9911 or [::1]:9911", address, wrong.Err)
	}
	if _, err := net.LookupPort("tcp", port); err != nil || port == "" {
		return fmt.Errorf("%q: %q is no port: a number up to 65535 expected", address, port)
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" && !hostName.MatchString(host) {
		return fmt.Errorf("%q: %q is neither an address nor the name of a host", address, host)
	}
	return nil
}

// notAbsolute is what is wrong with a path that depends on where a command is started.
const notAbsolute = "%q does not begin with /: keepcast and its commands would each look in the directory that they were started in"

// maxSocketPath is what fits into the address of a unix socket, with the NUL after it.
const maxSocketPath = len(syscall.RawSockaddrUnix{}.Path) - 1

// socket checks the path of a socket, and returns the look at its directory.
func (l *loader) socket(name, path string) []look {
	switch {
	case l.faulty[name]:
	case path == "":
		l.fault(name, "empty: without it no command could speak to keepcast")
	case !filepath.IsAbs(path):
		l.fault(name, notAbsolute, path)
	case len(path) > maxSocketPath:
		l.fault(name, "%d bytes are too many for the path of a socket, which has %d at most: move it to a shorter one, such as /run/%s", len(path), maxSocketPath, filepath.Base(path))
	default:
		return l.directory(name, filepath.Dir(path), true)
	}
	return nil
}

// directory returns the look whether a path is a directory, or can become one.
func (l *loader) directory(name, path string, needed bool) []look {
	switch {
	case l.faulty[name]:
	case path == "" && needed:
		l.fault(name, "empty: the path of a directory expected")
	case path != "" && !filepath.IsAbs(path):
		l.fault(name, notAbsolute, path)
	case path != "" && !l.offline:
		return []look{{name, path, func() string { return noDirectory(path, needed) }}}
	}
	return nil
}

// look is one look at what a setting names.
type look struct {
	name, path string
	what       func() string // what is wrong with it; empty: nothing
}

// lookAt looks side by side: nobody waits for one file system that hangs after the other.
// What names no path, has a fault already, or did not answer before, is not looked at.
func (l *loader) lookAt(all []look) {
	all = slices.DeleteFunc(all, func(one look) bool { return one.path == "" || l.unfit(one.name) })
	whys, errs := make([]string, len(all)), make([]error, len(all))
	_ = pace.SideBySide(all, func(i int, one look) error { // each has its error
		whys[i], errs[i] = pace.Answer(pace.Patience, func() (string, error) { return one.what(), nil })
		return nil
	})
	for i, one := range all {
		switch {
		case l.unfit(one.name): // what is wrong with a setting is said once
		case errs[i] != nil:
			l.hangs(one.name, one.path)
		case whys[i] != "":
			l.fault(one.name, "%s", whys[i])
		}
	}
}

// unfit reports whether it makes no sense to look at what a setting names.
func (l *loader) unfit(name string) bool { return l.faulty[name] || l.hung[name] }

// hangs notes that a file system does not answer. Who is there to be told is told. A start
// and all else go on: what is there is not known, and may be right.
func (l *loader) hangs(name, path string) {
	if l.hung == nil {
		l.hung = map[string]bool{}
	}
	l.hung[name] = true
	if l.strict {
		l.fault(name, "%s: %v", path, pace.ErrHangs)
	}
}

// noDirectory says why a path neither is a directory nor can become one; empty: it is, or
// nobody can tell.
func noDirectory(path string, needed bool) string {
	if why := leadsNowhere(path); why != "" && needed {
		return why
	}
	for at := filepath.Clean(path); at != "/" && at != "."; at = filepath.Dir(at) {
		if info, err := os.Stat(at); err == nil && !info.IsDir() {
			return at + " is a file, not a directory"
		}
	}
	return ""
}
