package lab

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// What a web server and a load balancer look like, each on an anycast address of its own.
const (
	nginxConf = `
daemon off;
worker_processes 2;
pid %[1]s/nginx.pid;
error_log stderr notice;
events {}
http {
  access_log off;
  client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s; uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;
  server { listen %[2]s:80; location / { return 200 "ok\n"; } }
}
`
	haproxyConf = `
global
  stats socket %[1]s/haproxy.sock expose-fd listeners
defaults
  mode http
  timeout connect 1s
  timeout client 5s
  timeout server 5s
frontend f
  bind %[2]s:80
  http-request return status 200 content-type text/plain string ok
`
)

// TestGracefulReload reloads servers, again and again, while a check asks them every 50 ms
// and a failure that leaves no doubt would withdraw at once. Each opens its new sockets, or
// hands the old ones on, before it closes any: no route moves.
func TestGracefulReload(t *testing.T) {
	web, _ := Anycast(0)
	front, _ := Anycast(1)
	dns := Anycast4
	s := newStand(t, Options{Daemon: BIRD, Protocol: BGP}, func(_ *Host, driver string) string {
		return fmt.Sprintf(`
drivers: [%[1]s]
defaults: {interval: 50ms, fast_interval: 50ms, timeout: 1s, rise: 1}
services:
  - {name: dns, addresses: [%[2]s, "%[3]s"], checks: [{kind: dns, server: %[2]s, query: health.example.com}]}
  - {name: web, addresses: [%[4]s], checks: [{kind: http, url: "http://%[4]s/"}]}
  - {name: front, addresses: [%[5]s], checks: [{kind: http, url: "http://%[5]s/"}]}
`, driver, dns, Anycast6, web, front)
	})
	for _, graceful := range []struct {
		program string
		args    []string
		conf    string
		at      netip.Addr
		reload  syscall.Signal
		says    string // once for each reload that is done
	}{
		{"unbound", nil, "", dns, syscall.SIGHUP, "start of service"},
		{"nginx", []string{"nginx", "-c"}, nginxConf, web, syscall.SIGHUP, "exited with code 0"},
		{"haproxy", []string{"haproxy", "-W", "-f"}, haproxyConf, front, syscall.SIGUSR2, "Former worker"},
	} {
		t.Run(graceful.program, func(t *testing.T) {
			server := s.process("a", "dns")
			if graceful.conf != "" {
				server = s.serve(graceful.program, graceful.args, fmt.Sprintf(graceful.conf, s.Host("a").Dir(), graceful.at))
			}
			s.must(server.Start(s.ctx))
			prefixes := Prefixes(graceful.at)
			s.must(s.Router().AwaitNextHops(s.ctx, prefixes, "a"))
			moves := s.movesOf(prefixes)
			for range 10 {
				before := s.says(server, graceful.says)
				s.must(server.Signal(graceful.reload))
				drivertest.Eventually(t, "the reload", func() bool { return s.says(server, graceful.says) > before })
			}
			if n := moves(); n > 0 {
				t.Errorf("the route moved %d times", n)
			}
		})
	}
}

// dnsStand is a stand with BIRD over BGP whose one service has one check, with those defaults.
func dnsStand(t *testing.T, defaults string) *stand {
	return newStand(t, Options{Daemon: BIRD, Protocol: BGP}, func(_ *Host, driver string) string {
		return fmt.Sprintf(`
drivers: [%s]
defaults: {%s}
services:
  - {name: dns, addresses: [%[3]s, "%[4]s"], checks: [{kind: dns, server: %[3]s, query: health.example.com}]}
`, driver, defaults, Anycast4, Anycast6)
	})
}

// TestCrash kills a service whose check runs once an hour and would have to fail a thousand
// times: the kernel tells keepcast, and the failure leaves no doubt.
func TestCrash(t *testing.T) {
	s := dnsStand(t, "interval: 1h, fall: 1000, rise: 1")
	dns := s.process("a", "dns")
	for range 2 {
		s.must(dns.Start(s.ctx))
		if said := s.keepcast("a", "check-now", "dns"); !strings.HasPrefix(said, "dns/dns: up (") {
			t.Errorf("check-now says %q", said)
		}
		s.must(s.Router().AwaitNextHops(s.ctx, anycast, "a"))
		s.must(dns.Kill(s.ctx))
		s.must(s.Router().AwaitNextHops(s.ctx, anycast))
	}
}

// TestPatience kills a service and starts it again: within its patience no route moves. After that
// it does.
func TestPatience(t *testing.T) {
	s := dnsStand(t, "interval: 1h, rise: 1, patience: 5s")
	dns := s.process("a", "dns")
	s.must(dns.Start(s.ctx))
	up := func() bool { return strings.HasPrefix(s.keepcast("a", "check-now", "dns"), "dns/dns: up (") }
	drivertest.Eventually(t, "the service is up", up)
	s.must(s.Router().AwaitNextHops(s.ctx, anycast, "a"))
	moves := s.movesOf(anycast)
	for range 5 {
		s.must(dns.Kill(s.ctx))
		s.must(dns.Start(s.ctx))
		drivertest.Eventually(t, "the service is up", up)
	}
	if n := moves(); n > 0 {
		t.Errorf("the route moved %d times", n)
	}
	s.must(dns.Kill(s.ctx))
	s.must(s.Router().AwaitNextHops(s.ctx, anycast))
}

// serve adds a server of host a, which takes its configuration as its last argument.
func (s *stand) serve(program string, args []string, conf string) *Process {
	s.t.Helper()
	drivertest.Program(s.t, program)
	path := filepath.Join(s.Host("a").Dir(), program+".conf")
	s.must(os.WriteFile(path, []byte(conf), 0o644))
	p, err := s.Host("a").Add(Program{Name: program, Args: append(args, path)})
	s.must(err)
	return p
}

// says counts how often a process has written text.
func (s *stand) says(p *Process, text string) int {
	s.t.Helper()
	log, err := os.ReadFile(p.Log())
	s.must(err)
	return strings.Count(string(log), text)
}
