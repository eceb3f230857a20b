package checks

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keepcast/keepcast/driver/drivertest"
)

func TestLDAPSlapd(t *testing.T) {
	noLeaks(t)
	s := startSlapd(t)
	people, probe := "ou=people,dc=example,dc=com", "uid=probe,ou=people,dc=example,dc=com"
	other, _ := selfSigned(t)
	filter := `(&(objectClass=person)(|(uid=pro*)(uid=*x*y))(!(uid=other))(cn=the \28one\29 \2A *)(mail~=probe@example.com)(mail=*)` +
		`(createTimestamp>=20000101000000Z)(createTimestamp<=29990101000000Z)(ou:dn:=people)(sn:caseIgnoreMatch:=probe\5C)(:dn:caseIgnoreMatch:=people))`
	for name, tt := range map[string]struct {
		change func(*LDAP)
		err    string
	}{
		"rootDSE": {change: func(l *LDAP) { l.Attributes = []string{`supportedldapversion=^3$`, `namingContexts=^dc=example`} }},
		"version": {
			change: func(l *LDAP) { l.Attributes = []string{`supportedLDAPVersion=^2$`} },
			err:    `ADDR: searching the rootDSE: no supportedLDAPVersion in "" matches '^2$', got "3"`,
		},
		"search": {change: func(l *LDAP) {
			l.Base, l.Scope, l.MinEntries, l.Attributes = people, "one", 2, []string{"mail=@example", "cn=^Die Sonde$"}
		}},
		"filter":       {change: func(l *LDAP) { l.Base, l.Scope, l.Filter, l.Attributes = people, "sub", filter, []string{"mail"} }},
		"with options": {change: func(l *LDAP) { l.Base, l.Attributes = probe, []string{"CN;lang-de=Sonde"} }},
		"other name": {
			change: func(l *LDAP) { l.Base, l.Attributes = probe, []string{"commonName", "2.5.4.4"} },
			err:    `ADDR: searching "` + probe + `": no commonName in "` + probe + `": it is not there, or there is no right to read it, or under another name (there are "cn, sn")`,
		},
		"no match": {
			change: func(l *LDAP) { l.Base, l.Attributes = probe, []string{"cn=^nobody$"} },
			err:    `ADDR: searching "` + probe + `": no cn in "` + probe + `" matches '^nobody$', got "The (one) * probe", "Die Sonde"`,
		},
		"no right": {
			change: func(l *LDAP) { l.Base, l.Attributes = probe, []string{"userPassword"} },
			err:    `ADDR: searching "` + probe + `": no userPassword in "` + probe + `": it is not there, or there is no right to read it`,
		},
		"nothing": {
			change: func(l *LDAP) { l.Base, l.Filter = probe, "(uid=x)" },
			err:    `ADDR: searching "` + probe + `": got 0 entries, expected at least 1`,
		},
		"no such": {
			change: func(l *LDAP) { l.Base = "ou=none," + people },
			err:    `ADDR: searching "ou=none,` + people + `": no such object (32): it is not there, or there is no right to see it: only "` + people + `" is there`,
		},
		"hidden": {
			change: func(l *LDAP) { l.Base = "ou=hidden,dc=example,dc=com" },
			err:    `ADDR: searching "ou=hidden,dc=example,dc=com": no such object (32): it is not there, or there is no right to see it`,
		},
		"no dn": {
			change: func(l *LDAP) { l.Base = "people,dc=example,dc=com" },
			err:    `ADDR: searching "people,dc=example,dc=com": invalid DN (34): "invalid DN"`,
		},
		"elsewhere": {
			change: func(l *LDAP) { l.Base = "dc=example,dc=org" },
			err:    `ADDR: searching "dc=example,dc=org": referral (10): the server does not hold this part of the tree: see "ldap://other.example.net/dc=example,dc=org??base"`,
		},
		"continuation": {
			change: func(l *LDAP) { l.Base, l.Scope, l.Filter = "dc=example,dc=com", "one", "(ou=elsewhere)" },
			err:    `ADDR: searching "dc=example,dc=com": got 0 entries, expected at least 1: it refers to "ldap://other.example.net/ou=elsewhere,dc=example,dc=com??base", which is not followed`,
		},
		"size limit": {
			change: func(l *LDAP) { l.Base, l.Scope, l.MinEntries = "dc=example,dc=com", "sub", 5 },
			err:    `ADDR: searching "dc=example,dc=com": got 3 entries, expected at least 5: the server does not give more at once (4)`,
		},
		"size limit of enough": {change: func(l *LDAP) { l.Base, l.Scope, l.MinEntries = "dc=example,dc=com", "sub", 3 }},
		"backend away": {
			change: func(l *LDAP) { l.Base = "dc=away,dc=example,dc=com" },
			err:    `ADDR: searching "dc=away,dc=example,dc=com": unavailable (52): the server starts or shuts down, or its backend is away: "Proxy can't contact remote server"`,
		},
		"tls wanted": {
			change: func(l *LDAP) { l.Base = "dc=strict,dc=example,dc=com" },
			err:    `ADDR: searching "dc=strict,dc=example,dc=com": confidentiality required (13): the server wants transport: tls or starttls: "confidentiality required"`,
		},
		"restricted": {
			change: func(l *LDAP) { l.Base = "dc=shut,dc=example,dc=com" },
			err:    `ADDR: searching "dc=shut,dc=example,dc=com": unwilling to perform (53): "operation restricted"`,
		},
		"simple": {change: func(l *LDAP) { l.Bind, l.BindDN, l.PasswordFile = "simple", probe, secretFile(t, "swordfish\n") }},
		"simple over starttls": {change: func(l *LDAP) {
			l.Transport, l.TLS.CA, l.Bind, l.BindDN, l.PasswordFile = "starttls", s.cert, "simple", probe, secretFile(t, "swordfish\r\n")
		}},
		"simple, no dn": {
			change: func(l *LDAP) { l.Bind, l.BindDN, l.PasswordFile = "simple", "probe", secretFile(t, "swordfish") },
			err:    `ADDR: binding as "probe": invalid DN (34): "invalid DN"`,
		},
		"ldaps": {change: func(l *LDAP) { l.Address, l.Transport, l.TLS.CA = s.tls, "tls", s.cert }},
		"ldaps, other ca": {
			change: func(l *LDAP) { l.Address, l.Transport, l.TLS.CA = s.tls, "tls", other },
			err:    `ADDR: tls handshake: tls: failed to verify certificate: x509: certificate signed by unknown authority (possibly because of "x509: ECDSA verification failure" while trying to verify candidate authority certificate "keepcast"); tls.ca sets whom to trust`,
		},
		"starttls, other ca": {
			change: func(l *LDAP) { l.Transport, l.TLS.CA = "starttls", other },
			err:    `ADDR: tls handshake: tls: failed to verify certificate: x509: certificate signed by unknown authority (possibly because of "x509: ECDSA verification failure" while trying to verify candidate authority certificate "keepcast"); tls.ca sets whom to trust`,
		},
		"plain to ldaps": {
			change: func(l *LDAP) { l.Address = s.tls },
			err:    `ADDR: searching the rootDSE: closed by the other side`,
		},
		"ldapi":              {change: func(l *LDAP) { l.Address = s.unix }},
		"external by socket": {change: func(l *LDAP) { l.Address, l.Bind, l.Base = s.unix, "external", "ou=hidden,dc=example,dc=com" }},
		"external by certificate": {change: func(l *LDAP) {
			l.Transport, l.TLS = "starttls", TLS{CA: s.cert, Cert: s.cert, Key: s.key}
			l.Bind, l.Base = "external", "ou=hidden,dc=example,dc=com"
		}},
		"no domain controller": {
			change: func(l *LDAP) { l.Preset = "active-directory" },
			err:    `ADDR: this is no domain controller of Active Directory: its supportedCapabilities lack 1.2.840.113556.1.4.800`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := ldapOf(s.tcp)
			tt.change(l)
			if err := l.Validate(); err != nil {
				t.Fatal(err)
			}
			sameError(t, l.Check(within(t)), tt.err, l.Address)
		})
	}
	drivertest.Eventually(t, "slapd has read the whole filter", func() bool { return strings.Contains(s.log.String(), `filter="`+filter+`"`) })
	t.Run("password", func(t *testing.T) { s.refuse(t, probe) })
	drivertest.Eventually(t, "each session ends by an unbind", func() bool {
		used, ended := map[string]bool{}, map[string]bool{}
		for _, m := range regexp.MustCompile(`(conn=\d+) op=\d+ (SRCH base|BIND dn|UNBIND)`).FindAllStringSubmatch(s.log.String(), -1) {
			used[m[1]], ended[m[1]] = true, ended[m[1]] || m[2] == "UNBIND"
		}
		return len(used) > 0 && !slices.Contains(slices.Collect(maps.Values(ended)), false)
	})
	hangs(t, "slapd", ldapOf(s.tcp).Check, "ADDR: searching the rootDSE: timed out", s.tcp)
}

// refuse has slapd refuse a password again and again. Its policy locks the account after three.
func (s *slapd) refuse(t *testing.T, name string) {
	l := ldapOf(s.tcp)
	l.Bind, l.BindDN, l.PasswordFile = "simple", name, secretFile(t, "hunter2")
	text := `ADDR: binding as "` + name + `": invalid credentials (49): there is no such account, the password is wrong, or the account is locked; ` +
		`the password is not sent again for 1m0s, unless ` + l.PasswordFile + ` changes`
	for range 5 {
		sameError(t, l.Check(within(t)), text, l.Address)
	}
	l.refused.Load().until = time.Now() // the pause is over
	sameError(t, l.Check(within(t)), text, l.Address)
	drivertest.Eventually(t, "slapd was asked twice", func() bool { return strings.Count(s.log.String(), "err=49") == 2 })
	drivertest.WriteFile(t, l.PasswordFile, "swordfish\n")
	sameError(t, l.Check(within(t)), "", l.Address)
	if l.refused.Load() != nil {
		t.Error("a password that is taken is still held")
	}
}
