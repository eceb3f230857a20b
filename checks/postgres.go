package checks

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path"
	"strings"
)

func init() {
	register(Kind{
		Name: "postgres",
		Doc: "Asks a PostgreSQL server for a session. Where the server lets the user in, with the password of `password_file` or without one, " +
			"`SELECT pg_is_in_recovery()` has to be answered, and the session ends. " +
			"Where it asks for a password and there is no `password_file`, that it asks is enough: it has started, and has room for a session. " +
			"Neither leaves a line in the server's log, unless log_connections or log_disconnections is on. " +
			"A refused session does, one each run, whoever asks: user or database unknown, no line in pg_hba.conf, a wrong password; " +
			"the server is starting up, shutting down, or full.",
		Example: "address: 127.0.0.1:5432\n",
		New:     func() Checker { return new(Postgres) },
		AtOnce:  stopsListening,
	})
}

// Postgres is fit when a server is ready to give a session, and has the role that is asked for.
type Postgres struct {
	Address      string `config:"address" required:"true" doc:"Where the server listens: host and port, as in '127.0.0.1:5432' or '[::1]:5432'; a directory with its unix socket '.s.PGSQL.5432', as in '/run/postgresql'; or the path of the socket, as in '/run/postgresql/.s.PGSQL.5433'. By the socket, Debian's pg_hba.conf lets in a user who is called as the account of the client is (peer): CREATE ROLE keepcast LOGIN, and 'user: keepcast'."`
	Transport    string `config:"transport" default:"tcp" enum:"tcp|tls" doc:"Plain TCP, or TLS once the server has agreed to it."`
	User         string `config:"user" default:"postgres" doc:"User to ask a session for. The server logs a line each run if there is none of this name, unless it asks for a password first."`
	Database     string `config:"database" default:"postgres" doc:"Database to ask a session in."`
	PasswordFile string `config:"password_file" doc:"File with the password in its first line. It is read anew for each run."`
	Role         string `config:"role" default:"any" enum:"any|primary|standby" doc:"What the server has to be. To find out, it has to let the user in."`
	TLS          TLS    `config:"tls" doc:"How to speak TLS, for 'transport: tls'."`
}

// at returns where the server listens. A directory stands for the socket in it, as with libpq.
func (p *Postgres) at() endpoint {
	e := endpoint{p.Address, p.Transport, p.TLS}
	const socket = ".s.PGSQL."
	if e.isSocket() && !strings.HasPrefix(path.Base(e.address), socket) {
		e.address = path.Join(e.address, socket+"5432")
	}
	return e
}

// Validate implements Validator.
func (p *Postgres) Validate() error {
	switch {
	case p.User == "" || strings.Contains(p.User, "\x00"):
		return fmt.Errorf("user: %q is no name of a user", p.User)
	case p.Database == "" || strings.Contains(p.Database, "\x00"):
		return fmt.Errorf("database: %q is no name of a database", p.Database)
	}
	return p.at().validate()
}

// Target implements Aimed.
func (p *Postgres) Target() netip.Addr { return p.at().target() }

// Host implements Hosted.
func (p *Postgres) Host() func() ([]string, error) { return p.at().host(p.PasswordFile) }

// Check implements Checker.
func (p *Postgres) Check(ctx context.Context) error {
	if err := p.talk(ctx); err != nil {
		return fmt.Errorf("%s: %w", p.Address, err)
	}
	return nil
}

func (p *Postgres) talk(ctx context.Context) error {
	password, err := passwordIn(p.PasswordFile)
	if err != nil {
		return err
	}
	conn, err := p.connect(ctx)
	if err != nil {
		return err
	}
	defer closeWith(ctx, conn)()
	c := &pgConn{
		ctx: ctx, conn: conn, in: bufio.NewReader(io.LimitReader(conn, maxBody)), user: p.User, password: password,
		secret: p.Transport == "tls" || p.at().isSocket(),
	}
	admitted, err := c.start(p.Database)
	if err != nil {
		return err
	}
	if !admitted {
		// To say goodbye here would be logged; to go without a word is not.
		if p.Role == "primary" || p.Role == "standby" {
			return fmt.Errorf("role: the server wants a password of %s (password_file)", p.User)
		}
		return nil
	}
	role, err := c.role()
	if err != nil {
		return err
	}
	sight(ctx).saw("role", "%s", role)
	if p.Role != role && p.Role != "any" && p.Role != "" {
		return fmt.Errorf("the server is a %s, expected a %s", role, p.Role)
	}
	return c.send('X', nil)
}

// connect opens a connection, and over it TLS if told (SSLRequest).
func (p *Postgres) connect(ctx context.Context) (net.Conn, error) {
	secure, err := p.at().secure()
	if err != nil {
		return nil, err
	}
	conn, err := p.at().connectBy(ctx, nil)
	if err != nil || secure == nil {
		return conn, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	sight(ctx).waits("leave to speak TLS")
	answer := make([]byte, 1)
	_, err = conn.Write([]byte{0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f})
	if err == nil {
		_, err = io.ReadFull(conn, answer)
	}
	if err == nil && answer[0] != 'S' {
		err = fmt.Errorf("the server speaks no TLS (it answered %q)", answer)
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("asking for TLS: %w", explain(ctx, err))
	}
	return startTLS(ctx, conn, secure)
}

// pgConn speaks version 3.0 of the protocol of PostgreSQL, chapter "Frontend/Backend
// Protocol" of its manual.
type pgConn struct {
	ctx            context.Context
	conn           io.Writer
	in             *bufio.Reader
	user, password string
	secret         bool // nobody can read along
}

var errNotPg = errors.New("the answer is not of PostgreSQL")

// maxPgMessage is the longest message to accept. A server that is well sends none as long.
const maxPgMessage = 64 << 10

// send sends a message; one without a type is the first of a session.
func (c *pgConn) send(kind byte, body []byte) error {
	var out []byte
	if kind != 0 {
		out = append(out, kind)
	}
	out = binary.BigEndian.AppendUint32(out, uint32(len(body)+4))
	_, err := c.conn.Write(append(out, body...))
	if err != nil {
		return fmt.Errorf("sending: %w", explain(c.ctx, err))
	}
	return nil
}

// next returns the next message that tells something.
func (c *pgConn) next() (kind byte, body []byte, err error) {
	for {
		kind, body, err := readPg(c.in)
		switch {
		case errors.Is(err, errNotPg):
			return 0, nil, err
		case err != nil:
			return 0, nil, fmt.Errorf("waiting for an answer: %w", explain(c.ctx, err))
		case kind == 'E':
			return 0, nil, pgError(body, c.password)
		case kind == 'S':
			if name, value, _ := strings.Cut(string(body), "\x00"); name == "server_version" {
				sight(c.ctx).saw("version", "%s", quotation(strings.TrimRight(value, "\x00")))
			}
		case kind != 'N' && kind != 'K' && kind != 'v':
			return kind, body, nil
		}
	}
}

// readPg reads one message of a server.
func readPg(in io.Reader) (kind byte, body []byte, err error) {
	head := make([]byte, 5)
	if _, err := io.ReadFull(in, head); err != nil {
		if err == io.ErrUnexpectedEOF && head[1] > ' ' {
			return 0, nil, fmt.Errorf("%w: %s", errNotPg, excerpt(head))
		}
		return 0, nil, err
	}
	length := binary.BigEndian.Uint32(head[1:])
	if length < 4 || length > maxPgMessage {
		return 0, nil, fmt.Errorf("%w: %s", errNotPg, excerpt(head))
	}
	body = make([]byte, length-4)
	_, err = io.ReadFull(in, body)
	return head[0], body, err
}

// pgError puts an ErrorResponse into words: its SQLSTATE, message and detail.
func pgError(body []byte, password string) error {
	fields := map[byte]string{}
	for field := range strings.SplitSeq(string(body), "\x00") {
		if field != "" {
			fields[field[0]] = field[1:]
		}
	}
	text := fields['M']
	if detail := fields['D']; detail != "" {
		text += " (" + detail + ")"
	}
	code := fields['C']
	if len(code) != 5 || strings.Trim(code, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		code = "unknown"
	}
	return fmt.Errorf("the server refuses: error %s: %s", code, quoted(text, password))
}

// role asks whether the server is a primary or a standby.
func (c *pgConn) role() (string, error) {
	const query = "SELECT pg_is_in_recovery()"
	sight(c.ctx).waits("the answer to %s", query)
	if err := c.send('Q', []byte(query+"\x00")); err != nil {
		return "", err
	}
	role := ""
	for {
		kind, body, err := c.next()
		if err != nil {
			return "", fmt.Errorf("%s: %w", query, err)
		}
		switch {
		case kind == 'D' && string(body) == "\x00\x01\x00\x00\x00\x01t":
			role = "standby"
		case kind == 'D' && string(body) == "\x00\x01\x00\x00\x00\x01f":
			role = "primary"
		case kind == 'Z' && role == "":
			return "", errors.New(query + ": no answer that is true or false")
		case kind == 'Z':
			return role, nil
		}
	}
}
