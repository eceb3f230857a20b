package checks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"
	"unicode"
)

func init() {
	register(Kind{
		Name: "syslog",
		Doc: "Looks whether a syslog server takes messages, over UDP, TCP or TLS (RFC 5424 to 5426, RFC 6587). A server never answers. So it is fit if " +
			"for the time `quiet` it refuses nothing and closes no connection, as syslog-ng does that has too many of them. " +
			"Over UDP that proves no more than that something listens on the port. Unless `message` is set, nothing gets into a log: over UDP an empty " +
			"datagram is sent, which rsyslog and syslog-ng ignore, else only a connection is opened, of which syslog-ng notes the begin and the end.",
		Example: "address: 127.0.0.1:6514\ntransport: tls\n",
		New:     func() Checker { return new(Syslog) },
		AtOnce:  stopsListening,
	})
}

// Syslog is fit when a syslog server does not refuse what it is sent.
type Syslog struct {
	Address   string        `config:"address" required:"true" doc:"Host and port of the server, as in '127.0.0.1:514'. Usual are 514 for UDP, 601 for TCP and 6514 for TLS."`
	Transport string        `config:"transport" default:"udp" enum:"udp|tcp|tls" doc:"How to send."`
	Message   string        `config:"message" doc:"Text to send, one line of up to 1024 bytes. The server logs it in each run, with the facility daemon, the severity info and the name keepcast. Empty: none is sent."`
	Framing   string        `config:"framing" default:"count" enum:"count|newline" doc:"What separates messages over TCP and TLS: their length before each of them, or a newline behind it (RFC 6587). With 'message' only."`
	Quiet     time.Duration `config:"quiet" default:"100ms" min:"1ms" max:"1m" doc:"How long no refusal and no end of the connection may come, after which the server is fit. Less than 'timeout'."`
	TLS       TLS           `config:"tls" doc:"How to speak TLS, for 'transport: tls'."`
}

// maxSyslog is the longest text: with what stands before it, every server takes it (RFC 5424
// section 6.1 advises 2048 bytes).
const maxSyslog = 1024

// syslogDaemonInfo is the priority of what is sent: facility 3, severity 6 (RFC 5424 section 6.2.1).
const syslogDaemonInfo = 3*8 + 6

// Validate implements Validator.
func (l *Syslog) Validate() error {
	if err := validAddress(l.Address, "514"); err != nil {
		return err
	}
	switch {
	case len(l.Message) > maxSyslog:
		return fmt.Errorf("message: %d bytes are more than %d", len(l.Message), maxSyslog)
	case strings.ContainsFunc(l.Message, unicode.IsControl):
		return fmt.Errorf("message: %q is not one line of text", l.Message)
	case l.Transport != "tls" && l.TLS.isSet():
		return errors.New("tls: only with transport: tls")
	}
	return l.TLS.Validate()
}

// ValidateWithin implements Timed.
func (l *Syslog) ValidateWithin(timeout time.Duration) error { return quietWithin(l.Quiet, timeout) }

// Target implements Aimed.
func (l *Syslog) Target() netip.Addr { return targetOf(l.Address) }

// Host implements Hosted.
func (l *Syslog) Host() func() ([]string, error) { return l.TLS.host() }

// Check implements Checker.
func (l *Syslog) Check(ctx context.Context) error {
	if err := l.talk(ctx); err != nil {
		return fmt.Errorf("%s: %w", l.Address, err)
	}
	return nil
}

func (l *Syslog) talk(ctx context.Context) error {
	conn, err := l.connect(ctx)
	if err != nil {
		return err
	}
	defer closeWith(ctx, conn)()
	if l.Message != "" || l.Transport == "udp" {
		if _, err := conn.Write(l.frame()); err != nil {
			return fmt.Errorf("sending: %w", explain(ctx, err))
		}
	}
	answer, err := unrefused(ctx, conn, l.Quiet)
	switch {
	case err != nil:
		return fmt.Errorf("not taken: %w", explain(ctx, err))
	case answer != nil:
		return fmt.Errorf("it answers, which no syslog server does: %s", excerpt(answer))
	}
	return nil
}

func (l *Syslog) connect(ctx context.Context) (net.Conn, error) {
	if l.Transport == "udp" {
		return connect(ctx, "udp", l.Address, nil)
	}
	return endpoint{l.Address, l.Transport, l.TLS}.connect(ctx)
}

// frame returns what is sent: nothing, or the message in its frame.
func (l *Syslog) frame() []byte {
	if l.Message == "" {
		return nil
	}
	host, _ := os.Hostname()
	text := fmt.Sprintf("<%d>1 %s %s keepcast %d - - %s", syslogDaemonInfo,
		time.Now().Format("2006-01-02T15:04:05.000000Z07:00"), cmp.Or(host, "-"), os.Getpid(), l.Message)
	switch {
	case l.Transport == "udp":
		return []byte(text)
	case l.Framing == "newline":
		return []byte(text + "\n")
	}
	return fmt.Appendf(nil, "%d %s", len(text), text)
}
