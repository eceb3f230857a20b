package howto

import "testing"

func TestSlapd(t *testing.T) {
	onHost(t, "slapd openssl", func(h *host) {
		h.example("slapd.conf", "/etc/ldap/slapd.conf")
		h.certificate("ldap.example.com", "/etc/ldap/tls/ldap.example.com.crt", "/etc/ldap/tls/ldap.example.com.key")
		h.example("ldap-probe.ldif", "/var/probe.ldif")
		h.write("/var/tree.ldif", `dn: dc=example,dc=com
objectClass: domain
dc: example

dn: ou=people,dc=example,dc=com
objectClass: organizationalUnit
ou: people
`)
		h.sh(`
rm /var/lib/ldap/*
install -d -o openldap /run/slapd
chown openldap /etc/ldap/tls/*
for ldif in tree probe; do slapadd -f /etc/ldap/slapd.conf -l /var/$ldif.ldif; done
chown openldap /var/lib/ldap/*
`)
		h.keepcast("ldap.yaml")
		h.lives(h.starts("slapd", "-d", "stats", "-u", "openldap", "-g", "openldap", "-f", "/etc/ldap/slapd.conf", "-h", "ldap:/// ldaps:/// ldapi:///"), nil)
	})
}

// TestSamba has a domain controller as Samba sets it up: the page has nothing to add.
func TestSamba(t *testing.T) {
	onHost(t, "samba samba-tool", func(h *host) {
		h.sh(`
rm -f /etc/samba/smb.conf
mkdir /run/samba
samba-tool domain provision --server-role=dc --realm=EXAMPLE.COM --domain=EXAMPLE --dns-backend=NONE --adminpass=Only-for-1-test --host-name=dc1
`)
		h.keepcast("domain-controller.yaml")
		h.lives(h.starts("samba", "-F", "--debug-stdout"), nil)
	})
}

func TestKDC(t *testing.T) {
	onHost(t, "krb5kdc kadmin.local kdb5_util", func(h *host) {
		h.example("kdc.conf", "/etc/krb5kdc/kdc.conf")
		h.write("/etc/krb5.conf", "[libdefaults]\n default_realm = EXAMPLE.COM\n[logging]\n kdc = STDERR\n")
		h.sh("kdb5_util create -s -P master; kadmin.local addprinc -randkey +requires_preauth keepcast")
		h.keepcast("kerberos.yaml")
		h.lives(h.starts("krb5kdc", "-n"), nil)
	})
}

func TestFreeRADIUS(t *testing.T) {
	onHost(t, "freeradius", func(h *host) {
		const etc = "/etc/freeradius/3.0/"
		h.example("radius-site.conf", etc+"sites-enabled/default")
		h.example("radius-clients.conf", etc+"clients.conf")
		h.example("radius-users.conf", etc+"mods-config/files/authorize")
		h.sh(`
install -m 640 /dev/null /etc/keepcast/radius.secret
install -m 640 /dev/null /etc/keepcast/radius.password
echo make-one-for-the-check >/etc/keepcast/radius.secret
echo make-one-for-the-probe >/etc/keepcast/radius.password
install -d -o freerad /run/freeradius
chown -R freerad /etc/freeradius
`)
		h.keepcast("radius.yaml")
		h.lives(h.starts("freeradius", "-f", "-l", "stdout"), nil)
	})
}
