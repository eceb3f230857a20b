package checks

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
)

func init() {
	register(Kind{
		Name: "mysql",
		Doc: "Logs in to a MariaDB or MySQL server, has it answer `SELECT @@global.read_only`, and says goodbye. The user needs no privileges, " +
			"and nothing is logged. Without `user` it asks for a session as a user 'keepcast', whom the server may refuse: it has started, " +
			"and has room for a session. Each refusal is logged as a warning (log_warnings, log_error_verbosity) and counts as Aborted_connects. " +
			"It does not count for max_connect_errors, as a client does that goes without a word, such as `kind: tcp`: after 100 of " +
			"them the server refuses all connections from that address.",
		Example: "address: /run/mysqld/mysqld.sock\nuser: keepcast\n",
		New:     func() Checker { return new(MySQL) },
		AtOnce:  stopsListening,
	})
}

// MySQL is fit when a server answers a query, or without a user is ready to refuse one, and
// has the role that is asked for.
type MySQL struct {
	Address      string `config:"address" required:"true" doc:"Where the server listens: host and port, as in '127.0.0.1:3306' or '[::1]:3306', or the path of its unix socket, as in '/run/mysqld/mysqld.sock'."`
	Transport    string `config:"transport" default:"tcp" enum:"tcp|tls" doc:"Plain TCP, or TLS after the greeting of the server."`
	User         string `config:"user" doc:"User to log in as. Over the unix socket none needs a password whom the server knows by the account that keepcast runs as: CREATE USER keepcast@localhost IDENTIFIED VIA unix_socket, with MySQL IDENTIFIED WITH auth_socket."`
	PasswordFile string `config:"password_file" doc:"File with the password in its first line. It is read anew for each run. Known are mysql_native_password and caching_sha2_password, the latter over TLS or a unix socket; elsewhere only while the server remembers the password from such a login."`
	Role         string `config:"role" default:"any" enum:"any|writable|readonly" doc:"What the server has to be, by its read_only. Needs 'user'."`
	TLS          TLS    `config:"tls" doc:"How to speak TLS, for 'transport: tls'."`
}

func (m *MySQL) at() endpoint { return endpoint{m.Address, m.Transport, m.TLS} }

// Validate implements Validator.
func (m *MySQL) Validate() error {
	switch {
	case strings.Contains(m.User, "\x00"):
		return fmt.Errorf("user: %q is no name of a user", m.User)
	case m.User == "" && m.PasswordFile != "":
		return errors.New("password_file: only with user")
	case m.User == "" && m.Role != "any" && m.Role != "":
		return errors.New("role: only with user, who has to ask for it")
	}
	return m.at().validate()
}

// Target implements Aimed.
func (m *MySQL) Target() netip.Addr { return m.at().target() }

// Host implements Hosted.
func (m *MySQL) Host() func() ([]string, error) { return m.at().host(m.PasswordFile) }

// Check implements Checker.
func (m *MySQL) Check(ctx context.Context) error {
	if err := m.talk(ctx); err != nil {
		return fmt.Errorf("%s: %w", m.Address, err)
	}
	return nil
}

func (m *MySQL) talk(ctx context.Context) error {
	password, err := passwordIn(m.PasswordFile)
	if err != nil {
		return err
	}
	secure, err := m.at().secure()
	if err != nil {
		return err
	}
	conn, err := m.at().connectBy(ctx, nil)
	if err != nil {
		return err
	}
	defer closeWith(ctx, conn)()
	c := &mysqlConn{ctx: ctx, user: m.User, password: password, secret: secure != nil || m.at().isSocket()}
	c.over(conn)
	if err := c.login(secure); err != nil {
		refused, ok := errors.AsType[mysqlError](err)
		if ok && m.User == "" && refused.isDenied() {
			sight(ctx).saw("answer", "refuses a user that it need not know: error %d", refused.code)
			return nil
		}
		return err
	}
	if m.User == "" {
		return c.command(mysqlQuit, "")
	}
	role, err := c.role()
	if err != nil {
		return err
	}
	sight(ctx).saw("role", "%s", role)
	if m.Role != role && m.Role != "any" && m.Role != "" {
		return fmt.Errorf("the server is %s, expected %s", role, m.Role)
	}
	return c.command(mysqlQuit, "")
}

// mysqlConn speaks the protocol of MySQL
// (https://mariadb.com/kb/en/clientserver-protocol/).
type mysqlConn struct {
	ctx            context.Context
	conn           net.Conn
	in             *bufio.Reader
	sequence       byte // of the next packet
	user, password string
	secret         bool // nobody can read along
}

// The commands of a client.
const (
	mysqlQuit  = 0x01
	mysqlQuery = 0x03
)

// The first bytes of an answer.
const (
	mysqlOK     = 0x00
	mysqlMore   = 0x01 // more to do until the user is in
	mysqlEOF    = 0xfe // also: authenticate otherwise
	mysqlRefuse = 0xff
)

// maxMySQLPacket is the longest packet to accept. A server that is well sends none as long.
const maxMySQLPacket = 64 << 10

// over goes on over conn.
func (c *mysqlConn) over(conn net.Conn) {
	c.conn, c.in = conn, bufio.NewReader(io.LimitReader(conn, maxBody))
}

// send sends one packet.
func (c *mysqlConn) send(payload []byte) error {
	head := binary.LittleEndian.AppendUint32(nil, uint32(len(payload)))
	head[3] = c.sequence
	c.sequence++
	if _, err := c.conn.Write(append(head, payload...)); err != nil {
		return fmt.Errorf("sending: %w", explain(c.ctx, err))
	}
	return nil
}

// command sends a command. Each begins to count packets anew.
func (c *mysqlConn) command(what byte, text string) error {
	c.sequence = 0
	return c.send(append([]byte{what}, text...))
}

// next returns the next packet, which is not empty. One that refuses is an error.
func (c *mysqlConn) next() ([]byte, error) {
	payload, sequence, err := readMySQL(c.in)
	if err != nil {
		return nil, explain(c.ctx, err)
	}
	c.sequence = sequence + 1
	if payload[0] == mysqlRefuse {
		return nil, c.refusal(payload)
	}
	return payload, nil
}

// readMySQL reads one packet.
func readMySQL(in io.Reader) (payload []byte, sequence byte, err error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(in, head); err != nil {
		return nil, 0, err
	}
	length := int(head[0]) | int(head[1])<<8 | int(head[2])<<16
	if length == 0 || length > maxMySQLPacket {
		return nil, 0, notMySQL(head)
	}
	payload = make([]byte, length)
	_, err = io.ReadFull(in, payload)
	return payload, head[3], err
}

// notMySQL is the error of an answer that makes no sense.
func notMySQL(said []byte) error {
	return fmt.Errorf("the answer is not of MySQL: %s", excerpt(said))
}

// mysqlError is what a server says instead of an answer.
type mysqlError struct {
	code uint16
	text string // as it is shown
}

func (e mysqlError) Error() string {
	return fmt.Sprintf("the server refuses: error %d: %s", e.code, e.text)
}

// isDenied reports whether a server refuses a user for who that is.
func (e mysqlError) isDenied() bool {
	const (
		accessDenied           = 1045
		accessDeniedNoPassword = 1698
	)
	return e.code == accessDenied || e.code == accessDeniedNoPassword
}

// refusal reads a packet by which a server refuses.
func (c *mysqlConn) refusal(payload []byte) error {
	if len(payload) < 3 {
		return notMySQL(payload)
	}
	text := payload[3:]
	if len(text) > 6 && text[0] == '#' { // a state of SQL
		text = text[6:]
	}
	return mysqlError{binary.LittleEndian.Uint16(payload[1:]), quoted(string(text), c.password)}
}

// role asks whether the server takes writes.
func (c *mysqlConn) role() (string, error) {
	const query = "SELECT @@global.read_only"
	sight(c.ctx).waits("the answer to %s", query)
	if err := c.command(mysqlQuery, query); err != nil {
		return "", err
	}
	// The number of columns, the columns, an EOF, the rows, an EOF.
	var row []byte
	for ends, packets := 0, 0; ends < 2; packets++ {
		packet, err := c.next()
		if err != nil {
			return "", fmt.Errorf("%s: %w", query, err)
		}
		switch {
		case packets == 0 && !bytes.Equal(packet, []byte{1}):
			return "", fmt.Errorf("%s: %w", query, notMySQL(packet))
		case packet[0] == mysqlEOF && len(packet) < 9:
			ends++
		case ends == 1:
			row = packet
		}
	}
	if len(row) > 0 && int(row[0]) == len(row)-1 {
		switch string(row[1:]) {
		case "0", "OFF":
			return "writable", nil
		case "1", "ON", "NO_LOCK", "NO_LOCK_NO_ADMIN": // in words since MariaDB 12
			return "readonly", nil
		}
	}
	return "", fmt.Errorf("%s: %w", query, notMySQL(row))
}
