package checks

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

// pemFile writes a PEM file of one block and returns its path.
func pemFile(t *testing.T, kind string, der []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// secureServer starts an HTTPS server on loopback whose certificate is for
// 127.0.0.1 and example.com, and returns it with the file of its CA.
func secureServer(t *testing.T, h http.Handler, change func(*httptest.Server)) (s *httptest.Server, ca string) {
	t.Helper()
	s = httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{}
	s.EnableHTTP2 = true
	if change != nil {
		change(s)
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s, pemFile(t, "CERTIFICATE", s.Certificate().Raw)
}

func TestTLS(t *testing.T) {
	plain, ca := secureServer(t, http.NotFoundHandler(), nil)
	old, _ := secureServer(t, http.NotFoundHandler(), func(s *httptest.Server) { s.TLS.MinVersion, s.TLS.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 })
	names := make(chan string, 1)
	named, _ := secureServer(t, http.NotFoundHandler(), func(s *httptest.Server) {
		s.TLS.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			names <- h.ServerName
			return nil, nil
		}
	})
	private, err := x509.MarshalPKCS8PrivateKey(plain.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	key := pemFile(t, "PRIVATE KEY", private)
	// In TLS 1.3 the client's handshake ends before the server has seen its certificate.
	mutual, _ := secureServer(t, http.NotFoundHandler(), func(s *httptest.Server) {
		s.TLS.ClientAuth = tls.RequireAnyClientCert
		s.TLS.MaxVersion = tls.VersionTLS12
	})
	noPEM := pemFile(t, "PRIVATE KEY", nil)

	for name, tt := range map[string]struct {
		to  *httptest.Server
		tls TLS
		err string
	}{
		"trusted":          {to: plain, tls: TLS{CA: ca}},
		"untrusted":        {to: plain, err: "ADDR: tls handshake: tls: failed to verify certificate: x509: certificate signed by unknown authority; tls.ca sets whom to trust"},
		"not verified":     {to: plain, tls: TLS{SkipVerify: true}},
		"name":             {to: named, tls: TLS{CA: ca, ServerName: "example.com"}},
		"other name":       {to: plain, tls: TLS{CA: ca, ServerName: "example.net"}, err: "ADDR: tls handshake: tls: failed to verify certificate: x509: certificate is valid for example.com, *.example.com, not example.net; tls.server_name sets the name to find"},
		"too old":          {to: old, tls: TLS{CA: ca}, err: "ADDR: tls handshake: remote error: tls: protocol version not supported"},
		"old enough":       {to: old, tls: TLS{CA: ca, MinVersion: "1.1"}},
		"new":              {to: plain, tls: TLS{CA: ca, MinVersion: "1.3"}},
		"no such version":  {to: plain, tls: TLS{MinVersion: "1.4"}, err: `ADDR: tls.min_version: no version "1.4" (known: 1.0, 1.1, 1.2, 1.3)`},
		"client cert":      {to: mutual, tls: TLS{CA: ca, Cert: ca, Key: key}},
		"no client cert":   {to: mutual, tls: TLS{CA: ca}, err: "ADDR: tls handshake: remote error: tls: handshake failure"},
		"no such ca":       {to: plain, tls: TLS{CA: "/nonexistent/ca"}, err: "ADDR: tls.ca: open /nonexistent/ca: no such file or directory"},
		"no cert in ca":    {to: plain, tls: TLS{CA: noPEM}, err: "ADDR: tls.ca: no PEM certificate in " + noPEM},
		"no such cert":     {to: plain, tls: TLS{CA: ca, Cert: "/nonexistent/cert", Key: key}, err: "ADDR: tls.cert: open /nonexistent/cert: no such file or directory"},
		"key of other use": {to: plain, tls: TLS{CA: ca, Cert: ca, Key: ca}, err: "ADDR: tls.cert: tls: found a certificate rather than a key in the PEM for the private key"},
	} {
		t.Run(name, func(t *testing.T) {
			c := TCP{Address: tt.to.Listener.Addr().String(), Transport: "tls", TLS: tt.tls}
			sameError(t, c.Check(within(t)), tt.err, c.Address)
		})
	}
	if sni := <-names; sni != "example.com" {
		t.Errorf("asked for the name %q", sni)
	}
}
