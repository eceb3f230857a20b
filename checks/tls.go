package checks

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

// TLS is how a check speaks TLS. The files are read anew for every check, so
// that a renewed certificate needs no reload.
type TLS struct {
	CA         string `config:"ca" doc:"File of PEM certificates to trust, instead of those of the system."`
	Cert       string `config:"cert" doc:"PEM file with the client certificate to show, chain included."`
	Key        string `config:"key" doc:"PEM file with the key of the client certificate."`
	ServerName string `config:"server_name" doc:"Name to ask for (SNI) and to find in the certificate, instead of the host that is connected to."`
	SkipVerify bool   `config:"insecure_skip_verify" doc:"Accept any certificate, whoever signed it and whatever it is for."`
	MinVersion string `config:"min_version" default:"1.2" enum:"1.0|1.1|1.2|1.3" doc:"Lowest version of TLS to accept."`
}

// tlsVersions are the protocol versions by the names of RFC 8446 and before.
func tlsVersions() map[string]uint16 {
	return map[string]uint16{
		"": tls.VersionTLS12, "1.0": tls.VersionTLS10, "1.1": tls.VersionTLS11,
		"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13,
	}
}

// Validate says which settings do not go together. It reads no file: one that
// is missing for a while makes a check fail, not the configuration.
func (t TLS) Validate() error {
	if (t.Cert == "") != (t.Key == "") {
		return errors.New("tls: cert and key go together, only one is set")
	}
	return nil
}

// isSet reports whether the operator wrote any of the settings.
func (t TLS) isSet() bool {
	t.MinVersion = ""
	return t != TLS{}
}

// config returns the settings for a connection to host, offering the given
// application protocols (ALPN, RFC 7301).
func (t TLS) config(host string, protocols ...string) (*tls.Config, error) {
	version, ok := tlsVersions()[t.MinVersion]
	if !ok {
		return nil, fmt.Errorf("tls.min_version: no version %q (known: 1.0, 1.1, 1.2, 1.3)", t.MinVersion)
	}
	c := &tls.Config{
		ServerName:         host,
		NextProtos:         protocols,
		MinVersion:         version,
		InsecureSkipVerify: t.SkipVerify,
	}
	if t.ServerName != "" {
		c.ServerName = t.ServerName
	}
	if t.CA == "" && !t.SkipVerify {
		// The library reads them once for all, and goes on without if it can't.
		roots, err := x509.SystemCertPool()
		if err != nil {
			return nil, fmt.Errorf("reading the certificates of the system: %w", err)
		}
		c.RootCAs = roots
	}
	if t.CA != "" {
		pem, err := readFile(t.CA)
		if err != nil {
			return nil, fmt.Errorf("tls.ca: %w", unreadable(err))
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls.ca: no PEM certificate in %s", t.CA)
		}
	}
	if t.Cert != "" {
		pair, err := keyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("tls.cert: %w", unreadable(err))
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// trusting adds to the error about a certificate which setting has it trusted.
func trusting(err error) error {
	if _, is := errors.AsType[x509.UnknownAuthorityError](err); is {
		return fmt.Errorf("%w; tls.ca sets whom to trust", err)
	}
	if _, is := errors.AsType[x509.HostnameError](err); is {
		return fmt.Errorf("%w; tls.server_name sets the name to find", err)
	}
	return err
}

// configFor is config for the host of an address, which is a host and a port.
func (t TLS) configFor(address string, protocols ...string) (*tls.Config, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	return t.config(host, protocols...)
}

// host is Host of a check that runs no program. No setting names the certificates of the
// system. To read them all takes a busy host longer than anybody waits for a file.
func (t TLS) host() func() ([]string, error) {
	if t.CA == "" && t.Cert == "" && t.Key == "" {
		return nil
	}
	return func() ([]string, error) {
		_, err := t.config("")
		return nil, err
	}
}

// hostWith is host of a check that reads one more file, if that is not "".
func (t TLS) hostWith(file string, read func() error) func() ([]string, error) {
	certificates := t.host()
	if file == "" {
		return certificates
	}
	return func() ([]string, error) {
		if err := read(); err != nil || certificates == nil {
			return nil, err
		}
		return certificates()
	}
}

// sawTLS notes what a handshake agreed on, and each certificate that the server showed.
func (s *Sight) sawTLS(state tls.ConnectionState) {
	if s == nil {
		return
	}
	with := ""
	if p := state.NegotiatedProtocol; p != "" {
		with = ", " + p
	}
	s.saw("tls", "%s, %s%s", tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite), with)
	s.sawCertificates(state.PeerCertificates)
}

// sawCertificates notes each of the certificates.
func (s *Sight) sawCertificates(all []*x509.Certificate) {
	for _, c := range all {
		s.saw("certificate", "%s, of %s, for %s, until %s", c.Subject, c.Issuer,
			strings.Join(namesOf(c), " "), c.NotAfter.UTC().Format(time.RFC3339))
	}
}

// namesOf returns the names and addresses that a certificate is for.
func namesOf(c *x509.Certificate) []string {
	names := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

// keyPair reads a certificate and its key.
func keyPair(certFile, keyFile string) (tls.Certificate, error) {
	cert, err := readFile(certFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := readFile(keyFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(cert, key)
}
