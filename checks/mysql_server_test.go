package checks

import (
	"net"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// mariadb starts Debian's MariaDB on a free port of a host, and returns its address, its
// socket and its log.
func mariadb(t *testing.T, host string, options ...string) (address, socket string, log *drivertest.Buffer) {
	t.Helper()
	install, daemon := drivertest.Program(t, "mariadb-install-db"), drivertest.Program(t, "mariadbd")
	as, me := accountOf(t, "mysql"), accountOf(t, "root")
	if current, err := user.Current(); err == nil && current.Uid != "0" {
		me.name = current.Username
	}
	dir := as.dir(t)
	data, sql := filepath.Join(dir, "data"), filepath.Join(dir, "init.sql")
	as.run(t, install, "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve")
	drivertest.WriteFile(t, sql, `
CREATE OR REPLACE USER probe@'%' IDENTIFIED BY 'geheim';
CREATE OR REPLACE USER secure@'%' IDENTIFIED BY 'geheim' REQUIRE SSL;
CREATE OR REPLACE USER `+me.name+`@localhost IDENTIFIED VIA unix_socket;
GRANT READ_ONLY ADMIN ON *.* TO `+me.name+`@localhost;
INSTALL SONAME 'auth_ed25519';
CREATE OR REPLACE USER curve@'%' IDENTIFIED VIA ed25519 USING PASSWORD('geheim');
`)
	address = net.JoinHostPort(host, portOf(freeAddress(t)))
	socket = filepath.Join(dir, "s")
	args := append([]string{
		"--no-defaults", "--datadir=" + data, "--socket=" + socket, "--bind-address=" + host, "--port=" + portOf(address),
		"--init-file=" + sql, "--innodb-buffer-pool-size=8M", "--innodb-flush-log-at-trx-commit=0",
	}, options...)
	if host == "127.0.0.1" {
		return address, socket, as.start(t, daemon, args...)
	}
	// A client counts whose name is known. So the server finds one in a file of its own.
	names := filepath.Join(dir, "hosts")
	drivertest.WriteFile(t, names, host+" anycast.example\n")
	const script = `mount --bind "$1" /etc/hosts; shift; exec setpriv --pdeathsig KILL --reuid mysql --regid mysql --clear-groups "$@"`
	return address, socket, accountOf(t, "root").start(t, "unshare", append([]string{"-m", "sh", "-ec", script, "sh", names, daemon}, args...)...)
}

func TestMySQLServer(t *testing.T) {
	noLeaks(t)
	cert, key := accountOf(t, "mysql").pair(t)
	address, socket, log := mariadb(t, "127.0.0.1", "--ssl-cert="+cert, "--ssl-key="+key, "--max-connections=10")
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	fitAtLast(t, &MySQL{Address: socket, User: me.Username})
	file, other := secretFile(t, "geheim\n"), secretFile(t, "other\n")
	secure := TLS{CA: cert}

	// What is as it should be is not logged.
	before := log.String()
	for name, c := range map[string]MySQL{
		"socket":           {Address: socket, User: me.Username},
		"password":         {Address: address, User: "probe", PasswordFile: file, Role: "writable"},
		"password, socket": {Address: socket, User: "probe", PasswordFile: file},
		"tls":              {Address: address, User: "probe", PasswordFile: file, Transport: "tls", TLS: secure},
		"tls, required":    {Address: address, User: "secure", PasswordFile: file, Transport: "tls", TLS: secure},
	} {
		t.Run(name, func(t *testing.T) { checkOf(t, &c, "", c.Address) })
	}
	refused := MySQL{Address: address, User: "mark"}
	checkOf(t, &refused, `ADDR: logging in as mark: the server refuses: error 1045: "Access denied for user 'mark'@'localhost' (using password: NO)"`, address)
	drivertest.Eventually(t, "the log has the mark", func() bool { return strings.Contains(log.String(), "'mark'") })
	if lines := strings.Split(strings.TrimSpace(log.String()[len(before):]), "\n"); len(lines) != 1 {
		t.Errorf("the server logs the checks:\n%s", strings.Join(lines, "\n"))
	}

	for name, tt := range map[string]struct {
		mysql MySQL
		err   string
	}{
		"nobody":             {mysql: MySQL{Address: address}},
		"nobody, socket":     {mysql: MySQL{Address: socket}},
		"nobody, tls":        {mysql: MySQL{Address: address, Transport: "tls", TLS: secure}},
		"wrong password":     {mysql: MySQL{Address: address, User: "probe", PasswordFile: other}, err: `ADDR: logging in as probe: the server refuses: error 1045: "Access denied for user 'probe'@'localhost' (using password: YES)"`},
		"no tls, required":   {mysql: MySQL{Address: address, User: "secure", PasswordFile: file}, err: `ADDR: logging in as secure: the server refuses: error 1045: "Access denied for user 'secure'@'localhost' (using password: YES)"`},
		"authenticates else": {mysql: MySQL{Address: address, User: "curve", PasswordFile: file}, err: `ADDR: logging in as curve: the server wants authentication by "client_ed25519", which keepcast does not know`},
		"writable":           {mysql: MySQL{Address: address, User: "probe", PasswordFile: file, Role: "readonly"}, err: "ADDR: the server is writable, expected readonly"},
	} {
		t.Run(name, func(t *testing.T) { checkOf(t, &tt.mysql, tt.err, tt.mysql.Address) })
	}

	t.Run("readonly", func(t *testing.T) {
		probe := MySQL{Address: socket, User: me.Username}
		mysqlSession(t, probe, "SET GLOBAL read_only = 1")
		probe.Role = "readonly"
		checkOf(t, &probe, "", "")
		probe.Role = "writable"
		checkOf(t, &probe, "ADDR: the server is readonly, expected writable", socket)
	})
	t.Run("full", func(t *testing.T) {
		user := MySQL{Address: address, User: "probe", PasswordFile: file}
		for range 20 {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			readMySQL(conn)
		}
		checkOf(t, &user, `ADDR: greeting: the server refuses: error 1040: "Too many connections"`, address)
	})
	nobody := &MySQL{Address: address}
	hangs(t, "mariadbd", nobody.Check, "ADDR: greeting: timed out", address)
	dies(t, "mariadbd", nobody.Check)
}

// mysqlSession runs a statement in a session of its own.
func mysqlSession(t *testing.T, m MySQL, statement string) {
	t.Helper()
	conn, err := m.at().connectBy(within(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := &mysqlConn{ctx: within(t), user: m.User}
	c.over(conn)
	if err := c.login(nil); err != nil {
		t.Fatal(err)
	}
	if err := c.command(mysqlQuery, statement); err != nil {
		t.Fatal(err)
	}
	if _, err := c.next(); err != nil {
		t.Fatal(err)
	}
}

// A client that goes without a word has its address blocked for all. One that is refused has
// not. MariaDB counts to 100, and not for 127.0.0.1; here to 3.
func TestMySQLIsNotBlocked(t *testing.T) {
	inSpace(t, "ip link set lo up; ip address add 192.0.2.33/32 dev lo", func() {
		address, _, _ := mariadb(t, "192.0.2.33", "--max-connect-errors=3", "--skip-ssl")
		c, port := &MySQL{Address: address}, &TCP{Address: address}
		fitAtLast(t, c)
		for range 10 {
			checkOf(t, c, "", "")
		}
		var err error
		for range 10 {
			if err = port.Check(within(t)); err != nil {
				t.Error(err)
			}
		}
		drivertest.WaitFor(func() bool { err = c.Check(within(t)); return err != nil })
		sameError(t, err, `ADDR: greeting: the server refuses: error 1129: "Host '192.0.2.33' is blocked because of many connection errors; unblock with 'mariadb-admin flush-hosts'"`, address)
	})
}
