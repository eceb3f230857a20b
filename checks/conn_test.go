package checks

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"go.uber.org/goleak"
)

// within returns a context for one check that is expected to end by itself.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// shortly returns a context for one check that is expected to run out of time.
func shortly(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// sameError compares an error with the text that is wanted, in which ADDR is
// the address of the server under test. No text is no error.
func sameError(t *testing.T, err error, want, addr string) {
	t.Helper()
	got := ""
	if err != nil {
		got = err.Error()
		if addr != "" {
			got = strings.ReplaceAll(got, addr, "ADDR")
		}
	}
	if got != want {
		t.Errorf("error\n got: %s\nwant: %s", got, want)
	}
}

// noLeaks fails the test if it leaves a goroutine behind.
func noLeaks(t *testing.T) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
}

// TestGuard proves that no kind of check connects past the guard.
func TestGuard(t *testing.T) {
	elsewhere := errors.New("this address is not on this host")
	guard := func(a netip.Addr) error {
		// localhost may be ::1 as well; 127.0.0.2 is the server that redirects.
		if a.IsLoopback() && a != netip.MustParseAddr("127.0.0.2") {
			return elsewhere
		}
		return nil
	}
	touched := make(chan string, 100)
	guarded := listen(t, func(c net.Conn) { touched <- "tcp"; c.Close() })
	receive(t, guarded, func(net.PacketConn, string, net.Addr) { touched <- "udp" })
	redirect := httptest.NewUnstartedServer(http.RedirectHandler("http://"+guarded+"/", http.StatusFound))
	redirect.Listener.Close()
	var err error
	if redirect.Listener, err = net.Listen("tcp", "127.0.0.2:0"); err != nil {
		t.Fatal(err)
	}
	redirect.Start()
	t.Cleanup(redirect.Close)
	connectTo := netip.MustParseAddrPort(guarded)
	_, port, _ := net.SplitHostPort(guarded)

	for name, c := range map[string]Checker{
		"http":          &HTTP{URL: "http://" + guarded},
		"http by name":  &HTTP{URL: "http://localhost:" + port},
		"http mapped":   &HTTP{URL: "http://[::ffff:127.0.0.1]:" + port},
		"http connect":  &HTTP{URL: "http://192.0.2.1", Connect: connectTo},
		"http redirect": &HTTP{URL: redirect.URL, Redirects: true},
		"http 2":        &HTTP{URL: "http://" + guarded, HTTP2: "require"},
		"https":         &HTTP{URL: "https://" + guarded},
		"tcp":           &TCP{Address: guarded},
		"tcp tls":       &TCP{Address: guarded, Transport: "tls"},
		"ping":          &Ping{Address: "127.0.0.1", Count: 1, MinAnswers: 1, Size: 8},
		"ping by name":  &Ping{Address: "localhost", Count: 1, MinAnswers: 1, Size: 8},
		"udp":           &UDP{Address: guarded, Send: "a", Quiet: time.Millisecond},
		"dhcp":          &DHCP{Address: guarded, Relay: addr("127.0.0.1")},
		"syslog":        &Syslog{Address: guarded, Transport: "udp", Quiet: time.Millisecond},
		"syslog tls":    &Syslog{Address: guarded, Transport: "tls", Quiet: time.Millisecond},
		"tftp":          &TFTP{Address: guarded, File: "a"},
		"snmp":          &SNMP{Address: guarded, OID: "1.3"},
		"smtp":          &SMTP{Address: guarded},
		"smtp tls":      &SMTP{Address: guarded, Transport: "tls"},
		"imap":          &IMAP{Address: guarded},
		"imap starttls": &IMAP{Address: guarded, Transport: "starttls"},
		"tls":           &Certificate{Address: guarded},
		"tls starttls":  &Certificate{Address: guarded, StartTLS: "smtp"},
		"ldap":          &LDAP{Address: guarded, Transport: "tcp", Filter: "(a=*)"},
		"ldap tls":      &LDAP{Address: guarded, Transport: "tls", Filter: "(a=*)"},
		"ldap starttls": &LDAP{Address: guarded, Transport: "starttls", Filter: "(a=*)"},
		"dns udp":       &DNS{Server: guarded, Transport: "udp", Query: "example.com"},
		"dns tcp":       &DNS{Server: guarded, Transport: "tcp", Query: "example.com"},
		"dns tls":       &DNS{Server: guarded, Transport: "tls", Query: "example.com"},
		"dns https":     &DNS{Server: guarded, Transport: "https", Query: "example.com"},
		"grpc":          &GRPC{Address: guarded},
		"grpc tls":      &GRPC{Address: guarded, Transport: "tls"},
		"mysql":         &MySQL{Address: guarded},
		"postgres":      &Postgres{Address: guarded},
		"postgres tls":  &Postgres{Address: guarded, Transport: "tls"},
		"redis":         &Redis{Address: guarded},
		"redis tls":     &Redis{Address: guarded, Transport: "tls"},
		"kerberos udp":  &Kerberos{Server: guarded, Realm: "A", Principal: "a"},
		"kerberos tcp":  &Kerberos{Server: guarded, Transport: "tcp", Realm: "A", Principal: "a"},
		"radius":        &Radius{Address: guarded, SecretFile: secretFile(t, "shared")},
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			err := c.Check(WithGuard(within(t), guard))
			if !errors.Is(err, elsewhere) {
				t.Errorf("not refused by the guard: %v", err)
			}
		})
	}
	select {
	case proto := <-touched:
		t.Errorf("a guarded address was reached over %s", proto)
	default:
	}
}

// TestCancelled proves that every kind that connects ends with its context
// also while it waits for an answer, and leaves nothing behind.
func TestCancelled(t *testing.T) {
	arrived := make(chan struct{}, 100)
	silent := listen(t, func(net.Conn) { arrived <- struct{}{} })
	for name, c := range map[string]Checker{
		"http":         &HTTP{URL: "http://" + silent},
		"http 2":       &HTTP{URL: "http://" + silent, HTTP2: "require"},
		"https":        &HTTP{URL: "https://" + silent},
		"tcp":          &TCP{Address: silent, Expect: regexp.MustCompile(`x`)},
		"tcp tls":      &TCP{Address: silent, Transport: "tls"},
		"dns tcp":      &DNS{Server: silent, Transport: "tcp", Query: "example.com"},
		"dns tls":      &DNS{Server: silent, Transport: "tls", Query: "example.com"},
		"dns https":    &DNS{Server: silent, Transport: "https", Query: "example.com"},
		"grpc":         &GRPC{Address: silent},
		"mysql":        &MySQL{Address: silent},
		"postgres":     &Postgres{Address: silent},
		"postgres tls": &Postgres{Address: silent, Transport: "tls"},
		"redis":        &Redis{Address: silent},
		"smtp":         &SMTP{Address: silent},
		"imap":         &IMAP{Address: silent},
		"tls":          &Certificate{Address: silent},
		"kerberos":     &Kerberos{Server: silent, Transport: "tcp", Realm: "A", Principal: "a"},
		"ldap":         &LDAP{Address: silent, Transport: "tcp", Filter: "(a=*)"},
		"ldap tls":     &LDAP{Address: silent, Transport: "starttls"},
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ended := make(chan error, 1)
			go func() { ended <- c.Check(ctx) }()
			<-arrived
			cancel()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want it cancelled", err)
			}
		})
	}
}

func TestReadUntil(t *testing.T) {
	for name, tt := range map[string]struct {
		from io.Reader
		want string
		err  string
	}{
		"in pieces":  {iotest.OneByteReader(strings.NewReader("220 ready\r\n")), "220 r", ""},
		"with EOF":   {iotest.DataErrReader(strings.NewReader("220 r")), "220 r", ""},
		"ends":       {strings.NewReader("554"), "554", "EOF"},
		"fails":      {iotest.ErrReader(errors.New("reset")), "", "reset"},
		"too late":   {strings.NewReader("0123456789 220 r"), "0123456789", "no match in the first 10 bytes"},
		"just there": {strings.NewReader("0123 220 r"), "0123 220 r", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := readUntil(tt.from, regexp.MustCompile(`220 r`), 10)
			if string(got) != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			sameError(t, err, tt.err, "")
		})
	}
}

func TestExcerpt(t *testing.T) {
	for name, tt := range map[string]struct{ said, want string }{
		"nothing":   {"", `""`},
		"lines":     {" a\r\nb\x00\n", `"a\r\nb\x00"`},
		"not UTF-8": {"a\xff\xfeb", `"a` + "\uFFFD" + `b"`},
		"long":      {strings.Repeat("ä", 121), `"` + strings.Repeat("ä", 120) + `"...`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := excerpt([]byte(tt.said)); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}
