package checks

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"io"
	"net"
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
}

// filled returns a check of a server, with the defaults.
func (p Postgres) filled(at string) *Postgres {
	p.Address = at
	if p.User == "" {
		p.User = "postgres"
	}
	if p.Database == "" {
		p.Database = "postgres"
	}
	return &p
}

// pg writes a message as a server does.
func pg(kind byte, body string) string {
	return string(kind) + string(binary.BigEndian.AppendUint32(nil, uint32(len(body)+4))) + body
}

// pgAsks writes a request for authentication.
func pgAsks(request uint32, data string) string {
	return pg('R', string(binary.BigEndian.AppendUint32(nil, request))+data)
}

const (
	pgReady  = "Z\x00\x00\x00\x05I"
	pgFalse  = "D\x00\x00\x00\x0b\x00\x01\x00\x00\x00\x01f"
	pgTrue   = "D\x00\x00\x00\x0b\x00\x01\x00\x00\x00\x01t"
	pgLogged = "R\x00\x00\x00\x08\x00\x00\x00\x00"
)

func TestPostgres(t *testing.T) {
	secret := secretFile(t, "geheim")
	for name, tt := range map[string]struct {
		serve    func(net.Conn)
		postgres Postgres
		err      string
	}{
		"fit":               {serve: replies(pgLogged+pgReady, "T\x00\x00\x00\x04"+pgFalse+"C\x00\x00\x00\x04"+pgReady)},
		"standby":           {serve: replies(pgLogged+pgReady, pgTrue+pgReady), postgres: Postgres{Role: "standby"}},
		"asks":              {serve: replies(pgAsks(pgMD5, "salt"))},
		"asks for Kerberos": {serve: replies(pgAsks(7, "")), postgres: Postgres{PasswordFile: secret}, err: "ADDR: logging in as postgres: the server wants authentication of type 7, which keepcast does not know"},
		"hangs":             {serve: func(net.Conn) {}, err: "ADDR: timed out"},
		"stops":             {serve: replies(pgLogged), err: "ADDR: timed out"},
		"hangs at TLS":      {serve: func(net.Conn) {}, postgres: Postgres{Transport: "tls"}, err: "ADDR: asking for TLS: timed out"},
		"closes":            {serve: says(""), err: "ADDR: closed by the other side"},
		"starting":          {serve: replies(pg('E', "SFATAL\x00VFATAL\x00C57P03\x00Mthe database system is starting up\x00\x00")), err: `ADDR: the server refuses: error 57P03: "the database system is starting up"`},
		"strange error":     {serve: replies(pg('E', "Cgeheim\x00Mno geheim\x00\x00")), postgres: Postgres{PasswordFile: secret}, err: `ADDR: the server refuses: error unknown: "no xxxxx"`},
		"empty error":       {serve: replies(pg('E', "\x00")), err: `ADDR: the server refuses: error unknown: ""`},
		"web":               {serve: replies("HTTP/1.1 400 Bad Request\r\n\r\n"), err: `ADDR: the answer is not of PostgreSQL: "HTTP/"`},
		"mail":              {serve: says("220 mail\r\n"), err: `ADDR: the answer is not of PostgreSQL: "220 m"`},
		"short":             {serve: says("no\r\n"), err: `ADDR: the answer is not of PostgreSQL: "no\r\n\x00"`},
		"too short":         {serve: says("R\x00\x00\x00\x03\x00"), err: `ADDR: the answer is not of PostgreSQL: "R\x00\x00\x00\x03"`},
		"no request":        {serve: replies(pg('R', "\x00")), err: `ADDR: the answer is not of PostgreSQL: message 'R'`},
		"another message":   {serve: replies(pg('A', "")), err: `ADDR: the answer is not of PostgreSQL: message 'A'`},
		"broken query":      {serve: replies(pgLogged+pgReady, pg('E', "SERROR\x00C58030\x00Mcould not read\x00\x00")+pgReady), err: `ADDR: SELECT pg_is_in_recovery(): the server refuses: error 58030: "could not read"`},
		"no row":            {serve: replies(pgLogged+pgReady, pgReady), err: "ADDR: SELECT pg_is_in_recovery(): no answer that is true or false"},
		"other row":         {serve: replies(pgLogged+pgReady, pg('D', "\x00\x01\x00\x00\x00\x01x")+pgReady), err: "ADDR: SELECT pg_is_in_recovery(): no answer that is true or false"},
		"query hangs":       {serve: replies(pgLogged + pgReady), err: "ADDR: SELECT pg_is_in_recovery(): timed out"},
		"no proof":          {serve: replies(pgAsks(pgSASL, "SCRAM-SHA-256\x00\x00"), pgLogged+pgReady), postgres: Postgres{PasswordFile: secret}, err: "ADDR: the server did not prove that it knows the password"},
		"wrong proof":       {serve: scramServer("wrong"), postgres: Postgres{PasswordFile: secret}, err: "ADDR: logging in as postgres: the server did not prove that it knows the password"},
		"proof":             {serve: scramServer("geheim"), postgres: Postgres{PasswordFile: secret}},
		"proof too soon":    {serve: replies(pgAsks(pgSASLFinal, "v=")), postgres: Postgres{PasswordFile: secret}, err: "ADDR: logging in as postgres: the server did not prove that it knows the password"},
		"only GSS":          {serve: replies(pgAsks(pgSASL, "SCRAM-SHA-512\x00\x00")), postgres: Postgres{PasswordFile: secret}, err: `ADDR: logging in as postgres: the server offers no SCRAM-SHA-256, but "SCRAM-SHA-512"`},
		"other nonce":       {serve: replies(pgAsks(pgSASL, "SCRAM-SHA-256\x00\x00"), pgAsks(pgSASLContinue, "r=a,s=YQ==,i=1")), postgres: Postgres{PasswordFile: secret}, err: `ADDR: logging in as postgres: the challenge of the server makes no sense: "r=a,s=YQ==,i=1"`},
		"no password file":  {serve: func(net.Conn) {}, postgres: Postgres{PasswordFile: "/nonexistent"}, err: "ADDR: password_file: open /nonexistent: no such file or directory"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := tt.postgres.filled(listen(t, tt.serve))
			checkOf(t, c, tt.err, c.Address)
		})
	}
	closed := freeAddress(t)
	checkOf(t, &Postgres{Address: closed}, "ADDR: dial tcp ADDR: connect: connection refused", closed)
}

// scramServer lets everybody in, and proves that it knows a password.
func scramServer(password string) func(net.Conn) {
	return func(c net.Conn) {
		in := bufio.NewReader(c)
		begin := make([]byte, 4)
		if _, err := io.ReadFull(in, begin); err != nil {
			return
		}
		in.Discard(int(binary.BigEndian.Uint32(begin)) - 4)
		io.WriteString(c, pgAsks(pgSASL, "SCRAM-SHA-256-PLUS\x00SCRAM-SHA-256\x00\x00"))
		_, first, _ := readPg(in)
		_, nonce, _ := strings.Cut(string(first), "r=")
		challenge := "r=" + nonce + rand.Text() + ",s=c2FsdA==,i=4096"
		io.WriteString(c, pgAsks(pgSASLContinue, challenge))
		if _, _, err := readPg(in); err != nil {
			return
		}
		twin := scram{nonce: nonce}
		twin.final(challenge, password)
		io.WriteString(c, pgAsks(pgSASLFinal, "v="+base64.StdEncoding.EncodeToString(twin.signature))+pgLogged+pgReady)
		readPg(in)
		io.WriteString(c, pgFalse+pgReady)
	}
}

// The exchange is that of RFC 7677 section 3, with its user.
func TestScram(t *testing.T) {
	s := scram{nonce: "rOprNGfwEbeRWgbNEkqO"}
	got, err := s.final("r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", "pencil")
	if err != nil {
		t.Fatal(err)
	}
	// The RFC has n=user, PostgreSQL leaves it empty: so the proof is another one.
	if want := "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p="; !strings.HasPrefix(got, want) {
		t.Errorf("got %s", got)
	}
	for name, challenge := range map[string]string{
		"nothing":          "",
		"our nonce alone":  "r=rOprNGfwEbeRWgbNEkqO,s=YQ==,i=4096",
		"no salt":          "r=rOprNGfwEbeRWgbNEkqOx,s=,i=4096",
		"no base64":        "r=rOprNGfwEbeRWgbNEkqOx,s=!,i=4096",
		"no iteration":     "r=rOprNGfwEbeRWgbNEkqOx,s=YQ==,i=0",
		"no end":           "r=rOprNGfwEbeRWgbNEkqOx,s=YQ==,i=1000001",
		"too many numbers": "r=rOprNGfwEbeRWgbNEkqOx,s=YQ==,i=99999999999999999999",
	} {
		if _, err := s.final(challenge, "pencil"); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestPostgresValidate(t *testing.T) {
	for name, tt := range map[string]struct {
		postgres Postgres
		err      string
	}{
		"good":        {postgres: Postgres{Address: "127.0.0.1:1"}},
		"directory":   {postgres: Postgres{Address: "/run/postgresql"}},
		"address":     {postgres: Postgres{Address: "a"}, err: `address: "a" is neither a host and a port, as in 127.0.0.1:25 or [::1]:25, nor the path of a socket`},
		"too long":    {postgres: Postgres{Address: "/" + strings.Repeat("a", 100)}, err: `address: "/` + strings.Repeat("a", 100) + `/.s.PGSQL.5432" is longer than the 107 bytes that a unix socket may have`},
		"user":        {postgres: Postgres{Address: "/x", User: "a\x00b"}, err: `user: "a\x00b" is no name of a user`},
		"database":    {postgres: Postgres{Address: "/x", Database: "a\x00b"}, err: `database: "a\x00b" is no name of a database`},
		"no user":     {postgres: Postgres{Address: "/x", User: "-"}, err: `user: "" is no name of a user`},
		"no database": {postgres: Postgres{Address: "/x", Database: "-"}, err: `database: "" is no name of a database`},
	} {
		t.Run(name, func(t *testing.T) {
			c := tt.postgres.filled(tt.postgres.Address)
			c.User, c.Database = strings.TrimPrefix(c.User, "-"), strings.TrimPrefix(c.Database, "-")
			sameError(t, c.Validate(), tt.err, "")
		})
	}
	for address, want := range map[string]string{
		"/run/postgresql":               "/run/postgresql/.s.PGSQL.5432",
		"/run/postgresql/":              "/run/postgresql/.s.PGSQL.5432",
		"/run/postgresql/.s.PGSQL.5433": "/run/postgresql/.s.PGSQL.5433",
		"127.0.0.1:5432":                "127.0.0.1:5432",
	} {
		if got := (&Postgres{Address: address}).at().address; got != want {
			t.Errorf("%s: got %s", address, got)
		}
	}
}

// TestPostgresSight shows what an operator sees of a run.
func TestPostgresSight(t *testing.T) {
	for name, tt := range map[string]struct {
		serve func(net.Conn)
		want  []string
	}{
		"let in": {
			replies(pgLogged+pg('S', "server_version\x0015.18 (Debian)\x00")+pg('N', "\x00")+pg('K', "12345678")+pgReady, pgFalse+pgReady),
			[]string{`version: "15.18 (Debian)"`, "answer: ready for queries of postgres", "role: primary"},
		},
		"asked": {replies(pgAsks(pgSASL, "SCRAM-SHA-256\x00\x00")), []string{"answer: asks for a password of postgres"}},
	} {
		t.Run(name, func(t *testing.T) {
			var s Sight
			if err := (Postgres{}).filled(listen(t, tt.serve)).Check(WithSight(within(t), &s)); err != nil {
				t.Error(err)
			}
			sameSight(t, &s, tt.want...)
		})
	}
}

// A session ends with a goodbye (Terminate); where a password is asked for, without a word.
func TestPostgresGoodbye(t *testing.T) {
	for name, tt := range map[string]struct {
		says []string
		want string
	}{
		"let in": {[]string{pgLogged + pgReady, pgFalse + pgReady}, "X\x00\x00\x00\x04"},
		"asked":  {[]string{pgAsks(pgMD5, "salt")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			last := make(chan string, 1)
			address := listen(t, func(c net.Conn) {
				replies(tt.says...)(c)
				rest, _ := io.ReadAll(c)
				last <- string(rest)
			})
			checkOf(t, (Postgres{}).filled(address), "", "")
			if got := <-last; got != tt.want {
				t.Errorf("the last word is %q", got)
			}
		})
	}
}

// FuzzPostgres has a server say anything, as an answer and as a challenge.
func FuzzPostgres(f *testing.F) {
	for _, seed := range []string{
		pgLogged + pgReady, pg('E', "C57P03\x00Mstarting\x00\x00"), pgAsks(pgSASL, "SCRAM-SHA-256\x00\x00"),
		pgAsks(pgMD5, "salt") + pgLogged + pgReady + pgTrue + pgReady, "r=a,s=YQ==,i=1", pg('S', "server_version\x001\x00"),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		c := &pgConn{ctx: t.Context(), conn: io.Discard, in: bufio.NewReader(bytes.NewReader(said)), user: "a", password: "geheim"}
		admitted, err := c.start("a")
		if admitted && !bytes.Contains(said, []byte(pgReady[:4])) {
			t.Errorf("admitted by %q", said)
		}
		if err == nil && admitted {
			c.role()
		}
		s := scram{nonce: "a"}
		if _, err := s.final("i=1,"+string(said), ""); err == nil && s.signature == nil {
			t.Errorf("no signature for %q", said)
		}
		s.verify(string(said))
	})
}
