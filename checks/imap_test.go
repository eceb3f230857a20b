package checks

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/keepcast/keepcast/driver/drivertest"
)

func TestIMAP(t *testing.T) {
	root := issue(t, "root ca", nil, nil)
	ca, _ := root.files(t)
	secure := &tls.Config{Certificates: []tls.Certificate{issue(t, "mail.example.com", root, nil).pair()}}
	const (
		caps = "* CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN\nTAG OK done"
		out  = "* BYE bye\nTAG OK done"
	)
	start := IMAP{Transport: "starttls", TLS: TLS{CA: ca}}
	user := IMAP{User: "me", PasswordFile: passwordFile(t, "secret\n")}
	response := base64.StdEncoding.EncodeToString([]byte("\x00me\x00secret"))
	for name, tt := range map[string]struct {
		serve func(net.Conn)
		imap  IMAP
		err   string
	}{
		"plain":               {script("* OK ready", "CAPABILITY", caps, "LOGOUT", out), IMAP{}, ""},
		"lower case":          {script("* ok ready", "CAPABILITY", "* capability imap4rev1\nTAG ok", "LOGOUT", out), IMAP{}, ""},
		"rev2":                {script("* OK ready", "CAPABILITY", "* CAPABILITY IMAP4rev2\nTAG OK", "LOGOUT", out), IMAP{}, ""},
		"two greetings":       {script("* OK wait\n* OK ready", "CAPABILITY", caps, "LOGOUT", out), IMAP{}, ""},
		"known already":       {script("* PREAUTH hello", "CAPABILITY", caps, "LOGOUT", out), IMAP{}, ""},
		"capabilities":        {script("* OK ready", "CAPABILITY", caps, "LOGOUT", out), IMAP{Capabilities: []string{"auth=plain", "IMAP4rev1"}}, ""},
		"one is missing":      {script("* OK ready", "CAPABILITY", caps, "LOGOUT", out), IMAP{Capabilities: []string{"IDLE"}}, `ADDR: CAPABILITY: no IDLE in "IMAP4rev1 STARTTLS AUTH=PLAIN"`},
		"no IMAP":             {script("* OK ready", "CAPABILITY", "* CAPABILITY POP3\nTAG OK", "LOGOUT", out), IMAP{}, `ADDR: CAPABILITY: neither IMAP4rev1 nor IMAP4rev2 in "POP3"`},
		"no capabilities":     {script("* OK ready", "CAPABILITY", "TAG OK", "LOGOUT", out), IMAP{}, `ADDR: CAPABILITY: neither IMAP4rev1 nor IMAP4rev2 in ""`},
		"starttls":            {saysOver(secure, "* OK ready", "CAPABILITY", caps, "STARTTLS", "TAG OK go", "TLS", "CAPABILITY", "* CAPABILITY IMAP4rev1 X\nTAG OK", "LOGOUT", out), IMAP{Transport: "starttls", TLS: TLS{CA: ca}, Capabilities: []string{"X"}}, ""},
		"not offered":         {script("* OK ready", "CAPABILITY", "* CAPABILITY IMAP4rev1\nTAG OK", "LOGOUT", out), start, "ADDR: STARTTLS: the server does not offer it"},
		"not available":       {script("* OK ready", "CAPABILITY", caps, "STARTTLS", "TAG NO not now", "LOGOUT", out), start, `ADDR: STARTTLS: got "NO not now"`},
		"injected":            {script("* OK ready", "CAPABILITY", caps, "STARTTLS", "TAG OK go\n* CAPABILITY X"), start, "ADDR: STARTTLS: the server went on without TLS"},
		"login":               {script("* OK ready", "CAPABILITY", caps, "AUTHENTICATE PLAIN", "+ ", response, "a2 OK in", "STATUS INBOX", "TAG OK", "LOGOUT", out), user, ""},
		"login refused":       {script("* OK ready", "CAPABILITY", caps, "AUTHENTICATE", "+ ", response, "a2 NO [AUTHENTICATIONFAILED] no", "LOGOUT", out), user, `ADDR: AUTHENTICATE: got "NO [AUTHENTICATIONFAILED] no"`},
		"secrets repeated":    {script("* OK ready", "CAPABILITY", caps, "AUTHENTICATE", "+ ", response, "a2 NO secret "+response, "LOGOUT", out), user, `ADDR: AUTHENTICATE: got "NO xxxxx xxxxx"`},
		"not over plain TCP":  {script("* OK ready", "CAPABILITY", caps, "AUTHENTICATE", "TAG NO [PRIVACYREQUIRED] no", "LOGOUT", out), user, `ADDR: AUTHENTICATE: got "NO [PRIVACYREQUIRED] no"`},
		"in, but broken":      {script("* OK ready", "CAPABILITY", caps, "AUTHENTICATE", "+ ", response, "a2 OK in\n* BYE broken", "STATUS INBOX", "", "LOGOUT", out), user, `ADDR: STATUS: the server is leaving: "BYE broken"`},
		"login, known":        {script("* PREAUTH hello", "CAPABILITY", caps, "LOGOUT", out), user, "ADDR: greeting: the server takes us for somebody without a login (PREAUTH)"},
		"no password":         {script("* OK ready", "CAPABILITY", caps, "LOGOUT", out), IMAP{User: "me", PasswordFile: "/nonexistent/p"}, "ADDR: password_file: open /nonexistent/p: no such file or directory"},
		"asked unasked":       {script("* OK ready", "CAPABILITY", "+ ", "LOGOUT", out), user, `ADDR: CAPABILITY: not of IMAP: "+"`},
		"leaving":             {script("* BYE too many connections"), IMAP{}, `ADDR: greeting: the server is leaving: "* BYE too many connections"`},
		"leaving later":       {script("* OK ready", "CAPABILITY", "* BYE restart"), IMAP{}, `ADDR: CAPABILITY: the server is leaving: "BYE restart"`},
		"not done":            {script("* OK ready", "CAPABILITY", "* NO disk\nTAG BAD what"), IMAP{}, `ADDR: CAPABILITY: got "BAD what"`},
		"no LOGOUT":           {script("* OK ready", "CAPABILITY", caps, "LOGOUT", "TAG BAD stay"), IMAP{}, `ADDR: LOGOUT: got "BAD stay"`},
		"no greeting":         {func(net.Conn) {}, IMAP{}, "ADDR: greeting: timed out"},
		"half a line":         {func(c net.Conn) { c.Write([]byte("* OK re")) }, IMAP{}, "ADDR: greeting: timed out"},
		"half-dead":           {script("* OK Waiting for authentication process to respond.."), IMAP{}, "ADDR: CAPABILITY: timed out"},
		"closes":              {func(c net.Conn) { c.Write([]byte("* OK ready\r\n")); readLine(c); c.Close() }, IMAP{}, "ADDR: CAPABILITY: closed by the other side"},
		"web":                 {script("HTTP/1.1 400 Bad Request"), IMAP{}, `ADDR: greeting: not of IMAP: "HTTP/1.1 400 Bad Request"`},
		"smtp":                {script("220 mail"), IMAP{}, `ADDR: greeting: not of IMAP: "220 mail"`},
		"other greeting":      {script("* OKAY"), IMAP{}, `ADDR: greeting: not of IMAP: "* OKAY"`},
		"not untagged":        {script("OK ready"), IMAP{}, `ADDR: greeting: not of IMAP: "OK ready"`},
		"garbage":             {script("* OK ready", "CAPABILITY", "\x00\xff"), IMAP{}, "ADDR: CAPABILITY: not of IMAP: \"\\x00\uFFFD\""},
		"answer to another":   {script("* OK ready", "CAPABILITY", "a9 OK"), IMAP{}, `ADDR: CAPABILITY: not of IMAP: "a9 OK"`},
		"floods":              {script("* OK" + strings.Repeat("a", 1<<17)), IMAP{}, "ADDR: greeting: the server said more than 65536 bytes"},
		"floods lines":        {script("* OK ready", "CAPABILITY", strings.Repeat("* 1 EXISTS\n", 1<<13)), IMAP{}, "ADDR: CAPABILITY: the server said more than 65536 bytes"},
		"plain, asked by TLS": {script("* OK ready"), IMAP{Transport: "tls", TLS: TLS{CA: ca}}, "ADDR: tls handshake: tls: first record does not look like a TLS handshake"},
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			c := tt.imap
			c.Address = listen(t, tt.serve)
			if err := c.Validate(); err != nil {
				t.Fatal(err)
			}
			ctx := within(t)
			if strings.HasSuffix(tt.err, "timed out") {
				ctx = briefly(t)
			}
			var s Sight
			sameError(t, c.Check(WithSight(ctx, &s)), tt.err, c.Address)
			if seen, _ := s.Seen(); strings.Contains(fmt.Sprint(seen), "secret") || strings.Contains(fmt.Sprint(seen), response) {
				t.Errorf("a secret is seen: %v", seen)
			}
		})
	}
	t.Run("refused", func(t *testing.T) {
		c := IMAP{Address: freeAddress(t)}
		sameError(t, c.Check(within(t)), "ADDR: dial tcp ADDR: connect: connection refused", c.Address)
	})
}

// A server that is told LOGOUT logs no lost connection.
func TestIMAPLogsOut(t *testing.T) {
	said := make(chan string, 1)
	c := IMAP{Address: listen(t, func(c net.Conn) {
		c.Write([]byte("* OK ready\r\n"))
		readLine(c)
		c.Write([]byte("a1 NO\r\n"))
		said <- readLine(c)
	})}
	sameError(t, c.Check(within(t)), `ADDR: CAPABILITY: got "NO"`, c.Address)
	if got := <-said; got != "end LOGOUT\r\n" {
		t.Errorf("it said %q", got)
	}
}

func TestIMAPValidate(t *testing.T) {
	for name, tt := range map[string]struct {
		imap IMAP
		err  string
	}{
		"good":         {IMAP{Address: "127.0.0.1:143", User: "me", PasswordFile: "/p", Capabilities: []string{"AUTH=PLAIN"}}, ""},
		"no port":      {IMAP{Address: "127.0.0.1"}, `address: "127.0.0.1" is not a host and a port, as in 127.0.0.1:143 or [::1]:143`},
		"tls unused":   {IMAP{Address: "127.0.0.1:143", TLS: TLS{CA: "/ca"}}, "tls: only with transport: tls or transport: starttls"},
		"user alone":   {IMAP{Address: "127.0.0.1:143", User: "me"}, "user and password_file go together, only one is set"},
		"file alone":   {IMAP{Address: "127.0.0.1:143", PasswordFile: "/p"}, "user and password_file go together, only one is set"},
		"user":         {IMAP{Address: "127.0.0.1:143", User: "a\x00b", PasswordFile: "/p"}, `user: "a\x00b" has a NUL`},
		"capability":   {IMAP{Address: "127.0.0.1:143", Capabilities: []string{"IDLE ID"}}, `capabilities: "IDLE ID" is no capability`},
		"no cap":       {IMAP{Address: "127.0.0.1:143", Capabilities: []string{""}}, `capabilities: "" is no capability`},
		"starttls, ca": {IMAP{Address: "127.0.0.1:143", Transport: "starttls", TLS: TLS{CA: "/ca"}}, ""},
	} {
		t.Run(name, func(t *testing.T) { sameError(t, tt.imap.Validate(), tt.err, "") })
	}
}

func TestIMAPHost(t *testing.T) {
	good := passwordFile(t, "secret")
	if (&IMAP{Address: "127.0.0.1:143"}).Host() != nil {
		t.Error("there is nothing to look at")
	}
	if _, err := (&IMAP{PasswordFile: good}).Host()(); err != nil {
		t.Error(err)
	}
	_, err := (&IMAP{PasswordFile: "/nonexistent/p", TLS: TLS{CA: good}}).Host()()
	sameError(t, err, "password_file: open /nonexistent/p: no such file or directory", "")
	_, err = (&IMAP{PasswordFile: good, TLS: TLS{CA: "/nonexistent/ca"}}).Host()()
	sameError(t, err, "tls.ca: open /nonexistent/ca: no such file or directory", "")
}

// FuzzIMAP looks for an answer that is taken for another one.
func FuzzIMAP(f *testing.F) {
	for _, answer := range []string{"a1 OK\r\n", "* CAPABILITY X\r\na1 OK\r\n", "a1 NO\n", "+ \n", "* BYE\n", "*\n", "a1\n", "\n", "a1 OK"} {
		f.Add(answer)
	}
	f.Fuzz(func(t *testing.T, said string) {
		here, there := net.Pipe()
		go func() {
			readLine(there)
			there.Write([]byte(said))
			there.Close()
		}()
		d := &imapDialogue{lines: newLines(here)}
		err := d.ask(t.Context(), "CAPABILITY")
		here.Close()
		if err == nil && !strings.Contains(strings.ToUpper("\n"+said), "\nA1 OK") {
			t.Errorf("%q is an answer", said)
		}
	})
}

// dovecotConf lets everybody in with the password "secret". The mailbox of a user named
// file can't be opened.
const dovecotConf = `base_dir = DIR/run
state_dir = DIR/state
log_path = DIR/log
protocols = imap lmtp
listen = 127.0.0.1
ssl = yes
ssl_cert = <CERT
ssl_key = <KEY
auth_mechanisms = plain
auth_failure_delay = 0
mail_location = maildir:DIR/mail/%u
passdb {
  driver = static
  args = password=secret
}
userdb {
  driver = static
  args = uid=dovecot gid=dovecot home=DIR/home/%u
}
first_valid_uid = 1
service imap-login {
  inet_listener imap {
    port = IMAP
  }
  inet_listener imaps {
    port = SECURE
  }
}
service lmtp {
  inet_listener lmtp {
    address = 127.0.0.1
    port = LMTP
  }
}
`

// TestIMAPReal asks Dovecot, and what is left of it when a part of it hangs.
func TestIMAPReal(t *testing.T) {
	drivertest.NeedsRoot(t, "for dovecot")
	program := drivertest.Program(t, "dovecot")
	root := issue(t, "root ca", nil, nil)
	ca, _ := root.files(t)
	cert, key := issue(t, "mail.example.com", root, nil).files(t)
	plain, secure, lmtp := freeAddress(t), freeAddress(t), freeAddress(t)
	dir := drivertest.SocketDir(t)
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	port := func(at string) string { return at[strings.LastIndex(at, ":")+1:] }
	conf := filepath.Join(dir, "dovecot.conf")
	drivertest.WriteFile(t, conf, strings.NewReplacer("DIR", dir, "CERT", cert, "KEY", key,
		"IMAP", port(plain), "SECURE", port(secure), "LMTP", port(lmtp)).Replace(dovecotConf))
	if err := os.Mkdir(dir+"/mail", 0o700); err != nil {
		t.Fatal(err)
	}
	drivertest.WriteFile(t, dir+"/mail/file", "")
	if out, err := exec.Command("chown", "-R", "dovecot", dir+"/mail").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	process := startDaemon(t, program, "-F", "-c", conf)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(drivertest.ReadFile(t, dir+"/log"))
		}
	})
	drivertest.Eventually(t, "dovecot greets", func() bool { return (&IMAP{Address: plain}).Check(within(t)) == nil })
	password, wrong := passwordFile(t, "secret\n"), passwordFile(t, "sesame\n")
	trust := TLS{CA: ca, ServerName: "mail.example.com"}

	for name, tt := range map[string]struct {
		at    string
		check Checker
		err   string
	}{
		"plain":        {plain, &IMAP{Address: plain, Capabilities: []string{"IDLE", "STARTTLS", "AUTH=PLAIN"}}, ""},
		"starttls":     {plain, &IMAP{Address: plain, Transport: "starttls", TLS: trust}, ""},
		"tls":          {secure, &IMAP{Address: secure, Transport: "tls", TLS: trust}, ""},
		"login":        {plain, &IMAP{Address: plain, User: "me", PasswordFile: password}, ""},
		"login, tls":   {plain, &IMAP{Address: plain, Transport: "starttls", TLS: trust, User: "me", PasswordFile: password}, ""},
		"wrong":        {plain, &IMAP{Address: plain, User: "me", PasswordFile: wrong}, `ADDR: AUTHENTICATE: got "NO [AUTHENTICATIONFAILED] Authentication failed."`},
		"missing":      {plain, &IMAP{Address: plain, Capabilities: []string{"JMAP"}}, `ADDR: CAPABILITY: no JMAP in "IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ STARTTLS AUTH=PLAIN"`},
		"certificate":  {plain, &Certificate{Address: plain, StartTLS: "imap", TLS: trust}, ""},
		"certificates": {secure, &Certificate{Address: secure, TLS: trust}, ""},
		"lmtp":         {lmtp, &SMTP{Address: lmtp, Protocol: "lmtp"}, ""},
		"no smtp":      {lmtp, &SMTP{Address: lmtp}, `ADDR: EHLO: got "500 5.5.1 Unknown command", expected 250`},
		"lmtp, tls":    {lmtp, &SMTP{Address: lmtp, Protocol: "lmtp", Transport: "starttls", TLS: trust}, ""},
	} {
		t.Run(name, func(t *testing.T) { sameError(t, tt.check.Check(within(t)), tt.err, tt.at) })
	}
	t.Run("mailbox can't be opened", func(t *testing.T) {
		err := (&IMAP{Address: plain, User: "file", PasswordFile: password}).Check(within(t))
		const want = `: STATUS: got "NO [SERVERBUG] Internal error occurred. Refer to server log for more information. [`
		if err == nil || !strings.HasPrefix(err.Error(), plain+want) {
			t.Errorf("got %v, want %s", err, want)
		}
	})
	t.Run("authentication hangs", func(t *testing.T) {
		auth := childOf(t, process.Pid, "auth")
		syscall.Kill(auth, syscall.SIGSTOP)
		defer syscall.Kill(auth, syscall.SIGCONT)
		sameError(t, (&IMAP{Address: plain}).Check(briefly(t)), "ADDR: greeting: timed out", plain)
	})
}

// childOf returns the child of a process that has this name.
func childOf(t *testing.T, parent int, name string) int {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range all {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		var pid, of int
		var called, state string
		if _, err := fmt.Sscan(string(text), &pid, &called, &state, &of); err == nil && of == parent && called == "("+name+")" {
			return pid
		}
	}
	t.Fatalf("process %d has no child %s", parent, name)
	return 0
}
