package checks

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// freeRADIUS is the configuration of a server that listens on port P for logins and on port A
// for accounting. A user of the name broken has a database that fails. Only logins are
// answered with a Message-Authenticator, as by the servers before July 2024.
const freeRADIUS = `
raddbdir = DIR
logdir = DIR
run_dir = DIR
libdir = /usr/lib/freeradius
log {
  destination = stdout
}
security {
  status_server = yes
  reject_delay = 0
}
proxy_requests = no
client loopback {
  ipaddr = 127.0.0.1
  secret = shared
}
thread pool {
  start_servers = 1
  max_servers = 1
  min_spare_servers = 1
  max_spare_servers = 1
}
modules {
  files {
    filename = DIR/users
  }
  pap {
  }
  always backend {
    rcode = fail
  }
}
server default {
  listen {
    type = auth
    ipaddr = 127.0.0.1
    port = P
  }
  listen {
    type = acct
    ipaddr = 127.0.0.1
    port = A
  }
  authorize {
    files
    if (&User-Name == "broken") {
      backend
    }
    pap
  }
  authenticate {
    pap
  }
  post-auth {
    update reply {
      Message-Authenticator := 0x00
    }
    Post-Auth-Type REJECT {
      update reply {
        Message-Authenticator := 0x00
      }
    }
  }
}
`

// TestRadiusFree asks a real server.
func TestRadiusFree(t *testing.T) {
	program := drivertest.Program(t, "freeradius")
	dir, logins, accounting := t.TempDir(), freeAddress(t), freeAddress(t)
	const password = "longer than one block of 16 bytes"
	drivertest.WriteFile(t, filepath.Join(dir, "radiusd.conf"),
		strings.NewReplacer("DIR", dir, "port = P", "port = "+portOf(logins), "port = A", "port = "+portOf(accounting)).Replace(freeRADIUS))
	drivertest.WriteFile(t, filepath.Join(dir, "users"), `keepcast Cleartext-Password := "`+password+`"`+"\n  Reply-Message := \"hello\"\n")
	status := Radius{Address: logins, SecretFile: secretFile(t, "shared"), Send: "status", Expect: "accept"}
	accountOf(t, "root").start(t, program, "-f", "-d", dir, "-l", "stdout")
	fitAtLast(t, &status)
	login := status
	login.Send, login.User, login.PasswordFile, login.Signed = "access", "keepcast", secretFile(t, password), true
	wrong := secretFile(t, "wrong")
	for name, tt := range map[string]struct {
		radius Radius
		change func(*Radius)
		err    string
	}{
		"status":          {radius: status},
		"accounting":      {radius: status, change: func(r *Radius) { r.Address = accounting }},
		"not signed":      {radius: status, change: func(r *Radius) { r.Signed = true }, err: "ADDR: waiting for an answer to Status-Server: it has no Message-Authenticator: update the server, or set require_message_authenticator: false"},
		"secret":          {radius: status, change: func(r *Radius) { r.SecretFile = wrong }, err: "ADDR: waiting for an answer to Status-Server: timed out: a server is silent, too, where it has another secret for this host, or none, or does not tell its status"},
		"accept":          {radius: login},
		"reject":          {radius: login, change: func(r *Radius) { r.PasswordFile = wrong }, err: `ADDR: got Access-Reject: "hello", expected Access-Accept`},
		"no user":         {radius: login, change: func(r *Radius) { r.User = "nobody" }, err: "ADDR: got Access-Reject, expected Access-Accept"},
		"answer":          {radius: login, change: func(r *Radius) { r.User, r.Expect = "nobody", "answer" }},
		"backend":         {radius: login, change: func(r *Radius) { r.User = "broken" }, err: "ADDR: got Access-Reject, expected Access-Accept"},
		"backend, answer": {radius: login, change: func(r *Radius) { r.User, r.Expect = "broken", "answer" }},
		"login, secret":   {radius: login, change: func(r *Radius) { r.SecretFile = wrong }, err: "ADDR: waiting for an answer to Access-Request: timed out: a server is silent, too, where it has another secret for this host, or none"},
	} {
		t.Run(name, func(t *testing.T) {
			c := tt.radius
			if tt.change != nil {
				tt.change(&c)
			}
			if err := c.Validate(); err != nil {
				t.Fatal(err)
			}
			ctx := within(t)
			if strings.Contains(tt.err, "timed out") {
				ctx = shortly(t)
			}
			sameError(t, c.Check(ctx), tt.err, c.Address)
		})
	}
	hangs(t, "freeradius", status.Check, "ADDR: waiting for an answer to Status-Server: timed out: a server is silent, too, where it has another secret for this host, or none, or does not tell its status", logins)
	dies(t, "freeradius", status.Check)
}
