package checks

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/miekg/dns"

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

// sameConn has a check run several times and fails if that took one more connection.
func sameConn(t *testing.T, c Checker, k *kept) {
	t.Helper()
	before := slices.Clone(k.conns)
	for range 3 {
		if err := c.Check(within(t)); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(before, k.conns) {
		t.Errorf("%d connections are known, then %d or others", len(before), len(k.conns))
	}
}

// TestReuseUnbound keeps connections to a real resolver, which is started again between two
// runs, and which ends connections that rest.
func TestReuseUnbound(t *testing.T) {
	noLeaks(t)
	program := drivertest.Program(t, "unbound")
	cert, key := reuseCertificate(t)
	ports := freePorts(t, 3)
	conf := filepath.Join(t.TempDir(), "unbound.conf")
	drivertest.WriteFile(t, conf, fmt.Sprintf(`
server:
  interface: 127.0.0.1@%s
  interface: 127.0.0.1@%[2]s
  interface: 127.0.0.1@%[3]s
  tls-port: %[2]s
  https-port: %[3]s
  tls-service-pem: %[4]s
  tls-service-key: %[5]s
  chroot: ""
  username: ""
  directory: "%[6]s"
  pidfile: ""
  use-syslog: no
  do-daemonize: no
  local-zone: "example.com." static
  local-data: "www.example.com. 60 IN A 192.0.2.1"
remote-control:
  control-enable: no
`, portOf(ports[0]), portOf(ports[1]), portOf(ports[2]), cert, key, filepath.Dir(conf)))
	all := map[string]*DNS{}
	for i, transport := range []string{"tcp", "tls", "https"} {
		d := asksDNS(ports[i], "www.example.com", dns.TypeA)
		d.Transport, d.Reuse, d.Path, d.TLS.CA = transport, true, "/dns-query", cert
		if transport == "tcp" {
			d.TLS.CA = ""
		}
		d.Also = []DNSQuestion{{"www.example.com", RRType(dns.TypeAAAA)}}
		if err := d.Validate(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = d.Close() })
		all[transport] = d
	}
	unbound := startDaemon(t, program, "-c", conf)
	for range 2 {
		for _, d := range all {
			fitAtLast(t, d)
			sameConn(t, d, d.kept)
		}
		stopDaemon(t, unbound, ports[0])
		unbound = startDaemon(t, program, "-c", conf)
		fitAtLast(t, asksDNS(ports[0], "www.example.com", dns.TypeA))
		for transport, d := range all { // the first run after that is fit
			if err := d.Check(within(t)); err != nil {
				t.Errorf("%s: %v", transport, err)
			}
		}
	}
}

// stopDaemon ends a server and waits until it accepts nobody at an address.
func stopDaemon(t *testing.T, daemon *os.Process, at string) {
	t.Helper()
	if err := daemon.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	drivertest.Eventually(t, "the end of the server", func() bool { return (&TCP{Address: at}).Check(within(t)) != nil })
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
