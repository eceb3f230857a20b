package checks

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

func init() {
	register(Kind{
		Name: "smtp",
		Doc: "Talks to a mail server (SMTP, RFC 5321, or LMTP, RFC 2033): greeting, EHLO, STARTTLS if told, NOOP, QUIT. No mail is sent, and the server is left " +
			"in the proper way, so that it logs no lost connection. Postfix logs each connection, and Dovecot's LMTP, too: a `listener` beside it, which costs " +
			"the server nothing, allows a longer interval. A server that is too busy (421) fails.",
		Example: "address: 127.0.0.1:25\ntransport: starttls\ntls: {server_name: mail.example.com}\n",
		New:     func() Checker { return new(SMTP) },
		AtOnce:  stopsListening,
	})
}

// SMTP is fit when a mail server greets, and takes commands.
type SMTP struct {
	Address   string         `config:"address" required:"true" doc:"Host and port to connect to, as in '127.0.0.1:25' or '[::1]:25'."`
	Transport string         `config:"transport" default:"tcp" enum:"tcp|tls|starttls" doc:"Plain TCP, TLS from the start (port 465), or TLS after STARTTLS. The server must offer it then."`
	Protocol  string         `config:"protocol" default:"smtp" enum:"smtp|lmtp" doc:"'lmtp' says LHLO, not EHLO."`
	Name      string         `config:"name" doc:"Name to introduce keepcast by in EHLO, for servers that look at it; the address that it connects from, as in '[192.0.2.1]', unless set."`
	Banner    *regexp.Regexp `config:"banner" doc:"Regular expression that must match the greeting, the part after '220 '."`
	TLS       TLS            `config:"tls" doc:"How to speak TLS, for 'transport: tls' and 'transport: starttls'."`
}

// Validate implements Validator.
func (s *SMTP) Validate() error {
	if strings.ContainsFunc(s.Name, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Errorf("name: %q is no name of a host and no address in brackets", s.Name)
	}
	return s.over().validate("25")
}

func (s *SMTP) over() mailTransport { return mailTransport{s.Address, s.Transport, s.TLS} }

// Target implements Aimed.
func (s *SMTP) Target() netip.Addr { return targetOf(s.Address) }

// Host implements Hosted.
func (s *SMTP) Host() func() ([]string, error) { return s.TLS.host() }

// Check implements Checker.
func (s *SMTP) Check(ctx context.Context) error {
	err := s.over().talk(ctx, func(l *lines, secure *tls.Config) error {
		err := s.greet(ctx, l, secure)
		if err == nil {
			_, err = askSMTP(ctx, l, 250, "NOOP")
		}
		if err != nil {
			_ = l.write("QUIT") // the answer does not matter any more
			return err
		}
		_, err = askSMTP(ctx, l, 221, "QUIT")
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", s.Address, err)
	}
	return nil
}

// greet goes as far as where commands are taken, over TLS if secure is not nil.
func (s *SMTP) greet(ctx context.Context, l *lines, secure *tls.Config) error {
	sight(ctx).waits("a greeting")
	banner, err := replySMTP(ctx, l, 220)
	if err != nil {
		return fmt.Errorf("greeting: %w", err)
	}
	sight(ctx).saw("banner", "%s", quotation(banner))
	if s.Banner != nil && !s.Banner.MatchString(banner) {
		return fmt.Errorf("greeting: no match for '%s' in %s", s.Banner, excerpt([]byte(banner)))
	}
	offers, err := s.hello(ctx, l)
	if err != nil || secure == nil {
		return err
	}
	if !offersSTARTTLS(offers) {
		return errors.New("STARTTLS: the server does not offer it")
	}
	if _, err := askSMTP(ctx, l, 220, "STARTTLS"); err != nil {
		return err
	}
	if err := l.startTLS(ctx, secure); err != nil {
		return err
	}
	_, err = s.hello(ctx, l) // what was said before is void (RFC 3207 section 4.2)
	return err
}

// hello introduces keepcast, and returns what the server offers.
func (s *SMTP) hello(ctx context.Context, l *lines) (offers string, err error) {
	verb, name := "EHLO", s.Name
	if s.Protocol == "lmtp" {
		verb = "LHLO"
	}
	if name == "" {
		name = addressLiteral(l.conn.LocalAddr())
	}
	return askSMTP(ctx, l, 250, verb+" "+name)
}

// addressLiteral writes an address as RFC 5321 section 4.1.3 has it, for a host without a
// name.
func addressLiteral(local net.Addr) string {
	addr := targetOf(local.String())
	if addr.Is6() {
		return "[IPv6:" + addr.WithZone("").String() + "]"
	}
	return "[" + addr.String() + "]"
}

// offersSTARTTLS looks for it in the answer to EHLO, whose first line is the server's name.
func offersSTARTTLS(offers string) bool {
	_, offers, _ = strings.Cut(offers, "\n")
	for one := range strings.SplitSeq(offers, "\n") {
		if strings.EqualFold(strings.TrimSpace(one), "STARTTLS") {
			return true
		}
	}
	return false
}

// askSMTP sends a command and returns the text of the reply, which must have that code.
func askSMTP(ctx context.Context, l *lines, code int, command string) (string, error) {
	verb, _, _ := strings.Cut(command, " ")
	s := sight(ctx)
	s.waits("the reply to %s", verb)
	if err := l.write(command); err != nil {
		return "", fmt.Errorf("%s: %w", verb, explain(ctx, err))
	}
	text, err := replySMTP(ctx, l, code)
	if err != nil {
		return "", fmt.Errorf("%s: %w", verb, err)
	}
	s.saw("reply", "to %s: %s", verb, quotation(text))
	return text, nil
}

// replySMTP reads a reply, which must have that code, and returns its text, a line for each
// of its lines (RFC 5321 section 4.2).
func replySMTP(ctx context.Context, l *lines, code int) (string, error) {
	var text []string
	for before := ""; ; {
		line, err := l.read()
		if err != nil {
			return "", explain(ctx, err)
		}
		if !isReplySMTP(line) || before != "" && line[:3] != before {
			return "", fmt.Errorf("no reply of SMTP: %s", excerpt([]byte(line)))
		}
		text, before = append(text, line[min(4, len(line)):]), line[:3]
		if len(line) > 3 && line[3] == '-' {
			continue
		}
		said := strings.Join(text, "\n")
		if line[:3] != strconv.Itoa(code) {
			return "", fmt.Errorf("got %s, expected %d", excerpt([]byte(line[:3]+" "+said)), code)
		}
		return said, nil
	}
}

// isReplySMTP reports whether a line begins as one of a reply does.
func isReplySMTP(line string) bool {
	return len(line) >= 3 && strings.Trim(line[:3], "0123456789") == "" && (len(line) == 3 || line[3] == ' ' || line[3] == '-')
}
