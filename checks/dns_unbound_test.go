package checks

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// TestDNSUnbound asks a real server for what only a real server does: NSID,
// TLS, and an answer too long for UDP.
func TestDNSUnbound(t *testing.T) {
	program := drivertest.Program(t, "unbound")
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	_, port, _ := net.SplitHostPort(addr)
	free.Close()
	conf := filepath.Join(t.TempDir(), "unbound.conf")
	text := `server:
  interface: 127.0.0.1@` + port + `
  chroot: ""
  username: ""
  directory: "` + filepath.Dir(conf) + `"
  pidfile: ""
  use-syslog: no
  do-daemonize: no
  nsid: "ascii_ams1"
  max-udp-size: 512
  local-zone: "example.com." static
  local-data: "www.example.com. 60 IN A 192.0.2.1"
`
	for _, c := range "abcdefg" {
		text += `  local-data: 'long.example.com. 60 IN TXT "` + strings.Repeat(string(c), 200) + `"'` + "\n"
	}
	text += "remote-control:\n  control-enable: no\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var log head
	daemon := exec.Command(program, "-c", conf)
	daemon.Stdout, daemon.Stderr = &log, &log
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		daemon.Process.Kill()
		daemon.Wait()
		if t.Failed() {
			t.Log(log.kept.String())
		}
	})
	ask := *asksDNS(addr, "www.example.com", dns.TypeA)
	for ctx := within(t); ; {
		err := ask.Check(ctx)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("unbound does not start: %v", errors.Join(ctx.Err(), err))
		}
	}
	for name, tt := range map[string]struct {
		change func(*DNS)
		err    string
	}{
		"all": {change: func(d *DNS) {
			d.AA, d.NSID, d.Answers = true, regexp.MustCompile(`^ams1$`), []string{`60 IN A 192\.0\.2\.1$`}
		}},
		"more": {change: func(d *DNS) {
			d.Transport, d.MinAnswers = "tcp", 1
			d.Also = []DNSQuestion{{"long.example.com", RRType(dns.TypeTXT)}, {"www.example.com", RRType(dns.TypeA)}}
		}},
		"more, none": {
			change: func(d *DNS) { d.Also = []DNSQuestion{{"none.example.com", RRType(dns.TypeA)}} },
			err:    "asking ADDR over udp for none.example.com. IN A: got NXDOMAIN, expected NOERROR",
		},
		"tcp": {change: func(d *DNS) { d.Transport = "tcp" }},
		"truncated": {change: func(d *DNS) {
			d.Query, d.Type, d.MinAnswers, d.Answers = "long.example.com", RRType(dns.TypeTXT), 7, []string{"gggg"}
		}},
		"no such name": {
			change: func(d *DNS) { d.Query = "none.example.com" },
			err:    "asking ADDR over udp for none.example.com. IN A: got NXDOMAIN, expected NOERROR",
		},
		"not validated": {
			change: func(d *DNS) { d.AD = true },
			err:    "asking ADDR over udp for www.example.com. IN A: the answer is not validated by DNSSEC (no AD)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := ask
			tt.change(&c)
			sameError(t, c.Check(within(t)), tt.err, addr)
		})
	}
	for _, over := range []string{"udp", "tcp"} {
		ask.Transport = over
		hangs(t, "unbound", ask.Check, "asking ADDR over "+over+" for www.example.com. IN A: timed out", addr)
	}
	dies(t, "unbound", ask.Check)
}
