package checks

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// kdcRealm makes a realm EXAMPLE.COM with a few principals, in which the programs of MIT
// Kerberos then run. It returns the address at which a KDC will listen, and the database.
func kdcRealm(t *testing.T) (addr, database string) {
	t.Helper()
	dir := t.TempDir()
	addr, database = freeAddress(t), filepath.Join(dir, "principal")
	config, profile := filepath.Join(dir, "krb5.conf"), filepath.Join(dir, "kdc.conf")
	drivertest.WriteFile(t, config, "[libdefaults]\n default_realm = EXAMPLE.COM\n dns_lookup_kdc = false\n[logging]\n default = STDERR\n")
	drivertest.WriteFile(t, profile, "[kdcdefaults]\n kdc_listen = "+addr+"\n kdc_tcp_listen = "+addr+"\n"+
		"[realms]\n EXAMPLE.COM = {\n  database_name = "+database+"\n  key_stash_file = "+dir+"/stash\n }\n")
	t.Setenv("KRB5_CONFIG", config)
	t.Setenv("KRB5_KDC_PROFILE", profile)
	as, add := accountOf(t, "root"), drivertest.Program(t, "kadmin.local")
	as.run(t, drivertest.Program(t, "kdb5_util"), "create", "-s", "-P", "master")
	as.run(t, add, "addprinc", "-randkey", "+requires_preauth", "keepcast")
	as.run(t, add, "addprinc", "-randkey", "-requires_preauth", "host/open")
	as.run(t, add, "addprinc", "-randkey", "-allow_tix", "locked")
	as.run(t, add, "addprinc", "-randkey", "-expire", "yesterday", "expired")
	return addr, database
}

// TestKerberosMIT asks a real KDC.
func TestKerberosMIT(t *testing.T) {
	program := drivertest.Program(t, "krb5kdc")
	addr, database := kdcRealm(t)
	kdc := Kerberos{Server: addr, Realm: "EXAMPLE.COM", Principal: "keepcast", Expect: "known", MaxSkew: 5 * time.Minute}
	accountOf(t, "root").start(t, program, "-n")
	fitAtLast(t, &kdc)
	for name, tt := range map[string]struct {
		change func(*Kerberos)
		err    string
	}{
		"known":        {change: func(*Kerberos) {}},
		"over tcp":     {change: func(k *Kerberos) { k.Transport = "tcp" }},
		"open":         {change: func(k *Kerberos) { k.Principal = "host/open" }},
		"open, tcp":    {change: func(k *Kerberos) { k.Principal, k.Transport = "host/open", "tcp" }},
		"unknown":      {change: func(k *Kerberos) { k.Principal, k.Expect = "nobody", "answer" }},
		"not known":    {change: func(k *Kerberos) { k.Principal = "nobody" }, err: `asking ADDR over udp for nobody@EXAMPLE.COM: got KDC_ERR_C_PRINCIPAL_UNKNOWN (6), the database has no such principal: "CLIENT_NOT_FOUND"`},
		"locked":       {change: func(k *Kerberos) { k.Principal = "locked" }, err: `asking ADDR over udp for locked@EXAMPLE.COM: got KDC_ERR_CLIENT_REVOKED (18), the principal is locked or disabled: "CLIENT LOCKED OUT"`},
		"expired":      {change: func(k *Kerberos) { k.Principal = "expired" }, err: `asking ADDR over udp for expired@EXAMPLE.COM: got KDC_ERR_NAME_EXP (1), the principal has expired: "CLIENT EXPIRED"`},
		"other realm":  {change: func(k *Kerberos) { k.Realm = "EXAMPLE.NET" }, err: `asking ADDR over udp for keepcast@EXAMPLE.NET: got KDC_ERR_C_PRINCIPAL_UNKNOWN (6), the database has no such principal: "CLIENT_NOT_FOUND"`},
		"answers only": {change: func(k *Kerberos) { k.Realm, k.Expect = "EXAMPLE.NET", "answer" }},
	} {
		t.Run(name, func(t *testing.T) {
			c := kdc
			tt.change(&c)
			if err := c.Validate(); err != nil {
				t.Fatal(err)
			}
			sameError(t, c.Check(within(t)), tt.err, addr)
		})
	}
	hangs(t, "krb5kdc", kdc.Check, "asking ADDR over udp for keepcast@EXAMPLE.COM: timed out", addr)
	t.Run("without database", func(t *testing.T) {
		if err := os.Remove(database); err != nil {
			t.Fatal(err)
		}
		c := kdc
		c.Principal, c.Expect = "nobody", "answer"
		sameError(t, c.Check(within(t)), `asking ADDR over udp for nobody@EXAMPLE.COM: got KRB_ERR_GENERIC (60), the KDC failed: "LOOKING_UP_CLIENT"`, addr)
	})
	dies(t, "krb5kdc", kdc.Check)
}
