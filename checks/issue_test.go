package checks

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"
)

// issued is a certificate with its key, and the one that signed it.
type issued struct {
	*x509.Certificate
	key *ecdsa.PrivateKey
	by  *issued // nil: itself
}

// issue makes a certificate that is valid for a year unless change has it otherwise.
func issue(t *testing.T, name string, by *issued, change func(*x509.Certificate)) *issued {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-365 * 24 * time.Hour), NotAfter: time.Now().Add(365 * 24 * time.Hour),
		BasicConstraintsValid: true, IsCA: strings.Contains(name, "ca"),
	}
	if c.IsCA {
		c.KeyUsage = x509.KeyUsageCertSign
	} else {
		c.DNSNames, c.IPAddresses = []string{name}, []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	if change != nil {
		change(c)
	}
	parent, signer := c, key
	if by != nil {
		parent, signer = by.Certificate, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &issued{made, key, by}
}

// again makes another certificate of the same name and key.
func again(t *testing.T, i, by *issued, change func(*x509.Certificate)) *issued {
	t.Helper()
	c := *i.Certificate
	c.SerialNumber = big.NewInt(1)
	change(&c)
	der, err := x509.CreateCertificate(rand.Reader, &c, by.Certificate, &i.key.PublicKey, by.key)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &issued{made, i.key, by}
}

// until has a certificate expire that much from now.
func until(d time.Duration) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.NotAfter = time.Now().Add(d) }
}

// pair is what a server shows: the certificate, and more.
func (i *issued) pair(more ...*issued) tls.Certificate {
	all := tls.Certificate{Certificate: [][]byte{i.Raw}, PrivateKey: i.key}
	for _, m := range more {
		all.Certificate = append(all.Certificate, m.Raw)
	}
	return all
}

// files writes the certificate, and its key, to a file each.
func (i *issued) files(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := x509.MarshalPKCS8PrivateKey(i.key)
	if err != nil {
		t.Fatal(err)
	}
	return pemFile(t, "CERTIFICATE", i.Raw), pemFile(t, "PRIVATE KEY", private)
}

// shows is a TLS server that says nothing.
func shows(pair tls.Certificate) func(net.Conn) {
	return func(c net.Conn) {
		defer c.Close()
		s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{pair}})
		io.Copy(io.Discard, s)
	}
}
