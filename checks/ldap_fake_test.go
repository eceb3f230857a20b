package checks

import (
	"encoding/asn1"
	"encoding/binary"
	"net"
	"strings"
	"testing"
)

// spelled encodes an element as Active Directory does: each length in four bytes.
func spelled(tag byte, parts ...[]byte) []byte {
	var value []byte
	for _, p := range parts {
		value = append(value, p...)
	}
	return append(binary.BigEndian.AppendUint32([]byte{tag, 0x84}, uint32(len(value))), value...)
}

func octets(s string) []byte { return spelled(0x04, []byte(s)) }

// reply encodes a message of the server.
func reply(id int, operation []byte) []byte {
	return spelled(0x30, spelled(0x02, []byte{byte(id)}), operation)
}

// ended encodes the end of an operation.
func ended(tag byte, code int, diagnostic string, more ...[]byte) []byte {
	return spelled(tag, append([][]byte{spelled(0x0a, []byte{byte(code)}), octets(""), octets(diagnostic)}, more...)...)
}

// entry encodes an entry. Each attribute is "name=value".
func entry(dn string, attributes ...string) []byte {
	var all [][]byte
	for _, a := range attributes {
		name, value, _ := strings.Cut(a, "=")
		all = append(all, spelled(0x30, octets(name), spelled(0x31, octets(value))))
	}
	return spelled(0x64, octets(dn), spelled(0x30, all...))
}

// ldapScript is what a fake directory answers to each operation.
type ldapScript map[byte]func(id int) []byte

// always answers with these operations.
func always(operations ...[]byte) func(id int) []byte {
	return func(id int) []byte {
		var out []byte
		for _, op := range operations {
			out = append(out, reply(id, op)...)
		}
		return out
	}
}

// raw answers with these bytes.
func raw(said string) func(int) []byte { return func(int) []byte { return []byte(said) } }

// serve answers. What it is asked is read by encoding/asn1, so that a mistake of ours is
// not made twice. It returns the operations that it was asked for.
func (s ldapScript) serve(c net.Conn) (asked []byte) {
	defer c.Close()
	var got []byte
	for buf := make([]byte, 4096); ; {
		n, err := c.Read(buf)
		if err != nil {
			return asked
		}
		var message struct {
			ID        int
			Operation asn1.RawValue
		}
		got = append(got, buf[:n]...)
		rest, err := asn1.Unmarshal(got, &message)
		if err != nil {
			continue // not all of it is there
		}
		got = rest
		tag := message.Operation.FullBytes[0]
		asked = append(asked, tag)
		if answer, known := s[tag]; known {
			c.Write(answer(message.ID))
		}
	}
}

// controller is the rootDSE of a domain controller as Samba 4.17 shows it, with changes.
func controller(changes ...string) []byte {
	at := []string{
		"supportedCapabilities=1.2.840.113556.1.4.800",
		"dsServiceName=CN=NTDS Settings,CN=VM,CN=Servers,CN=Default-First-Site-Name,CN=Sites,CN=Configuration,DC=ad,DC=example,DC=com",
		"dnsHostName=vm.ad.example.com", "isSynchronized=TRUE", "isGlobalCatalogReady=TRUE",
		"domainControllerFunctionality=7", "domainFunctionality=7", "forestFunctionality=4",
	}
	for _, change := range changes {
		name, value, _ := strings.Cut(change, "=")
		for i := range at {
			if strings.HasPrefix(at[i], name+"=") {
				at[i] = change
				if value == "" {
					at[i] = "none=none"
				}
			}
		}
	}
	return entry("", at...)
}

func TestLDAPFake(t *testing.T) {
	const bind, search, extended = 0x60, 0x63, 0x77
	done := ended(0x65, 0, "")
	found := func(entries ...[]byte) ldapScript { return ldapScript{search: always(append(entries, done)...)} }
	refused := func(code int, diagnostic string) ldapScript {
		return ldapScript{bind: always(ended(0x61, code, diagnostic))}
	}
	login := func(l *LDAP) { l.Bind, l.BindDN, l.PasswordFile = "simple", "probe@ad", secretFile(t, "swordfish") }
	directory := func(l *LDAP) { l.Preset = "active-directory" }
	for name, tt := range map[string]struct {
		serve  ldapScript
		change func(*LDAP)
		asked  string // the operations; empty: whatever they are
		err    string
	}{
		"fit":        {serve: found(entry("")), asked: "\x63\x42"},
		"no entries": {serve: found(), err: "ADDR: searching the rootDSE: got 0 entries, expected at least 1", asked: "\x63\x42"},
		"any number": {serve: found(), change: func(l *LDAP) { l.MinEntries = 0 }},
		"all in turn": {
			serve:  ldapScript{bind: always(ended(0x61, 0, "")), search: always(controller(), done)},
			change: func(l *LDAP) { login(l); directory(l); l.Attributes = []string{"dnsHostName=^vm"} },
			asked:  "\x63\x60\x63\x42",
		},
		"between": {serve: found(spelled(0x79), spelled(0x73, octets("ldap://b"))), err: `ADDR: searching the rootDSE: got 0 entries, expected at least 1: it refers to "ldap://b", which is not followed`},
		"some have it": {
			serve:  found(entry("a", "cn=a"), entry("b", "MEMBER;lang-en=b")),
			change: func(l *LDAP) { l.Scope, l.Attributes = "sub", []string{"member=^b$"} },
		},
		"none has it": {
			serve:  found(entry("a", "cn=a"), entry("b", "cn=b"), entry("c", "cn=c"), entry("d", "cn=d"), entry("e", "cn=e"), entry("f", "cn=f")),
			change: func(l *LDAP) { l.Scope, l.Attributes = "sub", []string{"cn=^x"} },
			err:    `ADDR: searching "": no cn in 6 entries matches '^x', got "a", "b", "c", "d", "e", and 1 more`,
		},
		"secret": {
			serve:  found(entry("a", "unicodePwd=x")),
			change: func(l *LDAP) { l.Attributes = []string{"unicodePwd=y"} },
			err:    `ADDR: searching the rootDSE: no unicodePwd in "a" matches 'y', got xxxxx`,
		},

		"locked":       {serve: refused(49, "80090308: LdapErr: DSID-0C090449, comment: AcceptSecurityContext error, data 775, v4563\x00"), change: login, asked: "\x60\x42", err: `ADDR: binding as "probe@ad": invalid credentials (49): the account is locked: "80090308: LdapErr: DSID-0C090449, comment: AcceptSecurityContext error, data 775, v4563"; the password is not sent again for 1m0s, unless FILE changes`},
		"strange data": {serve: refused(49, "AcceptSecurityContext error, data 1"), change: login, err: `ADDR: binding as "probe@ad": invalid credentials (49): there is no such account, the password is wrong, or the account is locked: "AcceptSecurityContext error, data 1"; the password is not sent again for 1m0s, unless FILE changes`},
		"repeats it":   {serve: refused(53, "no swordfish, please"), change: login, err: `ADDR: binding as "probe@ad": unwilling to perform (53): "no xxxxx, please"`},
		"busy":         {serve: refused(51, ""), change: login, err: `ADDR: binding as "probe@ad": busy (51)`},
		"no rights":    {serve: ldapScript{search: always(ended(0x65, 50, ""))}, err: `ADDR: searching the rootDSE: insufficient access rights (50)`},
		"slow":         {serve: ldapScript{search: always(ended(0x65, 3, ""))}, err: `ADDR: searching the rootDSE: time limit exceeded (3): the server did not end the search in time`},
		"own code":     {serve: ldapScript{search: always(ended(0x65, 123, ""))}, err: `ADDR: searching the rootDSE: failed (123)`},
		"referral":     {serve: ldapScript{search: always(ended(0x65, 10, "", spelled(0xa3, octets("ldap://b"), octets("ldap://c"))))}, err: `ADDR: searching the rootDSE: referral (10): the server does not hold this part of the tree: see "ldap://b"`},

		"controller":       {serve: found(controller()), change: directory, asked: "\x63\x42"},
		"and below":        {serve: ldapScript{search: always(controller(), done)}, change: func(l *LDAP) { directory(l); l.Scope = "sub" }, asked: "\x63\x63\x42"},
		"catalog":          {serve: found(controller()), change: func(l *LDAP) { directory(l); l.GlobalCatalog, l.FunctionalLevel = true, 4 }},
		"not synchronized": {serve: found(controller("isSynchronized=FALSE")), change: directory, err: `ADDR: the domain controller has not finished its initial synchronization (isSynchronized is "FALSE")`},
		"nothing of it":    {serve: found(controller("isSynchronized=")), change: directory, err: `ADDR: the rootDSE has 0 values of isSynchronized, expected one`},
		"catalog builds":   {serve: found(controller("isGlobalCatalogReady=FALSE")), change: func(l *LDAP) { directory(l); l.GlobalCatalog = true }, err: `ADDR: the global catalog is not ready, or the domain controller is none (isGlobalCatalogReady is "FALSE")`},
		"catalog unwanted": {serve: found(controller("isGlobalCatalogReady=FALSE")), change: directory},
		"forest too old":   {serve: found(controller()), change: func(l *LDAP) { directory(l); l.FunctionalLevel = 7 }, err: `ADDR: the functional level of the forest is too low: forestFunctionality is 4, expected at least 7 (2016)`},
		"far too old":      {serve: found(controller("domainFunctionality=0")), change: func(l *LDAP) { directory(l); l.FunctionalLevel = 2 }, err: `ADDR: the functional level of the domain is too low: domainFunctionality is 0, expected at least 2 (2003)`},
		"no number":        {serve: found(controller("domainControllerFunctionality=x")), change: func(l *LDAP) { directory(l); l.FunctionalLevel = 2 }, err: `ADDR: domainControllerFunctionality is "x", which is no number`},
		"no controller":    {serve: found(entry("", "supportedCapabilities=1.2.840.113556.1.4.1851")), change: directory, err: `ADDR: this is no domain controller of Active Directory: its supportedCapabilities lack 1.2.840.113556.1.4.800`},
		"no rootDSE":       {serve: found(), change: directory, err: `ADDR: the server shows no rootDSE`},
		"controller busy":  {serve: ldapScript{search: always(ended(0x65, 51, ""))}, change: directory, err: `ADDR: searching the rootDSE: busy (51)`},

		"no starttls":   {serve: ldapScript{extended: always(ended(0x78, 52, "no certificate"))}, change: func(l *LDAP) { l.Transport = "starttls" }, asked: "\x77\x42", err: `ADDR: starttls: unavailable (52): the server starts or shuts down, or its backend is away: "no certificate"`},
		"injected":      {serve: ldapScript{extended: always(ended(0x78, 0, ""), done)}, change: func(l *LDAP) { l.Transport = "starttls" }, err: `ADDR: starttls: the server goes on without TLS`},
		"no handshake":  {serve: ldapScript{extended: always(ended(0x78, 0, ""))}, change: func(l *LDAP) { l.Transport, l.TLS.SkipVerify = "starttls", true }, err: `ADDR: tls handshake: timed out`},
		"says nothing":  {serve: ldapScript{}, err: `ADDR: searching the rootDSE: timed out`},
		"half":          {serve: ldapScript{search: always(entry(""))}, err: `ADDR: searching the rootDSE: timed out`},
		"garbage":       {serve: ldapScript{search: raw("SSH-2.0-OpenSSH\r\n")}, err: `ADDR: searching the rootDSE: the answer is not LDAP: "SSH-2.0-OpenSSH"`},
		"indefinite":    {serve: ldapScript{search: raw("\x30\x80\x00\x00")}, err: `ADDR: searching the rootDSE: the answer is malformed`},
		"much too long": {serve: ldapScript{search: raw("\x30\x84\x7f\xff\xff\xff")}, err: `ADDR: searching the rootDSE: the answer has more than 1048576 bytes`},
		"empty":         {serve: ldapScript{search: raw("\x30\x00")}, err: `ADDR: searching the rootDSE: the answer is malformed`},
		"bad entry":     {serve: found(spelled(0x64, octets("a"))), err: `ADDR: searching the rootDSE: the answer is malformed`},
		"bad values":    {serve: found(spelled(0x64, octets("a"), spelled(0x30, spelled(0x30, octets("cn"), spelled(0x31, spelled(0x02)))))), err: `ADDR: searching the rootDSE: the answer is malformed`},
		"bad end":       {serve: ldapScript{search: always(spelled(0x65))}, err: `ADDR: searching the rootDSE: the answer is malformed`},
		"bad bind":      {serve: ldapScript{bind: always(spelled(0x61))}, change: login, err: `ADDR: binding as "probe@ad": the answer is malformed`},
		"other answer":  {serve: ldapScript{search: always(ended(0x61, 0, ""))}, err: `ADDR: searching the rootDSE: the server answers a search with the operation 0x61`},
		"other to bind": {serve: ldapScript{bind: always(done)}, change: login, err: `ADDR: binding as "probe@ad": the server answers with the operation 0x65, not 0x61`},
		"other id":      {serve: ldapScript{search: func(id int) []byte { return reply(id+1, done) }}, err: `ADDR: searching the rootDSE: the answer has the id 2, not 1`},
		"shuts down":    {serve: ldapScript{search: func(int) []byte { return reply(0, ended(0x78, 52, "bye")) }}, err: `ADDR: searching the rootDSE: the server ends the connection: unavailable (52): the server starts or shuts down, or its backend is away: "bye"`},
		"too many":      {serve: ldapScript{search: func(id int) []byte { return []byte(strings.Repeat(string(reply(id, entry(""))), 102)) }}, err: `ADDR: searching the rootDSE: the server sends more than the 100 entries that it was asked for`},
		"too much": {serve: ldapScript{search: func(id int) []byte {
			return []byte(strings.Repeat(string(reply(id, entry("", "a="+strings.Repeat("b", 20<<10)))), 60))
		}}, err: `ADDR: searching the rootDSE: the answer has more than 1048576 bytes`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked := make(chan string, 1)
			l := ldapOf(listen(t, func(c net.Conn) { asked <- string(tt.serve.serve(c)) }))
			if tt.change != nil {
				tt.change(l)
			}
			if err := l.Validate(); err != nil {
				t.Fatal(err)
			}
			ctx := t.Context()
			if strings.Contains(tt.err, "timed out") {
				ctx = shortly(t)
			}
			sameError(t, l.Check(ctx), strings.ReplaceAll(tt.err, "FILE", l.PasswordFile), l.Address)
			select {
			case got := <-asked:
				if tt.asked != "" && got != tt.asked {
					t.Errorf("asked for %q, want %q", got, tt.asked)
				}
			case <-within(t).Done():
				t.Error("the connection is left open")
			}
		})
	}
}
