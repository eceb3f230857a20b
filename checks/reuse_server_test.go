package checks

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// reuseCertificate returns the files of a certificate and its key.
func reuseCertificate(t *testing.T) (cert, key string) {
	t.Helper()
	donor, cert := secureServer(t, http.NotFoundHandler(), nil)
	private, err := x509.MarshalPKCS8PrivateKey(donor.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return cert, pemFile(t, "PRIVATE KEY", private)
}

// TestReuseNginx keeps connections to a real web server, which ends each after a few requests,
// and all when it is told to reload.
func TestReuseNginx(t *testing.T) {
	noLeaks(t)
	program, dir := drivertest.Program(t, "nginx"), t.TempDir()
	cert, key := reuseCertificate(t)
	ports := freePorts(t, 2)
	conf := filepath.Join(dir, "nginx.conf")
	drivertest.WriteFile(t, conf, fmt.Sprintf(`
daemon off; pid nginx.pid; error_log stderr; worker_processes 1;
events { worker_connections 64; }
http {
  access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  keepalive_requests 3;
  server {
    listen %s; listen %s ssl http2;
    ssl_certificate %s; ssl_certificate_key %s;
    location / { return 200 "up 1\n"; }
  }
}
`, ports[0], ports[1], cert, key))
	nginx := startDaemon(t, program, "-p", dir, "-c", conf)
	for scheme, at := range map[string]string{"http": ports[0], "https": ports[1]} {
		m := &Metrics{URL: scheme + "://" + at, Query: queryOf(t, "up == 1"), Reuse: true, kept: new(kept)}
		if scheme == "https" {
			m.TLS.CA = cert
		}
		t.Cleanup(func() { _ = m.Close() })
		fitAtLast(t, m)
		for i := range 20 {
			if err := m.Check(within(t)); err != nil {
				t.Errorf("%s, run %d: %v", scheme, i, err)
			}
		}
		if n := len(m.kept.conns); n < 6 || n > 8 {
			t.Errorf("%s: %d connections were made", scheme, n)
		}
		for range 3 {
			if err := nginx.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
			for range 5 {
				if err := m.Check(within(t)); err != nil {
					t.Errorf("%s, while it reloads: %v", scheme, err)
				}
			}
		}
	}
}
