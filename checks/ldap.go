package checks

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"
)

func init() {
	register(Kind{
		Name: "ldap",
		Doc: "Binds to an LDAP server, searches, and looks at the entries that it finds; by default at the rootDSE, which needs no account. " +
			"Over TCP, TLS, StartTLS or a unix socket (LDAPI). `preset: active-directory` asks a domain controller whether it has " +
			"synchronized, whether its global catalog is ready and at which functional level it is. Neither referrals nor aliases are followed. " +
			"A server that locks accounts out counts a wrong password each time: see `password_pause`.",
		Example: "address: 127.0.0.1\nbase: ou=people,dc=example,dc=com\nscope: one\nfilter: (uid=probe)\nattributes: [mail=@example\\.com$]\n",
		New:     func() Checker { return new(LDAP) },
		AtOnce:  stopsListening,
	})
}

// LDAP is fit when a directory takes the bind, if one is asked for, and a search finds what
// it has to find (RFC 4511).
type LDAP struct {
	Address          string        `config:"address" required:"true" doc:"An address or a host, with or without a port, or the path of a unix socket, as in '/run/slapd/ldapi'. The port is 389, or 636 with 'transport: tls'; with 'global_catalog' it is 3268 or 3269."`
	Transport        string        `config:"transport" default:"tcp" enum:"tcp|tls|starttls" doc:"Plain TCP, TLS from the start (LDAPS), or TLS after StartTLS. A unix socket has 'tcp', that is, no TLS."`
	Bind             string        `config:"bind" default:"none" enum:"none|simple|external" doc:"How to log in: not at all, by a name and a password, or by SASL EXTERNAL, as the user of keepcast over a unix socket or as the one that 'tls.cert' names."`
	BindDN           string        `config:"bind_dn" doc:"Name to log in by, for 'bind: simple': a DN, or what else the server takes, as in 'probe@example.com'."`
	PasswordFile     string        `config:"password_file" doc:"File with the password, for 'bind: simple'. It is read for every run, and only keepcast should be able to. A line break at the end is no part of the password."`
	PasswordPause    time.Duration `config:"password_pause" default:"1m" min:"1s" doc:"How long a password that the server refused (49) is not sent again, unless the file has another one by then. Until then every run fails with the same error, without asking the server, so one refusal makes the check down. A server that locks accounts out counts each try of each check, also on other hosts: make it so long that they do not add up to a lock-out."`
	InsecurePassword bool          `config:"insecure_password" doc:"Send the password over plain TCP also to an address that is not loopback. Whoever is on the way can read it. An anycast address that is probed on its own host is such an address, too; what is sent to it does not leave the host."`
	Base             string        `config:"base" doc:"DN where the search begins. Empty: the rootDSE, the server's description of itself."`
	Scope            string        `config:"scope" default:"base" enum:"base|one|sub" doc:"Search the base itself, the entries right below it, or the base and all below it."`
	Filter           string        `config:"filter" default:"(objectClass=*)" doc:"Which entries to find (RFC 4515), as in '(&(objectClass=person)(uid=probe))'."`
	Attributes       []string      `config:"attributes" doc:"Attributes that the entries must have, each 'NAME', or 'NAME=REGEXP' where the expression must match one of its values. Of several entries one that has it is enough."`
	MinEntries       int           `config:"min_entries" default:"1" min:"0" max:"1000" doc:"How many entries the search must find at least. No more than these, or 100, are asked for."`
	Preset           string        `config:"preset" default:"none" enum:"none|active-directory" doc:"With 'active-directory' the server must be a domain controller of Active Directory that has finished its initial synchronization. That is asked before the bind. A search follows if there is a 'base', another 'scope' than 'base', or 'attributes'."`
	GlobalCatalog    bool          `config:"global_catalog" doc:"The global catalog must be ready, for 'preset: active-directory'. With the ports 3268 and 3269 it must be in any case."`
	FunctionalLevel  WindowsLevel  `config:"functional_level" default:"any" doc:"Least functional level of the domain controller, its domain and its forest, for 'preset: active-directory': any, 2003, 2008, 2008R2, 2012, 2012R2, 2016 or 2025."`
	TLS              TLS           `config:"tls" doc:"How to speak TLS, for 'transport: tls' and 'transport: starttls'."`

	refused atomic.Pointer[refusedPassword]
}

// leastEntries is the least that the size limit of a search is. More than one entry helps
// where only some have an attribute.
const leastEntries = 100

// Validate implements Validator.
func (l *LDAP) Validate() error {
	if strings.Contains(l.Address, "://") {
		return fmt.Errorf("address: %q is a URL: write what is behind //, and set transport", l.Address)
	}
	if _, _, _, err := l.endpoint(); err != nil {
		return err
	}
	switch {
	case l.unix() && l.Transport != "tcp":
		return fmt.Errorf("transport: no %s over a unix socket", l.Transport)
	case l.Transport == "tcp" && l.TLS.isSet():
		return errors.New("tls: only with transport: tls or transport: starttls")
	case l.Base != "" && !strings.Contains(l.Base, "="):
		return fmt.Errorf("base: %q is no DN, as in ou=people,dc=example,dc=com", l.Base)
	case l.Scope == "base" && l.MinEntries > 1:
		return errors.New("min_entries: a search with scope: base finds one entry at most")
	case l.Preset == "none" && l.GlobalCatalog:
		return errors.New("global_catalog: only with preset: active-directory")
	case l.Preset == "none" && l.FunctionalLevel != 0:
		return errors.New("functional_level: only with preset: active-directory")
	}
	if err := l.validateBind(); err != nil {
		return err
	}
	if _, err := ldapFilter(l.Filter); err != nil {
		return fmt.Errorf("filter: %w", err)
	}
	if _, err := l.attributes(); err != nil {
		return err
	}
	return l.TLS.Validate()
}

// endpoint returns where to connect to, and the host of it, for TLS.
func (l *LDAP) endpoint() (network, address, host string, err error) {
	if l.unix() {
		return "unix", l.Address, "", nil
	}
	port := "389"
	switch {
	case l.GlobalCatalog && l.Transport == "tls":
		port = "3269"
	case l.GlobalCatalog:
		port = "3268"
	case l.Transport == "tls":
		port = "636"
	}
	host, address, err = withPort("address", l.Address, port)
	return "tcp", address, host, err
}

// unix reports whether the address is the path of a socket.
func (l *LDAP) unix() bool { return strings.HasPrefix(l.Address, "/") }

// Target implements Aimed.
func (l *LDAP) Target() netip.Addr {
	_, _, host, err := l.endpoint()
	if err != nil {
		return netip.Addr{}
	}
	return literal(host)
}

// Host implements Hosted.
func (l *LDAP) Host() func() ([]string, error) {
	return l.TLS.hostWith(l.PasswordFile, func() error {
		_, err := l.password()
		return err
	})
}

// Check implements Checker.
func (l *LDAP) Check(ctx context.Context) error {
	if err := l.talk(ctx); err != nil {
		return fmt.Errorf("%s: %w", l.Address, err)
	}
	return nil
}

func (l *LDAP) talk(ctx context.Context) error {
	password, err := l.credentials(ctx)
	if err != nil {
		return err
	}
	s, done, err := l.open(ctx)
	if err != nil {
		return err
	}
	defer done()
	s.hide = password
	if l.Preset == "active-directory" {
		if err := l.askController(ctx, s); err != nil {
			return err
		}
	}
	if err := l.bind(ctx, s, password); err != nil {
		return err
	}
	if l.Preset == "active-directory" && l.Base == "" && l.Scope == "base" && len(l.Attributes) == 0 {
		return nil
	}
	if err := l.search(ctx, s); err != nil {
		return fmt.Errorf("searching %s: %w", l.place(), err)
	}
	return nil
}

// open connects. The function that it returns tells the server that the session ends, and
// closes the connection.
func (l *LDAP) open(ctx context.Context) (s *ldapSession, done func(), err error) {
	network, address, host, err := l.endpoint()
	if err != nil {
		return nil, nil, err
	}
	var atOnce, later *tls.Config
	if l.Transport != "tcp" {
		if later, err = l.TLS.config(host); err != nil {
			return nil, nil, err
		}
	}
	if l.Transport == "tls" {
		atOnce = later
	}
	conn, err := connect(ctx, network, address, atOnce)
	if err != nil {
		return nil, nil, err
	}
	closeNow := closeWith(ctx, conn)
	s = newLDAPSession(conn)
	if l.Transport == "starttls" {
		if err := s.startTLS(ctx, later); err != nil {
			s.unbind()
			closeNow()
			return nil, nil, err
		}
	}
	return s, func() { s.unbind(); closeNow() }, nil
}

// search looks for the entries.
func (l *LDAP) search(ctx context.Context, s *ldapSession) error {
	wanted, err := l.attributes()
	if err != nil {
		return err
	}
	q, err := l.query(wanted)
	if err != nil {
		return err
	}
	found, err := s.search(ctx, q)
	if err != nil {
		return err
	}
	const shown = 5
	for _, e := range found.entries[:min(len(found.entries), shown)] {
		sight(ctx).saw("entry", "%s", quotation(e.dn))
	}
	sight(ctx).saw("found", "%d entries, %d references to other servers", len(found.entries), len(found.references))
	return found.judge(l.MinEntries, wanted)
}

// query is what to search for.
func (l *LDAP) query(wanted []ldapAttribute) (q ldapQuery, err error) {
	q = ldapQuery{base: l.Base, limit: max(l.MinEntries, leastEntries)}
	q.scope = map[string]int{"base": 0, "one": 1, "sub": 2}[l.Scope]
	for _, a := range wanted {
		q.attributes = append(q.attributes, a.name)
	}
	q.filter, err = ldapFilter(l.Filter)
	return q, err
}

// place words where the search begins.
func (l *LDAP) place() string {
	if l.Base == "" && l.Scope == "base" {
		return "the rootDSE"
	}
	return fmt.Sprintf("%q", l.Base)
}
