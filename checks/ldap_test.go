package checks

import (
	"cmp"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keepcast/keepcast/checks/health"
	"github.com/keepcast/keepcast/driver/drivertest"
)

// ldapOf returns a check of the rootDSE with the settings that the configuration gives.
func ldapOf(address string) *LDAP {
	return &LDAP{
		Address: address, Transport: "tcp", Bind: "none", PasswordPause: time.Minute, Scope: "base",
		Filter: "(objectClass=*)", MinEntries: 1, Preset: "none",
	}
}

func TestLDAPValidate(t *testing.T) {
	simple := func(l *LDAP) { l.Bind, l.BindDN, l.PasswordFile = "simple", "cn=a", "/p" }
	for name, tt := range map[string]struct {
		address string
		change  func(*LDAP)
		err     string
	}{
		"address":      {address: "192.0.2.1"},
		"host":         {address: "ldap.example.com:389"},
		"socket":       {address: "/run/slapd/ldapi", change: func(l *LDAP) { l.Bind = "external" }},
		"no host":      {address: ":389", err: `address: ":389" is no address, host or either with a port`},
		"port 0":       {address: "a:0", err: `address: "0" is no port from 1 to 65535`},
		"url":          {address: "ldap://a", err: `address: "ldap://a" is a URL: write what is behind //, and set transport`},
		"tls, socket":  {address: "/s", change: func(l *LDAP) { l.Transport = "starttls" }, err: "transport: no starttls over a unix socket"},
		"tls unused":   {address: "a", change: func(l *LDAP) { l.TLS.CA = "/ca" }, err: "tls: only with transport: tls or transport: starttls"},
		"cert alone":   {address: "a", change: func(l *LDAP) { l.Transport, l.TLS.Cert = "tls", "/c" }, err: "tls: cert and key go together, only one is set"},
		"no DN":        {address: "a", change: func(l *LDAP) { l.Base = "people" }, err: `base: "people" is no DN, as in ou=people,dc=example,dc=com`},
		"many bases":   {address: "a", change: func(l *LDAP) { l.MinEntries = 2 }, err: "min_entries: a search with scope: base finds one entry at most"},
		"many":         {address: "a", change: func(l *LDAP) { l.MinEntries, l.Scope = 2, "sub" }},
		"catalog":      {address: "a", change: func(l *LDAP) { l.GlobalCatalog = true }, err: "global_catalog: only with preset: active-directory"},
		"level":        {address: "a", change: func(l *LDAP) { l.FunctionalLevel = 7 }, err: "functional_level: only with preset: active-directory"},
		"controller":   {address: "a", change: func(l *LDAP) { l.Preset, l.GlobalCatalog, l.FunctionalLevel = "active-directory", true, 7 }},
		"filter":       {address: "a", change: func(l *LDAP) { l.Filter = "uid=a" }, err: `filter: "uid=a" is no filter: no ( at "uid=a"`},
		"attribute":    {address: "a", change: func(l *LDAP) { l.Attributes = []string{"cn", "c n=x"} }, err: `attributes[1]: "c n" is no name of an attribute`},
		"regexp":       {address: "a", change: func(l *LDAP) { l.Attributes = []string{"cn=("} }, err: "attributes[0]: error parsing regexp: missing closing ): `(`"},
		"simple":       {address: "127.0.0.1", change: simple},
		"simple, name": {address: "LocalHost:389", change: simple},
		"simple, unix": {address: "/s", change: simple},
		"simple, tls":  {address: "192.0.2.1", change: func(l *LDAP) { simple(l); l.Transport = "tls" }},
		"no name":      {address: "127.0.0.1", change: func(l *LDAP) { l.Bind = "simple" }, err: "bind_dn: needed for bind: simple"},
		"no file":      {address: "127.0.0.1", change: func(l *LDAP) { l.Bind, l.BindDN = "simple", "cn=a" }, err: "password_file: needed for bind: simple"},
		"name unused":  {address: "/s", change: func(l *LDAP) { l.Bind, l.BindDN = "external", "cn=a" }, err: "bind_dn: only with bind: simple"},
		"file unused":  {address: "a", change: func(l *LDAP) { l.PasswordFile = "/p" }, err: "password_file: only with bind: simple"},
		"in the clear": {address: "192.0.2.1", change: simple, err: "transport: the password would go to 192.0.2.1 over plain TCP: use tls or starttls, or set insecure_password if nobody can listen on the way"},
		"clear, name":  {address: "a.example.com", change: simple, err: "transport: the password would go to a.example.com over plain TCP: use tls or starttls, or set insecure_password if nobody can listen on the way"},
		"on purpose":   {address: "192.0.2.1", change: func(l *LDAP) { simple(l); l.InsecurePassword = true }},
		"who asks":     {address: "a", change: func(l *LDAP) { l.Bind = "external" }, err: "bind: external needs a unix socket or tls.cert, which says who asks"},
		"by cert":      {address: "a", change: func(l *LDAP) { l.Bind, l.Transport, l.TLS.Cert, l.TLS.Key = "external", "tls", "/c", "/k" }},
	} {
		t.Run(name, func(t *testing.T) {
			l := ldapOf(tt.address)
			if tt.change != nil {
				tt.change(l)
			}
			sameError(t, l.Validate(), tt.err, "")
		})
	}
}

func TestLDAPEndpoint(t *testing.T) {
	for name, tt := range map[string]struct {
		ldap    *LDAP
		want    string
		target  string
		catalog bool
	}{
		"plain":            {ldap: &LDAP{Address: "192.0.2.1", Transport: "tcp"}, want: "tcp 192.0.2.1:389", target: "192.0.2.1"},
		"tls":              {ldap: &LDAP{Address: "[2001:db8::1]", Transport: "tls"}, want: "tcp [2001:db8::1]:636", target: "2001:db8::1"},
		"starttls":         {ldap: &LDAP{Address: "a", Transport: "starttls"}, want: "tcp a:389", target: "invalid IP"},
		"port":             {ldap: &LDAP{Address: "192.0.2.1:1389", Transport: "tls"}, want: "tcp 192.0.2.1:1389", target: "192.0.2.1"},
		"catalog":          {ldap: &LDAP{Address: "a", Transport: "tcp", GlobalCatalog: true}, want: "tcp a:3268", target: "invalid IP", catalog: true},
		"catalog, tls":     {ldap: &LDAP{Address: "a", Transport: "tls", GlobalCatalog: true}, want: "tcp a:3269", target: "invalid IP", catalog: true},
		"catalog, by port": {ldap: &LDAP{Address: "a:3269", Transport: "tls"}, want: "tcp a:3269", target: "invalid IP", catalog: true},
		"socket":           {ldap: &LDAP{Address: "/run/ldapi", Transport: "tcp"}, want: "unix /run/ldapi", target: "invalid IP"},
		"no address":       {ldap: &LDAP{Address: "a:b:c"}, want: "tcp ", target: "invalid IP"},
	} {
		t.Run(name, func(t *testing.T) {
			network, address, _, _ := tt.ldap.endpoint()
			if got := network + " " + address; got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if got := tt.ldap.Target().String(); got != tt.target {
				t.Errorf("got the target %s, want %s", got, tt.target)
			}
			if got := tt.ldap.catalog(); got != tt.catalog {
				t.Errorf("wants the global catalog: %t", got)
			}
		})
	}
}

func TestLDAPPassword(t *testing.T) {
	file := secretFile(t, "")
	for name, tt := range map[string]struct{ file, text, want, err string }{
		"one line":  {text: "sword fish \n", want: "sword fish "},
		"dos":       {text: "swordfish\r\n", want: "swordfish"},
		"two lines": {text: "a\n\n", want: "a\n"},
		"empty":     {text: "\n", err: "password_file: FILE has no password"},
		"long":      {text: strings.Repeat("a", 4097), err: "password_file: FILE has more than 4096 bytes"},
		"missing":   {file: "/nonexistent/p", err: "password_file: open /nonexistent/p: no such file or directory"},
		"directory": {file: "/", err: "password_file: read /: is a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			// Nothing listens there: a file that is wrong is told before.
			l := ldapOf("127.0.0.1:1")
			l.Bind, l.BindDN, l.PasswordFile = "simple", "cn=a", cmp.Or(tt.file, file)
			got, err := l.password()
			sameError(t, err, strings.ReplaceAll(tt.err, "FILE", file), "")
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			_, err = l.Host()()
			sameError(t, err, strings.ReplaceAll(tt.err, "FILE", file), "")
			if tt.err != "" {
				sameError(t, l.Check(within(t)), "ADDR: "+strings.ReplaceAll(tt.err, "FILE", file), l.Address)
			}
		})
	}
}

func TestLDAPHost(t *testing.T) {
	if ldapOf("a").Host() != nil {
		t.Error("looks at files that nobody named")
	}
	l := ldapOf("a")
	l.PasswordFile, l.TLS.CA = secretFile(t, "x"), "/nonexistent/ca"
	_, err := l.Host()()
	sameError(t, err, "tls.ca: open /nonexistent/ca: no such file or directory", "")
	l = ldapOf("127.0.0.1:1")
	l.Transport, l.TLS.CA = "tls", "/nonexistent/ca"
	sameError(t, l.Check(within(t)), "ADDR: tls.ca: open /nonexistent/ca: no such file or directory", l.Address)
}

func TestLDAPRefused(t *testing.T) {
	noLeaks(t)
	for network, at := range map[string]string{"tcp": freePorts(t, 1)[0], "unix": filepath.Join(drivertest.SocketDir(t), "s")} {
		want := "ADDR: dial " + network + " ADDR: connect: connection refused"
		if network == "unix" {
			l, err := net.ListenUnix(network, &net.UnixAddr{Name: at, Net: network})
			if err != nil {
				t.Fatal(err)
			}
			l.SetUnlinkOnClose(false)
			l.Close()
		}
		err := ldapOf(at).Check(within(t))
		sameError(t, err, want, at)
		if health.IsCertain(err) != (network == "unix") {
			t.Errorf("over %s: certain is %t", network, health.IsCertain(err))
		}
	}
}

func TestWindowsLevel(t *testing.T) {
	for text, tt := range map[string]struct {
		want WindowsLevel
		err  string
	}{
		"any":    {want: 0},
		"2008R2": {want: 4},
		"2025":   {want: 10},
		"":       {err: `no functional level "" (known: any, 2003, 2008, 2008R2, 2012, 2012R2, 2016, 2025)`},
		"2017":   {err: `no functional level "2017" (known: any, 2003, 2008, 2008R2, 2012, 2012R2, 2016, 2025)`},
	} {
		t.Run(text, func(t *testing.T) {
			var w WindowsLevel
			sameError(t, w.UnmarshalText([]byte(text)), tt.err, "")
			if back, _ := w.MarshalText(); w != tt.want || tt.err == "" && string(back) != text {
				t.Errorf("got %d, %s", w, back)
			}
		})
	}
}
