package checks

import (
	"crypto/tls"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/keepcast/keepcast/driver/drivertest"
)

func TestSMTP(t *testing.T) {
	root := issue(t, "root ca", nil, nil)
	ca, _ := root.files(t)
	secure := &tls.Config{Certificates: []tls.Certificate{issue(t, "mail.example.com", root, nil).pair()}}
	other := &tls.Config{Certificates: []tls.Certificate{issue(t, "other.example.com", issue(t, "other ca", nil, nil), nil).pair()}}
	const offers = "250-mail.example.com\n250-SIZE 1000\n250 STARTTLS"
	start := SMTP{Transport: "starttls", TLS: TLS{CA: ca}}
	for name, tt := range map[string]struct {
		serve func(net.Conn)
		smtp  SMTP
		err   string
	}{
		"plain":         {script("220 mail ESMTP", "EHLO [127.0.0.1]", "250 mail", "NOOP", "250 ok", "QUIT", "221 bye"), SMTP{}, ""},
		"many lines":    {script("220-mail\n220-no spam\n220 please", "EHLO", offers, "NOOP", "250", "QUIT", "221"), SMTP{Banner: regexp.MustCompile(`(?s)^mail.*please$`)}, ""},
		"name":          {script("220 mail", "EHLO me.example.com\r\n", "250 mail", "NOOP", "250 ok", "QUIT", "221 bye"), SMTP{Name: "me.example.com"}, ""},
		"lmtp":          {script("220 mail", "LHLO", "250 mail", "NOOP", "250 ok", "QUIT", "221 bye"), SMTP{Protocol: "lmtp"}, ""},
		"starttls":      {saysOver(secure, "220 mail", "EHLO", offers, "STARTTLS", "220 go", "TLS", "EHLO", "250 mail", "NOOP", "250 ok", "QUIT", "221 bye"), start, ""},
		"lower case":    {saysOver(secure, "220 mail", "EHLO", "250-mail\n250-starttls \n250 x", "STARTTLS", "220 go", "TLS", "EHLO", "250 mail", "NOOP", "250 ok", "QUIT", "221 bye"), start, ""},
		"not trusted":   {saysOver(other, "220 mail", "EHLO", offers, "STARTTLS", "220 go", "TLS", "EHLO", "250 mail"), start, "ADDR: tls handshake: tls: failed to verify certificate: x509: certificate signed by unknown authority; tls.ca sets whom to trust"},
		"not offered":   {script("220 mail", "EHLO", "250-mail\n250 STARTTLSX", "QUIT", "221 bye"), start, "ADDR: STARTTLS: the server does not offer it"},
		"only its name": {script("220 mail", "EHLO", "250 STARTTLS", "QUIT", "221 bye"), start, "ADDR: STARTTLS: the server does not offer it"},
		"not available": {script("220 mail", "EHLO", offers, "STARTTLS", "454 no TLS now"), start, `ADDR: STARTTLS: got "454 no TLS now", expected 220`},
		"injected":      {script("220 mail", "EHLO", offers, "STARTTLS", "220 go\n250 mail"), start, "ADDR: STARTTLS: the server went on without TLS"},
		"tls hangs":     {script("220 mail", "EHLO", offers, "STARTTLS", "220 go"), start, "ADDR: tls handshake: timed out"},
		"busy":          {script("421 4.3.2 too busy"), SMTP{}, `ADDR: greeting: got "421 4.3.2 too busy", expected 220`},
		"busy later":    {script("220 mail", "EHLO", "250 mail", "NOOP", "421-too\n421 busy"), SMTP{}, `ADDR: NOOP: got "421 too\nbusy", expected 250`},
		"no service":    {script("554 go away"), SMTP{}, `ADDR: greeting: got "554 go away", expected 220`},
		"other banner":  {script("220 mail"), SMTP{Banner: regexp.MustCompile("^mx")}, `ADDR: greeting: no match for '^mx' in "mail"`},
		"no EHLO":       {script("220 mail", "EHLO", "502 what"), SMTP{}, `ADDR: EHLO: got "502 what", expected 250`},
		"no LHLO":       {script("220 mail", "LHLO", "502 what"), SMTP{Protocol: "lmtp"}, `ADDR: LHLO: got "502 what", expected 250`},
		"no QUIT":       {script("220 mail", "EHLO", "250 mail", "NOOP", "250 ok", "QUIT", "500 stay"), SMTP{}, `ADDR: QUIT: got "500 stay", expected 221`},
		"no greeting":   {func(net.Conn) {}, SMTP{}, "ADDR: greeting: timed out"},
		"half a line":   {func(c net.Conn) { c.Write([]byte("220 ma")) }, SMTP{}, "ADDR: greeting: timed out"},
		"half a reply":  {script("220-mail"), SMTP{}, "ADDR: greeting: timed out"},
		"half-dead":     {script("220 mail", "EHLO", "250 mail"), SMTP{}, "ADDR: NOOP: timed out"},
		"closes":        {func(c net.Conn) { c.Write([]byte("220 mail\r\n")); readLine(c); c.Close() }, SMTP{}, "ADDR: EHLO: closed by the other side"},
		"garbage":       {script("\x00\xff garbage"), SMTP{}, "ADDR: greeting: no reply of SMTP: \"\\x00\uFFFD garbage\""},
		"web":           {script("HTTP/1.1 400 Bad Request"), SMTP{}, `ADDR: greeting: no reply of SMTP: "HTTP/1.1 400 Bad Request"`},
		"other code":    {script("220-mail\n250 mail"), SMTP{}, `ADDR: greeting: no reply of SMTP: "250 mail"`},
		"code too long": {script("2200 mail"), SMTP{}, `ADDR: greeting: no reply of SMTP: "2200 mail"`},
		"empty line":    {script(""), SMTP{}, `ADDR: greeting: no reply of SMTP: ""`},
		"floods":        {script("220-" + strings.Repeat("a", 1<<17)), SMTP{}, "ADDR: greeting: the server said more than 65536 bytes"},
		"floods lines":  {script(strings.Repeat("220-a\n", 1<<14)), SMTP{}, "ADDR: greeting: the server said more than 65536 bytes"},
		"tls":           {shows(issue(t, "a", root, nil).pair()), SMTP{Transport: "tls", TLS: TLS{CA: ca}}, "ADDR: greeting: timed out"},
		"plain for tls": {script("220 mail"), SMTP{Transport: "tls", TLS: TLS{CA: ca}}, "ADDR: tls handshake: tls: first record does not look like a TLS handshake"},
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			c := tt.smtp
			c.Address = listen(t, tt.serve)
			if err := c.Validate(); err != nil {
				t.Fatal(err)
			}
			ctx := within(t)
			if strings.HasSuffix(tt.err, "timed out") {
				ctx = briefly(t)
			}
			sameError(t, c.Check(ctx), tt.err, c.Address)
		})
	}
	t.Run("refused", func(t *testing.T) {
		c := SMTP{Address: freeAddress(t)}
		sameError(t, c.Check(within(t)), "ADDR: dial tcp ADDR: connect: connection refused", c.Address)
	})
}

// A server that is told QUIT logs no lost connection.
func TestSMTPQuits(t *testing.T) {
	said := make(chan string, 2)
	c := SMTP{Banner: regexp.MustCompile("^mx"), Address: listen(t, func(c net.Conn) {
		c.Write([]byte("220 mail\r\n"))
		said <- readLine(c)
		c.Close()
	})}
	sameError(t, c.Check(within(t)), `ADDR: greeting: no match for '^mx' in "mail"`, c.Address)
	if got := <-said; got != "QUIT\r\n" {
		t.Errorf("it said %q", got)
	}
}

// readLine reads a line, byte by byte.
func readLine(c net.Conn) string {
	var line []byte
	for buf := make([]byte, 1); !strings.HasSuffix(string(line), "\n"); {
		if _, err := c.Read(buf); err != nil {
			break
		}
		line = append(line, buf[0])
	}
	return string(line)
}

func TestAddressLiteral(t *testing.T) {
	for local, want := range map[string]string{
		"192.0.2.1:25":     "[192.0.2.1]",
		"[2001:db8::1]:25": "[IPv6:2001:db8::1]",
		"[fe80::1%lo]:25":  "[IPv6:fe80::1]",
	} {
		addr, err := net.ResolveTCPAddr("tcp", local)
		if err != nil {
			t.Fatal(err)
		}
		if got := addressLiteral(addr); got != want {
			t.Errorf("%s: got %s", local, got)
		}
	}
}

func TestSMTPValidate(t *testing.T) {
	for name, tt := range map[string]struct {
		smtp SMTP
		err  string
	}{
		"good":       {SMTP{Address: "127.0.0.1:25", Transport: "starttls", Name: "[192.0.2.1]", TLS: TLS{CA: "/ca"}}, ""},
		"no port":    {SMTP{Address: "127.0.0.1"}, `address: "127.0.0.1" is not a host and a port, as in 127.0.0.1:25 or [::1]:25`},
		"tls unused": {SMTP{Address: "127.0.0.1:25", Transport: "tcp", TLS: TLS{CA: "/ca"}}, "tls: only with transport: tls or transport: starttls"},
		"cert alone": {SMTP{Address: "127.0.0.1:25", Transport: "tls", TLS: TLS{Cert: "/c"}}, "tls: cert and key go together, only one is set"},
		"name":       {SMTP{Address: "127.0.0.1:25", Name: "a\r\nMAIL"}, `name: "a\r\nMAIL" is no name of a host and no address in brackets`},
	} {
		t.Run(name, func(t *testing.T) { sameError(t, tt.smtp.Validate(), tt.err, "") })
	}
}

// FuzzSMTP looks for a reply that is taken for another one.
func FuzzSMTP(f *testing.F) {
	for _, reply := range []string{"250 ok\r\n", "250-a\r\n250 b\r\n", "220", "\r\n", "250\n", "25x no\n", "250-a\n550 b\n", "000-\n250 \n"} {
		f.Add(reply)
	}
	f.Fuzz(func(t *testing.T, said string) {
		here, there := net.Pipe()
		go func() { there.Write([]byte(said)); there.Close() }()
		text, err := replySMTP(t.Context(), newLines(here), 250)
		here.Close()
		if err == nil && !strings.HasPrefix(said, "250") {
			t.Errorf("%q is %q", said, text)
		}
	})
}

// postfixConf is one that delivers nothing. Its files are in DIR, CERT and KEY.
const postfixConf = `compatibility_level = 3.6
queue_directory = DIR/queue
data_directory = DIR/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
myhostname = mail.example.com
inet_interfaces = 127.0.0.1
local_recipient_maps =
smtpd_client_event_limit_exceptions =
smtpd_tls_cert_file = CERT
smtpd_tls_key_file = KEY
maillog_file = DIR/log
maillog_file_prefixes = DIR
`

// postfixServices are those of postfix, with a port for each way to be asked.
const postfixServices = `PLAIN    inet n - n - -  smtpd
STARTTLS inet n - n - -  smtpd -o smtpd_tls_security_level=may
TLS      inet n - n - -  smtpd -o smtpd_tls_wrappermode=yes
BUSY     inet n - n - -  smtpd -o smtpd_client_connection_count_limit=1
FULL     inet n - n - 1  smtpd
anvil    unix - - n - 1  anvil
tlsmgr   unix - - n - 1  tlsmgr
proxymap unix - - n - -  proxymap
postlog  unix-dgram n - n - 1 postlogd
`

// TestSMTPReal asks Postfix.
func TestSMTPReal(t *testing.T) {
	drivertest.NeedsRoot(t, "for postfix")
	program := drivertest.Program(t, "postfix")
	root := issue(t, "root ca", nil, nil)
	ca, _ := root.files(t)
	cert, key := issue(t, "mail.example.com", root, nil).files(t)
	plain, starttls, secure, busy, full := freeAddress(t), freeAddress(t), freeAddress(t), freeAddress(t), freeAddress(t)
	dir := drivertest.SocketDir(t)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	drivertest.WriteFile(t, dir+"/main.cf", strings.NewReplacer("DIR", dir, "CERT", cert, "KEY", key).Replace(postfixConf))
	drivertest.WriteFile(t, dir+"/master.cf", strings.NewReplacer("PLAIN", plain, "STARTTLS", starttls, "TLS ", secure+" ", "BUSY", busy, "FULL", full).Replace(postfixServices))
	if out, err := exec.Command("sh", "-ec", "cd $0; mkdir queue data; chown postfix data; $1 -c $0 check", dir, program).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	startDaemon(t, "/usr/lib/postfix/sbin/master", "-d", "-c", dir)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(drivertest.ReadFile(t, dir+"/log"))
		}
	})
	drivertest.Eventually(t, "postfix greets", func() bool { return (&SMTP{Address: plain}).Check(within(t)) == nil })
	for _, at := range []string{busy, full} { // taken by another client, who is greeted
		conn, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		readLine(conn)
	}

	for name, tt := range map[string]struct {
		at    string
		check Checker
		err   string
	}{
		"plain":              {plain, &SMTP{Address: plain, Banner: regexp.MustCompile(`^mail\.example\.com ESMTP Postfix`)}, ""},
		"plain for starttls": {plain, &SMTP{Address: plain, Transport: "starttls", TLS: TLS{CA: ca}}, "ADDR: STARTTLS: the server does not offer it"},
		"starttls":           {starttls, &SMTP{Address: starttls, Transport: "starttls", TLS: TLS{CA: ca, ServerName: "mail.example.com"}}, ""},
		"starttls, not used": {starttls, &SMTP{Address: starttls}, ""},
		"tls":                {secure, &SMTP{Address: secure, Transport: "tls", TLS: TLS{CA: ca}}, ""},
		"other banner":       {plain, &SMTP{Address: plain, Banner: regexp.MustCompile(`^OpenSMTPD`)}, `ADDR: greeting: no match for '^OpenSMTPD' in "mail.example.com ESMTP Postfix"`},
		"no lmtp":            {plain, &SMTP{Address: plain, Protocol: "lmtp"}, `ADDR: LHLO: got "500 5.5.2 Error: command not recognized", expected 250`},
		"busy":               {busy, &SMTP{Address: busy}, `ADDR: greeting: got "421 4.7.0 mail.example.com Error: too many connections from 127.0.0.1", expected 220`},
		"full":               {full, &SMTP{Address: full}, `ADDR: greeting: timed out`},
		"certificate":        {starttls, &Certificate{Address: starttls, StartTLS: "smtp", DaysLeft: 300, TLS: TLS{CA: ca, ServerName: "mail.example.com"}}, ""},
		"other name": {
			starttls, &Certificate{Address: starttls, StartTLS: "smtp", TLS: TLS{CA: ca, ServerName: "mx.example.com"}},
			"ADDR: certificate CN=mail.example.com is for mail.example.com 127.0.0.1, not for mx.example.com",
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := within(t)
			if strings.HasSuffix(tt.err, "timed out") {
				ctx = briefly(t)
			}
			sameError(t, tt.check.Check(ctx), tt.err, tt.at)
		})
	}
	if log := drivertest.ReadFile(t, dir+"/log"); strings.Count(log, "lost connection") != strings.Count(log, "lost connection after CONNECT") {
		t.Errorf("connections are lost that were talked over:\n%s", log)
	}
	// By chance a hello of TLS has the end of a line, and so was talked over.
	err := (&SMTP{Address: plain, Transport: "tls", TLS: TLS{CA: ca}}).Check(within(t))
	sameError(t, err, "ADDR: tls handshake: tls: first record does not look like a TLS handshake", plain)
}
