package checks

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
)

// lines is a conversation in lines of text, as SMTP and IMAP have it, which may turn to TLS.
type lines struct {
	conn net.Conn // the *tls.Conn, if TLS is spoken
	in   *bufio.Reader
}

// mailTransport is how a check talks to a mail server.
type mailTransport struct {
	address   string
	transport string // tcp, tls or starttls
	tls       TLS
}

// validate is the part of Validate that is about the transport. The port is for an example.
func (m mailTransport) validate(port string) error {
	if err := validAddress(m.address, port); err != nil {
		return err
	}
	if m.transport != "tls" && m.transport != "starttls" && m.tls.isSet() {
		return errors.New("tls: only with transport: tls or transport: starttls")
	}
	return m.tls.Validate()
}

// secure returns how TLS is spoken; nil if not at all.
func (m mailTransport) secure() (*tls.Config, error) {
	if m.transport != "tls" && m.transport != "starttls" {
		return nil, nil
	}
	return m.tls.configFor(m.address)
}

// talk connects, has the conversation, which begins with the greeting, and closes. With
// STARTTLS the conversation is given how to speak TLS, else nil.
func (m mailTransport) talk(ctx context.Context, converse func(*lines, *tls.Config) error) error {
	secure, err := m.secure()
	if err != nil {
		return err
	}
	atOnce := secure
	if m.transport == "starttls" {
		atOnce = nil
	} else {
		secure = nil
	}
	conn, err := connect(ctx, "tcp", m.address, atOnce)
	if err != nil {
		return err
	}
	defer closeWith(ctx, conn)()
	return converse(newLines(conn), secure)
}

func newLines(conn net.Conn) *lines {
	return &lines{conn: conn, in: bufio.NewReader(&bounded{Conn: conn, left: maxLines})}
}

// read reads a line, and returns it without its end. One without an end is none.
func (l *lines) read() (string, error) {
	line, err := l.in.ReadString('\n')
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r"), nil
}

// write says a line.
func (l *lines) write(line string) error {
	_, err := io.WriteString(l.conn, line+"\r\n")
	return err
}

// startTLS goes on over TLS. What the server said before that is not believed to be said
// over TLS.
func (l *lines) startTLS(ctx context.Context, secure *tls.Config) error {
	if l.in.Buffered() > 0 {
		return errors.New("STARTTLS: the server went on without TLS")
	}
	over, err := startTLS(ctx, l.conn, secure)
	if err != nil {
		return err
	}
	*l = *newLines(over)
	return nil
}

// maxLines is how much a server may say in a conversation.
const maxLines = 64 << 10

// bounded is a connection of which no more than some bytes are read.
type bounded struct {
	net.Conn
	left int
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, fmt.Errorf("the server said more than %d bytes", maxLines)
	}
	n, err := b.Conn.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
