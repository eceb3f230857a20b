package checks

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"unicode/utf8"
)

func init() {
	register(Kind{
		Name: "tcp",
		Doc: "Opens a TCP connection, over TLS if told, sends what it is given and waits for an expected answer. " +
			"Without `send` and `expect` a connection that is accepted is enough.",
		Example: "address: 127.0.0.1:25\nexpect: '^220 '\n",
		New:     func() Checker { return new(TCP) },
		AtOnce:  stopsListening,
	})
}

// TCP is fit when a connection is accepted and, if asked for, answers as
// expected.
type TCP struct {
	Address   string         `config:"address" required:"true" doc:"Host and port to connect to, as in '127.0.0.1:25' or '[::1]:25'."`
	Transport string         `config:"transport" default:"tcp" enum:"tcp|tls" doc:"Plain TCP, or TLS from the start."`
	Send      Escaped        `config:"send" doc:"What to send once connected. The escapes of Go work, as in 'QUIT\\r\\n' or '\\x00'."`
	Expect    *regexp.Regexp `config:"expect" doc:"Regular expression to wait for in the answer, of which up to 16 KiB are read."`
	TLS       TLS            `config:"tls" doc:"How to speak TLS, for 'transport: tls'."`
}

// maxAnswer is how much of an answer is read in wait of a match.
const maxAnswer = 16 << 10

// Validate implements Validator.
func (t *TCP) Validate() error {
	if err := validAddress(t.Address, "25"); err != nil {
		return err
	}
	if t.Transport != "tls" && t.TLS.isSet() {
		return errors.New("tls: only with transport: tls")
	}
	return t.TLS.Validate()
}

// Target implements Aimed.
func (t *TCP) Target() netip.Addr { return targetOf(t.Address) }

// Host implements Hosted.
func (t *TCP) Host() func() ([]string, error) { return t.TLS.host() }

// Check implements Checker.
func (t *TCP) Check(ctx context.Context) error {
	if err := t.talk(ctx); err != nil {
		return fmt.Errorf("%s: %w", t.Address, err)
	}
	return nil
}

func (t *TCP) talk(ctx context.Context) error {
	conn, err := endpoint{t.Address, t.Transport, t.TLS}.connect(ctx)
	if err != nil {
		return err
	}
	defer closeWith(ctx, conn)()
	s := sight(ctx)
	if t.Send != "" {
		if _, err := conn.Write([]byte(t.Send)); err != nil {
			return fmt.Errorf("sending: %w", explain(ctx, err))
		}
		if s != nil { // not what: it may be a password
			s.saw("sent", "%d bytes", len(t.Send))
		}
	}
	if t.Expect == nil {
		return nil
	}
	if s != nil {
		s.waits("an answer that matches '%s'", t.Expect)
	}
	got, err := readUntil(conn, t.Expect, maxAnswer)
	if s != nil && len(got) > 0 {
		s.saw("answer", "%d bytes: %s", len(got), excerpt(got))
		if err != nil {
			s.waits("more of it, to match '%s'", t.Expect)
		}
	}
	if err != nil {
		return fmt.Errorf("waiting for '%s': %w, got %s", t.Expect, explain(ctx, err), excerpt(got))
	}
	return nil
}

// Escaped is bytes that are written with the escapes of a Go string, so that
// YAML's several ways of quoting all lead to the same.
type Escaped string

// UnmarshalText replaces the escapes by the bytes they stand for.
func (e *Escaped) UnmarshalText(text []byte) error {
	var out []byte
	for rest := string(text); rest != ""; {
		if rest[0] != '\\' {
			out, rest = append(out, rest[0]), rest[1:]
			continue
		}
		r, wide, tail, err := strconv.UnquoteChar(rest, 0)
		if err != nil {
			return fmt.Errorf("%q has no meaning at %q (known: \\r \\n \\t \\\\ \\xNN \\uNNNN)", text, rest)
		}
		if wide {
			out = utf8.AppendRune(out, r)
		} else {
			out = append(out, byte(r))
		}
		rest = tail
	}
	*e = Escaped(out)
	return nil
}
