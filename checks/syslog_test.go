package checks

import (
	"crypto/tls"
	"io"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/keepcast/keepcast/driver/drivertest"
)

func TestSyslog(t *testing.T) {
	const brief = 10 * time.Millisecond
	silent := func(c net.Conn) { io.Copy(io.Discard, c); c.Close() }
	for name, tt := range map[string]struct {
		serve  func(net.Conn) // nil: nothing listens
		syslog Syslog
		err    string
	}{
		"silent":  {silent, Syslog{Transport: "tcp", Quiet: brief}, ""},
		"message": {silent, Syslog{Transport: "tcp", Message: "a", Quiet: brief}, ""},
		"full":    {func(c net.Conn) { c.Close() }, Syslog{Transport: "tcp", Quiet: time.Hour}, "ADDR: not taken: closed by the other side"},
		"speaks": {
			func(c net.Conn) { c.Write([]byte("220 mail\r\n")); silent(c) },
			Syslog{Transport: "tcp", Quiet: time.Hour},
			`ADDR: it answers, which no syslog server does: "220 mail"`,
		},
		"too quiet":   {silent, Syslog{Transport: "tcp", Quiet: time.Hour}, "ADDR: not taken: timed out"},
		"refused":     {nil, Syslog{Transport: "tcp", Quiet: time.Hour}, "ADDR: dial tcp ADDR: connect: connection refused"},
		"tls, to tcp": {silent, Syslog{Transport: "tls", Quiet: brief, TLS: TLS{SkipVerify: true}}, "ADDR: tls handshake: timed out"},
		"no ca":       {silent, Syslog{Transport: "tls", Quiet: brief, TLS: TLS{CA: "/nonexistent"}}, "ADDR: tls.ca: open /nonexistent: no such file or directory"},
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			c := tt.syslog
			c.Address = freeAddress(t)
			if tt.serve != nil {
				c.Address = listen(t, tt.serve)
			}
			if err := c.Validate(); err != nil {
				t.Fatal(err)
			}
			checkOf(t, &c, tt.err, c.Address)
		})
	}
}

func TestSyslogUDP(t *testing.T) {
	noLeaks(t)
	asked := make(chan string, 1)
	silent := datagrams(t, func(text string) []string { asked <- text; return nil })
	c := Syslog{Address: silent, Transport: "udp", Quiet: 10 * time.Millisecond}
	var s Sight
	sameError(t, c.Check(WithSight(within(t), &s)), "", "")
	if seen, awaits := s.Seen(); len(seen) != 2 || seen[1].What+seen[1].Text != "quietno refusal in 10ms" || awaits != "" {
		t.Errorf("saw %v, awaits %q", seen, awaits)
	}
	if got := <-asked; got != "" {
		t.Errorf("it sent %q", got)
	}
	c.Message = "Größe"
	sameError(t, c.Check(within(t)), "", "")
	if got := <-asked; !regexp.MustCompile(`^<30>1 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\S+ \S+ keepcast \d+ - - Größe$`).MatchString(got) {
		t.Errorf("it sent %q", got)
	}
	c = Syslog{Address: datagrams(t, func(string) []string { return []string{"pong"} }), Transport: "udp", Quiet: time.Hour}
	sameError(t, c.Check(within(t)), `ADDR: it answers, which no syslog server does: "pong"`, c.Address)
	c.Address = closedPort(t)
	err := c.Check(within(t))
	if err == nil || !regexp.MustCompile(`^ADDR: not taken: read udp \S+->ADDR: read: connection refused$`).MatchString(strings.ReplaceAll(err.Error(), c.Address, "ADDR")) {
		t.Errorf("refused: %v", err)
	}
}

func TestSyslogFrame(t *testing.T) {
	stamp := regexp.MustCompile(`^(\d* ?)<30>1 \S+ \S+ keepcast \d+ - - `)
	for name, tt := range map[string]struct {
		syslog Syslog
		want   string // with the length in place of LEN
	}{
		"nothing": {Syslog{Transport: "udp"}, ""},
		"udp":     {Syslog{Transport: "udp", Message: "a b", Framing: "count"}, "a b"},
		"count":   {Syslog{Transport: "tcp", Message: "a b", Framing: "count"}, "LEN a b"},
		"newline": {Syslog{Transport: "tls", Message: "a b", Framing: "newline"}, "a b\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got := string(tt.syslog.frame())
			length, text, counted := strings.Cut(got, " <")
			if counted {
				if n := len("<" + text); length != strconv.Itoa(n) {
					t.Errorf("%q: the length is %d", got, n)
				}
				got = stamp.ReplaceAllString(got, "LEN ")
			} else {
				got = stamp.ReplaceAllString(got, "")
			}
			if got != tt.want {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestSyslogValidate(t *testing.T) {
	for name, tt := range map[string]struct {
		syslog Syslog
		err    string
	}{
		"good":       {Syslog{Address: "[::1]:6514", Transport: "tls", Message: strings.Repeat("a", 1024), TLS: TLS{CA: "/ca"}}, ""},
		"no port":    {Syslog{Address: "127.0.0.1"}, `address: "127.0.0.1" is not a host and a port, as in 127.0.0.1:514 or [::1]:514`},
		"too long":   {Syslog{Address: "127.0.0.1:514", Message: strings.Repeat("a", 1025)}, "message: 1025 bytes are more than 1024"},
		"lines":      {Syslog{Address: "127.0.0.1:514", Message: "a\nb"}, `message: "a\nb" is not one line of text`},
		"tls unused": {Syslog{Address: "127.0.0.1:514", Transport: "tcp", TLS: TLS{CA: "/ca"}}, "tls: only with transport: tls"},
		"cert alone": {Syslog{Address: "127.0.0.1:514", Transport: "tls", TLS: TLS{Cert: "/c"}}, "tls: cert and key go together, only one is set"},
	} {
		t.Run(name, func(t *testing.T) { sameError(t, tt.syslog.Validate(), tt.err, "") })
	}
}

func TestSyslogValidateWithin(t *testing.T) {
	l := Syslog{Quiet: time.Second}
	sameError(t, l.ValidateWithin(500*time.Millisecond), "quiet: 1s is not less than timeout, 500ms, so that every run would time out", "")
	sameError(t, l.ValidateWithin(2*time.Second), "", "")
}

// A server of TLS 1.3 refuses a client without certificate after the handshake.
func TestSyslogClientCertificate(t *testing.T) {
	noLeaks(t)
	root := issue(t, "root ca", nil, nil)
	pair := issue(t, "log.example.com", root, nil).pair()
	c := Syslog{Transport: "tls", Quiet: time.Hour, TLS: TLS{SkipVerify: true}, Address: listen(t, func(c net.Conn) {
		defer c.Close()
		s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert})
		io.Copy(io.Discard, s)
	})}
	sameError(t, c.Check(within(t)), "ADDR: not taken: remote error: tls: certificate required", c.Address)
}

// rsyslogConf takes messages by UDP, TCP and TLS, and writes them to DIR/log.
const rsyslogConf = `global(workDirectory="DIR" net.enableDNS="off"
  defaultNetstreamDriverCAFile="$CA" defaultNetstreamDriverCertFile="$CERT" defaultNetstreamDriverKeyFile="$KEY")
module(load="imudp")
module(load="imtcp")
input(type="imudp" address="127.0.0.1" port="UDP")
input(type="imtcp" address="127.0.0.1" port="TCP")
input(type="imtcp" address="127.0.0.1" port="TLS" streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="anon")
template(name="line" type="string" string="%inputname% %pri% %app-name%:%msg%\n")
action(type="omfile" file="DIR/log" template="line")
`

// TestSyslogReal asks rsyslog, and looks at what it logs.
func TestSyslogReal(t *testing.T) {
	noLeaks(t)
	program := drivertest.Program(t, "rsyslogd")
	root := issue(t, "root ca", nil, nil)
	ca, _ := root.files(t)
	cert, key := issue(t, "log.example.com", root, nil).files(t)
	dir := t.TempDir()
	at := map[string]string{"udp": closedPort(t), "tcp": freeAddress(t), "tls": freeAddress(t)}
	drivertest.WriteFile(t, dir+"/conf", strings.NewReplacer("DIR", dir, "$CA", ca, "$CERT", cert, "$KEY", key,
		"UDP", portOf(at["udp"]), "TCP", portOf(at["tcp"]), "TLS", portOf(at["tls"])).Replace(rsyslogConf))
	daemon := startDaemon(t, program, "-n", "-f", dir+"/conf", "-i", dir+"/pid")
	ask := func(transport, message, framing string) *Syslog {
		return &Syslog{
			Address: at[transport], Transport: transport, Message: message, Framing: framing, Quiet: 50 * time.Millisecond,
			TLS: TLS{CA: ca},
		}
	}
	for transport := range at {
		fitAtLast(t, ask(transport, "", "count"))
	}
	for transport := range at {
		for _, framing := range []string{"count", "newline"} {
			sameError(t, ask(transport, framing+" "+transport, framing).Check(within(t)), "", "")
		}
	}
	want := []string{
		"imudp 30 keepcast:count udp", "imudp 30 keepcast:newline udp", "imtcp 30 keepcast:count tcp", "imtcp 30 keepcast:newline tcp",
		"imtcp 30 keepcast:count tls", "imtcp 30 keepcast:newline tls",
	}
	logged := func() []string {
		text, _ := os.ReadFile(dir + "/log")
		return strings.Split(strings.TrimSpace(string(text)), "\n")
	}
	drivertest.Eventually(t, "all is logged", func() bool { return len(logged()) >= len(want) })
	drivertest.Same(t, "the log", want, logged())
	hangs(t, "rsyslogd", ask("tls", "", "count").Check, "ADDR: tls handshake: timed out", at["tls"])
	daemon.Kill()
	for transport := range at {
		drivertest.Eventually(t, transport+" is refused", func() bool {
			err := ask(transport, "", "count").Check(within(t))
			return err != nil && strings.HasSuffix(err.Error(), "connection refused")
		})
	}
}
