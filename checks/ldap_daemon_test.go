package checks

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/keepcast/keepcast/driver/drivertest"
)

const slapdConf = `
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload back_ldap
moduleload ppolicy
pidfile DIR/pid
referral ldap://other.example.net
TLSCertificateFile CERT
TLSCertificateKeyFile KEY
TLSCACertificateFile CERT
TLSVerifyClient try

# The longest suffix first: they lie in each other.
database ldap
suffix dc=away,dc=example,dc=com
uri ldap://CLOSED
database mdb
suffix dc=shut,dc=example,dc=com
directory DIR/shut
restrict search
database mdb
suffix dc=strict,dc=example,dc=com
directory DIR/strict
security ssf=128
database mdb
suffix dc=example,dc=com
directory DIR/db
rootdn cn=admin,dc=example,dc=com
sizelimit size.soft=3 size.hard=3
access to dn.subtree=ou=hidden,dc=example,dc=com
  by dn.exact=gidNumber=GID+uidNumber=UID,cn=peercred,cn=external,cn=auth read
  by dn.exact=cn=keepcast read
  by * none
access to attrs=userPassword by anonymous auth by * none
access to * by * read
overlay ppolicy
ppolicy_default cn=policy,dc=example,dc=com
ppolicy_use_lockout
`

const slapdTree = `
dn: dc=example,dc=com
objectClass: domain
dc: example

dn: cn=policy,dc=example,dc=com
objectClass: device
objectClass: pwdPolicy
cn: policy
pwdAttribute: userPassword
pwdLockout: TRUE
pwdMaxFailure: 3

dn: ou=people,dc=example,dc=com
objectClass: organizationalUnit
ou: people

dn: uid=probe,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
uid: probe
cn: The (one) * probe
cn;lang-de: Die Sonde
sn: Probe\
mail: probe@example.com
userPassword: swordfish

dn: uid=other,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
uid: other
cn: Other
sn: Other

dn: ou=hidden,dc=example,dc=com
objectClass: organizationalUnit
ou: hidden

dn: ou=elsewhere,dc=example,dc=com
objectClass: referral
objectClass: extensibleObject
ou: elsewhere
ref: ldap://other.example.net/ou=elsewhere,dc=example,dc=com
`

// slapd is a directory that runs.
type slapd struct {
	tcp, tls, unix string
	cert, key      string
	log            *drivertest.Buffer
}

// selfSigned makes a certificate for server and client, named CN=keepcast.
func selfSigned(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	is := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "keepcast"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, is, is, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pemFile(t, "CERTIFICATE", der), pemFile(t, "PRIVATE KEY", encoded)
}

// startSlapd starts OpenLDAP with the tree.
func startSlapd(t *testing.T) *slapd {
	t.Helper()
	program, dir, ports := drivertest.Program(t, "slapd"), drivertest.SocketDir(t), freePorts(t, 3)
	s := &slapd{tcp: ports[0], tls: ports[1], unix: filepath.Join(dir, "ldapi"), log: new(drivertest.Buffer)}
	s.cert, s.key = selfSigned(t)
	conf, tree := filepath.Join(dir, "slapd.conf"), filepath.Join(dir, "tree.ldif")
	drivertest.WriteFile(t, tree, slapdTree)
	drivertest.WriteFile(t, conf, strings.NewReplacer("DIR", dir, "CERT", s.cert, "KEY", s.key, "CLOSED", ports[2],
		"UID", strconv.Itoa(os.Getuid()), "GID", strconv.Itoa(os.Getgid())).Replace(slapdConf))
	for _, db := range []string{"db", "shut", "strict"} {
		if err := os.Mkdir(filepath.Join(dir, db), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	fill := exec.CommandContext(within(t), program, "-T", "add", "-f", conf, "-b", "dc=example,dc=com", "-l", tree)
	if out, err := fill.CombinedOutput(); err != nil {
		t.Fatalf("filling the directory: %v: %s", err, out)
	}
	daemon := exec.Command(program, "-f", conf, "-d", "stats",
		"-h", "ldap://"+s.tcp+" ldaps://"+s.tls+" ldapi://"+strings.ReplaceAll(s.unix, "/", "%2F"))
	daemon.Stdout, daemon.Stderr = s.log, s.log
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		daemon.Process.Kill()
		daemon.Wait()
		if t.Failed() {
			t.Log(s.log)
		}
	})
	for ctx := within(t); ; {
		err := ldapOf(s.tcp).Check(ctx)
		if err == nil {
			return s
		}
		if ctx.Err() != nil {
			t.Fatalf("slapd does not start: %v", errors.Join(ctx.Err(), err))
		}
	}
}
