package checks

import (
	"bufio"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/keepcast/keepcast/driver/drivertest"
)

// pgRig is a PostgreSQL of Debian whose clusters a test can start.
type pgRig struct {
	t   *testing.T
	as  account
	bin string
}

func newPgRig(t *testing.T) pgRig {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil || len(found) == 0 {
		drivertest.Missing(t, "postgresql is not installed")
	}
	return pgRig{t, accountOf(t, "postgres"), filepath.Dir(slices.Max(found))}
}

// cluster makes a cluster whose user postgres has the password geheim over TCP, and needs
// none over the socket.
func (r pgRig) cluster() (data string) {
	data = filepath.Join(r.as.dir(r.t), "data")
	file := secretFile(r.t, "geheim\n")
	password := filepath.Join(filepath.Dir(data), "password")
	drivertest.WriteFile(r.t, password, drivertest.ReadFile(r.t, file))
	r.as.run(r.t, filepath.Join(r.bin, "initdb"), "-D", data, "-U", "postgres", "--no-sync", "--locale=C", "-E", "UTF8",
		"--auth-local=trust", "--auth-host=scram-sha-256", "--pwfile="+password)
	return data
}

// copied copies a cluster that does not run. It starts as a standby without a primary.
func (r pgRig) copied(data string) string {
	to := filepath.Join(r.as.dir(r.t), "data")
	r.as.run(r.t, "cp", "-r", data, to)
	r.as.run(r.t, "touch", filepath.Join(to, "standby.signal"))
	return to
}

// start starts a cluster on a free port, with its socket beside it, and returns the address,
// the socket and the log.
func (r pgRig) start(data string, options ...string) (address, socket string, log *drivertest.Buffer) {
	address = freeAddress(r.t)
	args := []string{
		"-D", data, "-h", "127.0.0.1", "-p", portOf(address), "-k", filepath.Dir(data),
		"-c", "fsync=off", "-c", "shared_buffers=1MB", "-c", "dynamic_shared_memory_type=mmap",
	}
	log = r.as.start(r.t, filepath.Join(r.bin, "postgres"), append(args, options...)...)
	return address, filepath.Join(filepath.Dir(data), ".s.PGSQL."+portOf(address)), log
}

// session opens a session that stays open until the test is over.
func (r pgRig) session(p *Postgres) (*pgConn, error) {
	ctx := within(r.t)
	conn, err := p.connect(ctx)
	if err != nil {
		return nil, err
	}
	r.t.Cleanup(func() { conn.Close() })
	c := &pgConn{ctx: ctx, conn: conn, in: bufio.NewReader(conn), user: p.User}
	_, err = c.start(p.Database)
	return c, err
}

// run runs statements of SQL.
func (r pgRig) run(p *Postgres, statements ...string) {
	r.t.Helper()
	c, err := r.session(p)
	for _, s := range statements {
		if err == nil {
			err = c.send('Q', []byte(s+"\x00"))
		}
		for kind := byte(0); err == nil && kind != 'Z'; {
			kind, _, err = c.next()
		}
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

func TestPostgresServer(t *testing.T) {
	noLeaks(t)
	r := newPgRig(t)
	data := r.cluster()
	hot, cold := r.copied(data), r.copied(data)
	hba := filepath.Join(data, "pg_hba.conf")
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	rules := "local all " + me.Username + ",stranger peer\nhostssl all tls 127.0.0.1/32 password\nhost all tls 127.0.0.1/32 reject\nhost all old 127.0.0.1/32 md5\n" +
		"host all plain 127.0.0.1/32 password\n"
	if err := os.WriteFile(hba, []byte(rules+drivertest.ReadFile(t, hba)), 0o600); err != nil {
		t.Fatal(err)
	}
	cert, key := r.as.pair(t)
	primary, socket, log := r.start(data, "-c", "max_connections=20", "-c", "ssl=on", "-c", "ssl_cert_file="+cert, "-c", "ssl_key_file="+key)
	standby, _, _ := r.start(hot)
	refusing, _, _ := r.start(cold, "-c", "hot_standby=off")
	local := &Postgres{Address: socket, User: "postgres", Database: "postgres"}
	fitAtLast(t, local)
	r.run(local, "CREATE ROLE plain LOGIN PASSWORD 'geheim'", "CREATE ROLE tls LOGIN PASSWORD 'geheim'",
		"CREATE ROLE stranger LOGIN", "CREATE ROLE "+me.Username+" LOGIN", "SET password_encryption = md5", "CREATE ROLE old LOGIN PASSWORD 'geheim'")
	file, other := secretFile(t, "geheim\n"), secretFile(t, "other\n")
	fitAtLast(t, &Postgres{Address: standby, User: "postgres", Database: "postgres", PasswordFile: file})

	// What is as it should be is not logged.
	before := log.String()
	secure := TLS{CA: cert}
	for name, tt := range map[string]struct {
		at       string
		postgres Postgres
	}{
		"socket":                {at: socket},
		"peer":                  {at: socket, postgres: Postgres{User: me.Username, Role: "primary"}},
		"asks for a password":   {at: primary},
		"nobody, asked for one": {at: primary, postgres: Postgres{User: "nobody", Database: "nowhere"}},
		"scram":                 {at: primary, postgres: Postgres{PasswordFile: file, Role: "primary"}},
		"md5":                   {at: primary, postgres: Postgres{User: "old", PasswordFile: file}},
		"tls":                   {at: primary, postgres: Postgres{Transport: "tls", TLS: secure}},
		"scram over tls":        {at: primary, postgres: Postgres{Transport: "tls", TLS: secure, PasswordFile: file, Role: "primary"}},
		"plain over tls":        {at: primary, postgres: Postgres{User: "tls", Transport: "tls", TLS: secure, PasswordFile: file}},
		"password not asked":    {at: socket, postgres: Postgres{PasswordFile: file, Role: "primary"}},
		"standby":               {at: standby, postgres: Postgres{PasswordFile: file, Role: "standby"}},
	} {
		t.Run(name, func(t *testing.T) {
			checkOf(t, tt.postgres.filled(tt.at), "", tt.at)
		})
	}
	const mark = `role "mark" does not exist`
	(&Postgres{Address: socket, User: "mark", Database: "postgres"}).Check(within(t))
	drivertest.Eventually(t, "the log has the mark", func() bool { return strings.Contains(log.String(), mark) })
	if lines := strings.Split(strings.TrimSpace(log.String()[len(before):]), "\n"); len(lines) != 1 {
		t.Errorf("the server logs the checks:\n%s", strings.Join(lines, "\n"))
	}

	for name, tt := range map[string]struct {
		at       string
		postgres Postgres
		err      string
	}{
		"wrong password":        {at: primary, postgres: Postgres{PasswordFile: other}, err: `ADDR: the server refuses: error 28P01: "password authentication failed for user \"postgres\""`},
		"wrong password, md5":   {at: primary, postgres: Postgres{User: "old", PasswordFile: other}, err: `ADDR: the server refuses: error 28P01: "password authentication failed for user \"old\""`},
		"no such user":          {at: socket, postgres: Postgres{User: "nobody"}, err: `ADDR: the server refuses: error 28000: "role \"nobody\" does not exist"`},
		"no such database":      {at: socket, postgres: Postgres{Database: "nowhere"}, err: `ADDR: the server refuses: error 3D000: "database \"nowhere\" does not exist"`},
		"rejected":              {at: primary, postgres: Postgres{User: "tls"}, err: `ADDR: the server refuses: error 28000: "pg_hba.conf rejects connection for host \"127.0.0.1\", user \"tls\", database \"postgres\", no encryption"`},
		"no peer":               {at: socket, postgres: Postgres{User: "stranger"}, err: `ADDR: the server refuses: error 28000: "Peer authentication failed for user \"stranger\""`},
		"plain text":            {at: primary, postgres: Postgres{User: "plain", PasswordFile: file}, err: "ADDR: logging in as plain: the server wants the password in plain text, which is sent over TLS or a unix socket only"},
		"role without password": {at: primary, postgres: Postgres{Role: "primary"}, err: "ADDR: role: the server wants a password of postgres (password_file)"},
		"primary, not standby":  {at: socket, postgres: Postgres{Role: "standby"}, err: "ADDR: the server is a primary, expected a standby"},
		"standby, not primary":  {at: standby, postgres: Postgres{PasswordFile: file, Role: "primary"}, err: "ADDR: the server is a standby, expected a primary"},
		"no tls":                {at: standby, postgres: Postgres{Transport: "tls", TLS: secure}, err: `ADDR: asking for TLS: the server speaks no TLS (it answered "N")`},
		"not accepting":         {at: refusing, err: `ADDR: the server refuses: error 57P03: "the database system is not accepting connections (Hot standby mode is disabled.)"`},
	} {
		t.Run(name, func(t *testing.T) {
			checkOf(t, tt.postgres.filled(tt.at), tt.err, tt.at)
		})
	}

	t.Run("full", func(t *testing.T) {
		r, user := r, &Postgres{Address: socket, User: "plain", Database: "postgres"}
		r.t = t
		var err error
		for range 30 {
			if _, err = r.session(user); err != nil {
				break
			}
		}
		if err == nil {
			t.Fatal("there is room for everybody")
		}
		checkOf(t, user, `ADDR: the server refuses: error 53300: "remaining connection slots are reserved for non-replication superuser connections"`, socket)
	})
	asked := new(Postgres).filled(standby)
	hangs(t, "postgres", asked.Check, "ADDR: waiting for an answer: timed out", standby)
	dies(t, "postgres", asked.Check)
}
